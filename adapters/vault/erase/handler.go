package erase

import (
	"context"

	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports"
)

// erasedEvents returns the events that were erased of a message, from the log.
func erasedEvents(ctx context.Context, log ports.EventLog, chat domain.ChatID, message domain.MessageID) ([]object.ErasedEvent, error) {
	loaded, err := log.Load(ctx, chat, ports.LoadRequest{Entity: domain.MessageEntity(message), Whole: true})
	if err != nil {
		return nil, err
	}
	var events []object.ErasedEvent
	for _, r := range loaded.Entities[0].Events {
		if domain.IsErased(r.Event) {
			events = append(events, object.ErasedEvent{Seq: r.Seq, ID: r.ID})
		}
	}
	return events, nil
}

// erasedContent returns the events that were erased with a deleted chat up to a seq, from the log.
func erasedContent(ctx context.Context, log ports.EventLog, chat domain.ChatID, until domain.Seq) (events []object.ErasedEvent, err error) {
	for r, err := range ports.ErasedContent(ctx, log, chat, until) {
		if err != nil {
			return nil, err
		}
		events = append(events, object.ErasedEvent{Seq: r.Seq, ID: r.ID})
	}
	return events, nil
}

// Handler returns a handler of deliveries that erases the events of each [domain.MessageErased], and those that were erased with a chat, of which a
// [domain.ChatDeleted] says so. Erasures of retention are listed only: [Eraser.Follow] rewrites their segments. Other events are ignored. Handling an event again does
// no harm.
func (e *Eraser) Handler(log ports.EventLog) func(ctx context.Context, deliveries []ports.Delivery) error {
	return func(ctx context.Context, deliveries []ports.Delivery) error {
		var erasures, byRule []object.Erasure
		for _, d := range deliveries {
			var events []object.ErasedEvent
			var err error
			into := &erasures
			switch e := d.Event.(type) {
			case domain.MessageErased:
				events, err = erasedEvents(ctx, log, e.Chat, e.Message)
				if e.By == domain.RetentionActor {
					into = &byRule
				}
			case domain.ChatDeleted:
				if !e.ContentErased {
					continue
				}
				events, err = erasedContent(ctx, log, e.Chat, d.ID.Seq)
			default:
				continue
			}
			if err != nil {
				return err
			}
			*into = append(*into, object.Erasure{Chat: d.Event.ChatID(), By: d.ID.Seq, Events: events})
		}
		if len(byRule) > 0 {
			if err := e.List(ctx, byRule...); err != nil {
				return err
			}
		}
		if len(erasures) == 0 {
			return nil
		}
		return e.Erase(ctx, erasures...)
	}
}
