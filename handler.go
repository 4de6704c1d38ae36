package chatcore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// Delivery is a durable event given to a handler of a consumer group: at least once, a chat's events in the order of their seqs.
type Delivery[T domain.Durable] struct {
	ID      DeliveryID // the same in every delivery of the event: what an effect is made once by
	Event   T
	Ordinal domain.Ordinal // of the chat's last message as of this event
	Meta    ports.Meta

	Attempt     int       // handler starts for this delivery, counted from the first failure on, over all processes: 1 until it has failed
	Redelivered bool      // whether a handler may have been started for it before
	Epoch       uint64    // of the lease under which it is delivered; grows with every owner: an effect with a lower one than another has come late
	Appended    time.Time // when the event was appended, by Redis's clock; by the event's own time where it was read back from the log
}

// DeliveryID is an event's identity: log, chat, seq and event id.
type DeliveryID = ports.DeliveryID

// SubscribeOption is a part of a subscription: a handler, or how to subscribe.
type SubscribeOption func(*subscription)

// On handles the durable events of one type; On for [domain.Durable] itself handles those that no other On of the subscription does, and
// that for [domain.Own] those of the team's own types (see [Definition.On] for one of them).
// A handler that returns an error is called again after a while, up to the attempts of [Config.Retry]; then, or at once if the error is
// [Permanent], the event is set aside in the group's dead letters and the next one follows.
func On[T domain.Durable](handle func(ctx context.Context, d Delivery[T]) error) SubscribeOption {
	typed := func(ctx context.Context, d ports.Delivery) error {
		event, ok := d.Event.(T)
		if !ok {
			return Permanent(&domain.InvalidError{Field: "event", Problem: "is of another type than its name says", Allowed: "the type of its name"})
		}
		return handle(ctx, Delivery[T]{
			ID: d.ID, Event: event, Ordinal: d.Ordinal, Meta: d.Meta,
			Attempt: d.Attempt, Redelivered: d.Redelivered, Epoch: d.Epoch, Appended: d.Appended,
		})
	}
	return func(s *subscription) {
		var zero T
		typ := wireformat.Type(zero)
		if _, own := any(zero).(domain.Own); own {
			typ = pubsub.AnyOwn
		} else if typ == "" {
			typ = pubsub.AnyType
		}
		s.handle(typ, typed)
	}
}

// FromBeginning makes a new group start with the first event there is instead of with the next one.
func FromBeginning() SubscribeOption {
	return func(s *subscription) { s.fromBeginning = true }
}

// Poison says what becomes of a chat when one of its events is set aside, because its handler failed for good.
type Poison = pubsub.Poison

// What to do about an event that cannot be handled.
const (
	Skip = pubsub.Skip // the chat goes on with its next event
	Park = pubsub.Park // the chat waits, and others go on, until the dead letter is given again or dropped
)

// OnPoison says what becomes of a chat when one of its events is set aside. Defaults to [Skip].
func OnPoison(p Poison) SubscribeOption {
	return func(s *subscription) { s.poison = p }
}

// InFlight is how many events of different chats may be with handlers of this process at a time; of one chat never more than one. Defaults
// to 64.
func InFlight(n int) SubscribeOption {
	return func(s *subscription) {
		if n < 1 {
			s.err = errors.Join(s.err, &domain.InvalidError{Field: "InFlight", Problem: fmt.Sprintf("is %d", n), Allowed: "a number from 1"})
		}
		s.inFlight = n
	}
}

// Passing makes the group one of this run only: it is removed when [Core.Run] ends. One that a crash leaves behind holds nothing up.
func Passing() SubscribeOption {
	return func(s *subscription) { s.passing = true }
}

// Permanent marks an error that trying again will not mend: the event becomes a dead letter at once.
func Permanent(err error) error { return pubsub.Permanent(err) }

// Live is an event as it reached this process on a live channel: at most once, without promises about order; seqs tell the order of
// durable events, and what is missing between them.
type Live[T domain.Event] struct {
	Event   T
	ID      domain.EventID // "" if another program published the event without one
	Seq     domain.Seq     // 0 for ephemeral events, and for those that are in no log
	Ordinal domain.Ordinal
	Meta    ports.Meta
	Foreign bool // whether another program published it
}

// LiveHandler handles live events of one type.
type LiveHandler struct {
	types  []string
	handle func(ctx context.Context, in wireformat.Incoming)
}

// OnLive handles the live events of one type, durable or ephemeral; OnLive for [domain.Event] itself handles them all. Calls are made
// one after another for each type; while a handler is slow a bounded number waits and further ones are dropped and counted.
func OnLive[T domain.Event](handle func(ctx context.Context, l Live[T])) LiveHandler {
	var zero T
	types := []string{wireformat.Type(zero)}
	if types[0] == "" {
		types = wireformat.LiveTypes()
	}
	return LiveHandler{types: types, handle: func(ctx context.Context, in wireformat.Incoming) {
		if event, ok := in.Event.(T); ok {
			handle(ctx, Live[T]{Event: event, ID: in.ID, Seq: in.Seq, Ordinal: in.Ordinal, Meta: in.Meta, Foreign: in.Foreign})
		}
	}}
}
