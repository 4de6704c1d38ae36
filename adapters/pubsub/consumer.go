package pubsub

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

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

// ErrBroken is returned for an entry that cannot be read as an event.
var ErrBroken = errors.New("unreadable entry")

// Attempt returns the number of a message's handler start, from 1. It returns 0 outside of a handler.
func Attempt(msg *message.Message) int {
	if info, ok := InfoOf(msg.Context()); ok {
		return info.Attempt
	}
	attempt, _ := strconv.Atoi(msg.Metadata.Get(metaAttempt))
	return attempt
}

// Metadata of messages from subscribers other than [Subscriber], of a log without a stream.
const (
	metaAttempt = "_chatcore_attempt" // handler starts
	metaSeq     = "_chatcore_seq"
)

// NewConsumer returns the Watermill handler of a consumer group. The handler reads the event and calls the handler of its type. An event without one
// is finished and counted. The handler returns [ErrNewerEvent] for an event of the log that a later version of the program wrote, and a permanent
// [ErrBroken] for any other entry that cannot be read.
func NewConsumer(codec *wireformat.Codec, logID string, clock ports.Clock, handlers map[string]Handler, counters *Counters) message.NoPublishHandlerFunc {
	return func(msg *message.Message) error {
		d, err := readDelivery(codec, logID, clock.Now, msg)
		if err != nil {
			return unreadable(seqOf(msg) > 0, err)
		}
		handle := handlers[wireformat.Type(d.Event)]
		if _, own := d.Event.(domain.Custom); own && handle == nil {
			handle = handlers[AnyCustom]
		}
		if handle == nil {
			handle = handlers[AnyType]
		}
		if handle == nil {
			counters.Ignored.Add(1)
			return nil
		}
		if err := handle(msg.Context(), d); err != nil {
			return err
		}
		counters.Handled.Add(1)
		return nil
	}
}

// seqOf returns the seq of a message's event, 0 for an entry of another program.
func seqOf(msg *message.Message) domain.Seq {
	if info, ours := InfoOf(msg.Context()); ours {
		return info.Seq
	}
	seq, _ := strconv.ParseUint(msg.Metadata.Get(metaSeq), 10, 64)
	return domain.Seq(seq)
}

func readDelivery(codec *wireformat.Codec, logID string, now func() time.Time, msg *message.Message) (ports.Delivery, error) {
	info, ours := InfoOf(msg.Context())
	if !ours {
		attempt := Attempt(msg)
		info = Info{Seq: seqOf(msg), Attempt: attempt, Redelivered: attempt > 1}
	}
	d := ports.Delivery{Attempt: info.Attempt, Redelivered: info.Redelivered, Epoch: info.Epoch, Appended: info.Appended}
	if info.Seq > 0 {
		r, err := decoded(codec, msg)
		if err != nil {
			return ports.Delivery{}, err
		}
		d.ID = ports.DeliveryID{Log: logID, Chat: r.Event.ChatID(), Seq: r.Seq, Event: r.ID}
		d.Event, d.Ordinal, d.Meta = r.Event, r.Ordinal, r.Meta
		if d.Appended.IsZero() {
			d.Appended = r.Event.OccurredAt()
		}
		return d, nil
	}
	in, err := codec.DecodeLenient(msg.Metadata.Get(MetaType), msg.Payload, now())
	if err != nil {
		return ports.Delivery{}, err
	}
	event, ok := in.Event.(domain.Durable)
	if !ok {
		return ports.Delivery{}, fmt.Errorf("%s is not a durable event", wireformat.Type(in.Event))
	}
	d.ID = ports.DeliveryID{Chat: event.ChatID(), Event: domain.EventID(msg.UUID)}
	d.Event, d.Meta = event, in.Meta
	return d, nil
}
