package connect

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"chatcore/app"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

// maxConditions is the most conditions of one event.
const maxConditions = 16

func (s *messageService) RecordEvent(ctx context.Context, req *v1.RecordEventRequest) (*v1.RecordEventResponse, error) {
	in := s.read(ctx)
	cmd := domain.Record{
		Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), Command: in.command(req.GetCommandId()), Event: in.event(req),
		Conditions: in.conditions(req.GetConditions()),
	}
	if req.GetEntityId() != "" {
		cmd.Entity = in.entity("entity_id", req.GetEntityId())
	}
	result, err := command(in, func() (app.Done, error) {
		done, err := s.core.Chats.Record(ctx, cmd)
		return done, ofConditions(err, cmd.Conditions)
	})
	return &v1.RecordEventResponse{Result: result}, err
}

// networkEvent is a custom event as a caller gave it, checked.
type networkEvent domain.Custom

// Custom implements [domain.CustomEvent].
func (e networkEvent) Custom() (domain.Custom, error) { return domain.Custom(e), nil }

// event returns the custom event of a request: of a declared type, in a version up to the declared one.
func (in *input) event(req *v1.RecordEventRequest) networkEvent {
	types := in.calls.config.EventTypes
	typ := domain.CustomType(req.GetType())
	current, declared := types[typ]
	if !declared {
		in.keep(&domain.InvalidError{Field: "type", Problem: fmt.Sprintf("is %.80q", req.GetType()), Allowed: declaredTypes(types)})
		return networkEvent{}
	}
	version := current
	if v := req.GetTypeVersion(); v != 0 {
		if version = int(v); version > current {
			in.keep(&domain.InvalidError{Field: "type_version", Problem: "is " + strconv.Itoa(version), Allowed: fmt.Sprintf("1 to %d", current)})
		}
	}
	data, err := jsonObject(req.GetData())
	in.keep(err)
	return networkEvent{Type: typ, Version: version, Data: data}
}

// declaredTypes returns the types that may be recorded, for an error.
func declaredTypes(types map[domain.CustomType]int) string {
	if len(types) == 0 {
		return "none: the server's configuration declares no types"
	}
	names := slices.Sorted(maps.Keys(types))
	const most = 16
	text := strings.Join(texts(names[:min(most, len(names))]), ", ")
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return text
}

// jsonObject returns the text of one JSON object without white space.
func jsonObject(text string) (string, error) {
	invalid := func(problem string) error {
		return &domain.InvalidError{Field: "data", Problem: problem, Allowed: "one JSON object as text"}
	}
	if text == "" {
		return "", invalid("is empty")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(text)); err != nil {
		return "", invalid("is no JSON: " + err.Error())
	}
	if compact.Bytes()[0] != '{' {
		return "", invalid(fmt.Sprintf("is %.40s", compact.String()))
	}
	return compact.String(), nil
}

func (in *input) entity(field, id string) domain.CustomID {
	entity, err := domain.ParseCustomID(id)
	return parsed(in, field, entity, err)
}

// conditions returns the conditions of an event.
func (in *input) conditions(list []*v1.EntityCondition) []domain.Condition {
	if len(list) > maxConditions {
		in.keep(&domain.InvalidError{Field: "conditions", Problem: fmt.Sprintf("has %d conditions", len(list)), Allowed: fmt.Sprintf("at most %d", maxConditions)})
		return nil
	}
	var conditions []domain.Condition
	for i, c := range list {
		field := func(name string) string { return fmt.Sprintf("conditions[%d].%s", i, name) }
		condition := domain.Condition{Version: domain.Seq(c.GetVersion()), Exists: c.GetExists()}
		switch e := c.GetEntity().(type) {
		case *v1.EntityCondition_CustomEntityId:
			condition.Entity = domain.CustomEntity(in.entity(field("custom_entity_id"), e.CustomEntityId))
		case *v1.EntityCondition_MessageId:
			condition.Entity = domain.MessageEntity(in.message(field("message_id"), e.MessageId))
		case *v1.EntityCondition_ReactionsOfMessageId:
			condition.Entity = domain.ReactionsEntity(in.message(field("reactions_of_message_id"), e.ReactionsOfMessageId))
		case *v1.EntityCondition_MemberUserId:
			condition.Entity = domain.MemberEntity(in.user(field("member_user_id"), e.MemberUserId))
		default:
			in.keep(&domain.InvalidError{
				Field: field("entity"), Problem: "is not set", Allowed: "custom_entity_id, message_id, reactions_of_message_id, member_user_id",
			})
		}
		if c.GetExists() && c.GetVersion() != 0 {
			in.keep(&domain.InvalidError{Field: field("version"), Problem: fmt.Sprintf("is %d beside exists", c.GetVersion()), Allowed: "0 if exists is set"})
		}
		conditions = append(conditions, condition)
	}
	return conditions
}
