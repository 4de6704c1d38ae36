package app

import (
	"context"
	"fmt"
	"strconv"

	"chatcore/domain"
	"chatcore/ports"
)

// Record records a custom event, by a member of a chat that is not archived. A condition that does not hold is [ports.ErrConflict]. The seq it gives
// is the entity's version from then on.
func (c *Chats) Record(ctx context.Context, cmd domain.Record) (Done, error) {
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkCommand(cmd.Command), checkConditions(cmd.Conditions)); err != nil {
		return Done{}, err
	}
	if cmd.Entity != "" {
		if _, err := domain.ParseCustomID(string(cmd.Entity)); err != nil {
			return Done{}, err
		}
	}
	if cmd.Event == nil {
		return Done{}, &domain.InvalidError{Field: "event", Problem: "is nil", Allowed: "an event of a definition"}
	}
	event, err := cmd.Event.Custom()
	if err != nil {
		return Done{}, err
	}
	event.Entity = cmd.Entity
	if cmd.Command == "" && cmd.Entity == "" {
		// Every event moves something: by that it is found again after a lost reply.
		cmd.Command = domain.CommandID(c.ids.NewID())
	}
	return c.run(ctx, command{
		name: "record", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command,
		wants:      want(domain.ChatEntity(), domain.MemberEntity(cmd.Actor)),
		conditions: cmd.Conditions,
		limits:     c.limitsOf(cmd.Actor, cmd.Chat, LimitRecord),
		gate:       GateQuestion{Kind: GateRecord, Actor: cmd.Actor, Chat: cmd.Chat},
		decide: func(s *state) ([]domain.Durable, error) {
			return s.theChat().Record(s.member(cmd.Actor), event, c.now())
		},
		args: arguments{string(event.Type), strconv.Itoa(event.Version), string(event.Entity), event.Data},
	})
}

func checkConditions(conditions []domain.Condition) error {
	for _, c := range conditions {
		_, err := domain.ParseCustomID(c.Entity.ID)
		if known := c.Entity.Kind >= domain.KindChat && c.Entity.Kind <= domain.Kinds; !known || err != nil && c.Entity != domain.ChatEntity() {
			return &domain.InvalidError{Field: "conditions", Problem: fmt.Sprintf("names %q", c.Entity.String()), Allowed: "entities with a valid id"}
		}
	}
	return nil
}

// CustomView is a custom entity: its version, and its events.
type CustomView struct {
	Version domain.Seq     // for a condition; 0 if there is nothing of that id
	Events  []ports.Record // oldest first
}

// Custom gives all events of a custom entity, which may have none.
func (q *Queries) Custom(ctx context.Context, chat domain.ChatID, id domain.CustomID) (CustomView, error) {
	if _, err := domain.ParseCustomID(string(id)); err != nil {
		return CustomView{}, err
	}
	if err := checkChat(chat); err != nil {
		return CustomView{}, err
	}
	slots := []slot{{entity: domain.CustomEntity(id)}}
	if _, err := q.load(ctx, chat, slots); err != nil {
		return CustomView{}, err
	}
	return CustomView{Version: slots[0].version, Events: slots[0].records}, nil
}
