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

// Handler returns a handler of deliveries that erases what each [domain.MessageErased] names. Other events are ignored. Handling an event again does no harm.
func (e *Eraser) Handler(log ports.EventLog) func(ctx context.Context, deliveries []ports.Delivery) error {
	return func(ctx context.Context, deliveries []ports.Delivery) error {
		var erasures []object.Erasure
		for _, d := range deliveries {
			erased, ok := d.Event.(domain.MessageErased)
			if !ok {
				continue
			}
			events, err := ErasedEvents(ctx, log, erased.Chat, erased.Message)
			if err != nil {
				return err
			}
			erasures = append(erasures, object.Erasure{Chat: erased.Chat, By: d.ID.Seq, Events: events})
		}
		if len(erasures) == 0 {
			return nil
		}
		return e.Erase(ctx, erasures...)
	}
}
