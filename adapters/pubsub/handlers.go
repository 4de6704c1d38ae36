package pubsub

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// Handler handles one delivery. The delivery is finished when it returns nil.
type Handler func(ctx context.Context, d ports.Delivery) error

// AnyType registers a handler for the types that have no other handler.
const AnyType = "*"

// AnyCustom registers a handler for the custom event types that have no other handler.
const AnyCustom = "own:*"

// Handlers are the handlers of a group by the types of events.
type Handlers struct {
	byType   map[string]Handler
	counters *group.Counters
}

// NewHandlers returns the handlers of a group, which it counts.
func NewHandlers(byType map[string]Handler, counters *group.Counters) *Handlers {
	return &Handlers{byType, counters}
}

// Handle calls the handler of an event's type. An event without one is finished and counted.
func (h *Handlers) Handle(ctx context.Context, d ports.Delivery) error {
	handle := h.byType[wireformat.Type(d.Event)]
	if _, own := d.Event.(domain.Custom); own && handle == nil {
		handle = h.byType[AnyCustom]
	}
	if handle == nil {
		handle = h.byType[AnyType]
	}
	if handle == nil {
		h.counters.Ignored.Add(1)
		return nil
	}
	if err := handle(ctx, d); err != nil {
		return err
	}
	h.counters.Handled.Add(1)
	return nil
}

// Consume returns the Watermill handler that reads a message's event and calls the handler of its type. It returns [group.ErrNewerEvent] for an event of
// the log that a later version of the program wrote, and a permanent [group.ErrBroken] for any other entry that cannot be read.
func (h *Handlers) Consume(codec *wireformat.Codec) message.NoPublishHandlerFunc {
	return func(msg *message.Message) error {
		d, err := read(codec, msg)
		if err != nil {
			return err
		}
		return h.Handle(msg.Context(), d)
	}
}

// read returns the event of a message. A middleware may have changed its payload and metadata.
func read(codec *wireformat.Codec, msg *message.Message) (ports.Delivery, error) {
	s := startOf(msg.Context())
	if s == nil {
		var d ports.Delivery
		if err := group.ReadForeign(codec, msg.UUID, msg.Metadata, msg.Payload, time.Now(), &d); err != nil {
			return d, group.Unreadable(false, err)
		}
		return d, nil
	}
	return s.delivery.ReadAs(msg.UUID, msg.Metadata, msg.Payload)
}
