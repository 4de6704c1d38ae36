package connect

import (
	"context"
	"errors"
	"slices"

	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/ports"
)

// ofConditions marks the conflict of a condition that the caller gave: giving the call again would only repeat it.
func ofConditions(err error, conditions []domain.Condition) error {
	if conflict, ok := errors.AsType[*ports.ConflictError](err); ok && slices.Contains(conditions, conflict.Condition) {
		return finalError{err}
	}
	return err
}

func (s *messageService) ListEntityEvents(ctx context.Context, req *v1.ListEntityEventsRequest) (*v1.ListEntityEventsResponse, error) {
	in := s.read(ctx)
	chat, reader, id := in.chat(req.GetChatId()), in.reader(req.GetActorId(), req.GetAtSeq()), in.entity("entity_id", req.GetEntityId())
	tokens := tokensOf("ListEntityEvents", req.GetChatId(), req.GetActorId(), req.GetAtSeq(), req.GetEntityId())
	page := in.page(tokens, req.GetPageSize(), req.GetPageToken())
	if in.err != nil {
		return nil, in.err
	}
	list, err := reader.CustomPage(ctx, chat, id, page)
	if err != nil {
		return nil, err
	}
	newest := list.Items
	if page.Cursor != "" {
		first, err := reader.CustomPage(ctx, chat, id, domain.Page{Limit: 1})
		if err != nil {
			return nil, err
		}
		newest = first.Items
	}
	var out output
	response := &v1.ListEntityEventsResponse{Events: each(list.Items, out.customEvent), NextPageToken: tokens.token(list.Next)}
	if len(newest) > 0 { // the newest event of an entity moved it last
		response.Version = out.seq(newest[0].Seq)
	}
	return answer(&out, response)
}

// customEvent returns a custom event of a chat's log.
func (o *output) customEvent(r ports.Record) *v1.Event {
	e := &v1.Event{
		Id: string(r.ID), Seq: o.seq(r.Seq), OccurredAt: timeOf(r.Event.OccurredAt()), CorrelationId: r.Meta.CorrelationID, CausationId: string(r.Meta.CausationID),
		Traceparent: r.Meta.TraceParent,
	}
	if c, ok := r.Event.(domain.Custom); ok {
		e.ChatId, e.Type, e.ActorId = string(c.Chat), string(c.Type), string(c.Actor)
		e.Event = &v1.Event_Custom{Custom: &v1.CustomEvent{TypeVersion: o.number("type_version", uint64(max(0, c.Version))), EntityId: string(c.Entity), Data: c.Data}}
	}
	return e
}
