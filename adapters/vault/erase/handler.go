package erase

import (
	"context"

	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports"
)

// ErasedEvents returns the events that were erased of a message, from the log.
func ErasedEvents(ctx context.Context, log ports.EventLog, chat domain.ChatID, message domain.MessageID) ([]object.ErasedEvent, error) {
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

// Handler returns a handler of deliveries that erases what each [domain.MessageErased] names. Those of retention are listed only: [Eraser.Follow] rewrites their
// segments. Other events are ignored. Handling an event again does no harm.
func (e *Eraser) Handler(log ports.EventLog) func(ctx context.Context, deliveries []ports.Delivery) error {
	return func(ctx context.Context, deliveries []ports.Delivery) error {
		var erasures, byRule []object.Erasure
		for _, d := range deliveries {
			erased, ok := d.Event.(domain.MessageErased)
			if !ok {
				continue
			}
			events, err := ErasedEvents(ctx, log, erased.Chat, erased.Message)
			if err != nil {
				return err
			}
			erasure := object.Erasure{Chat: erased.Chat, By: d.ID.Seq, Events: events}
			if erased.By == domain.RetentionActor {
				byRule = append(byRule, erasure)
			} else {
				erasures = append(erasures, erasure)
			}
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
