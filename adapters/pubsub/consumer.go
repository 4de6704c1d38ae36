package pubsub

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// Handler handles one delivery. Returning nil finishes it.
type Handler func(ctx context.Context, d ports.Delivery) error

// AnyType registers a handler for the types that have none of their own.
const AnyType = "*"

// AnyOwn registers a handler for the types of a team's own that have none.
const AnyOwn = "own:*"

// Counters count what became of deliveries, over all groups of a process.
type Counters struct {
	Handled     atomic.Uint64 // finished by a handler
	Unhandled   atomic.Uint64 // finished because the group has no handler for the type
	DeadLetters atomic.Uint64 // set aside
}

// permanent marks an error that trying again will not mend.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent marks an error that trying again will not mend. A nil error stays nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanent{err}
}

// IsPermanent reports whether an error was marked by [Permanent].
func IsPermanent(err error) bool {
	var p permanent
	return errors.As(err, &p)
}

// ErrBroken is an entry that cannot be read as an event.
var ErrBroken = errors.New("unreadable entry")

// metaAttempt is the metadata key under which a message counts its handler starts.
const metaAttempt = "_chatcore_attempt"

// Attempt is which handler start of a message this is, from 1; 0 outside of a handler.
func Attempt(msg *message.Message) int {
	attempt, _ := strconv.Atoi(msg.Metadata.Get(metaAttempt))
	return attempt
}

// NewConsumer makes the Watermill handler of a consumer group: it reads the event and calls the handler of its type. An event without
// one is finished and counted. An entry that cannot be read is a permanent error.
func NewConsumer(codec *wireformat.Codec, logID string, clock ports.Clock, handlers map[string]Handler, counters *Counters) message.NoPublishHandlerFunc {
	return func(msg *message.Message) error {
		d, err := readDelivery(codec, logID, clock, msg)
		if err != nil {
			return Permanent(fmt.Errorf("%w: %w", ErrBroken, err))
		}
		handle := handlers[wireformat.Type(d.Event)]
		if _, own := d.Event.(domain.Own); own && handle == nil {
			handle = handlers[AnyOwn]
		}
		if handle == nil {
			handle = handlers[AnyType]
		}
		if handle == nil {
			counters.Unhandled.Add(1)
			return nil
		}
		if err := handle(msg.Context(), d); err != nil {
			return err
		}
		counters.Handled.Add(1)
		return nil
	}
}

func readDelivery(codec *wireformat.Codec, logID string, clock ports.Clock, msg *message.Message) (ports.Delivery, error) {
	if why := msg.Metadata.Get(metaBroken); why != "" {
		return ports.Delivery{}, errors.New(why)
	}
	attempt := Attempt(msg)
	if msg.Metadata.Get(metaSeq) != "" {
		r, err := codec.Decode(msg.Payload)
		if err != nil {
			return ports.Delivery{}, err
		}
		id := ports.DeliveryID{Log: logID, Chat: r.Event.ChatID(), Seq: r.Seq, Event: r.ID}
		return ports.Delivery{ID: id, Event: r.Event, Ordinal: r.Ordinal, Meta: r.Meta, Attempt: attempt}, nil
	}
	in, err := codec.DecodeLenient(msg.Metadata.Get(MetaType), msg.Payload, clock.Now())
	if err != nil {
		return ports.Delivery{}, err
	}
	event, ok := in.Event.(domain.Durable)
	if !ok {
		return ports.Delivery{}, fmt.Errorf("%s is not a durable event", wireformat.Type(in.Event))
	}
	id := ports.DeliveryID{Chat: event.ChatID(), Event: domain.EventID(msg.UUID)}
	return ports.Delivery{ID: id, Event: event, Meta: in.Meta, Attempt: attempt}, nil
}
