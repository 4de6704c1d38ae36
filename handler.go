package chatcore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// Delivery is a durable event given to a handler of a consumer group: at least once, a chat's events in the order of their seqs unless the group has
// [Unordered] or [OrderBy].
type Delivery[T domain.Durable] struct {
	ID      DeliveryID // the same in every delivery of the event: the identity of an effect
	Event   T
	Ordinal domain.Ordinal // of the chat's last message as of this event
	Meta    ports.Meta

	Attempt     int       // handler starts for this delivery, counted from the first failure on, over all processes: 1 until it has failed
	Redelivered bool      // whether a handler may have been started for it before
	Epoch       uint64    // of the lease under which it is delivered; grows with every owner: an effect with a lower one than another has come late
	Appended    time.Time // when the event was appended, by Redis's clock; by the event's own time where it was read back from the log
}

// DeliveryID is an event's identity: log, chat, seq and event id.
type DeliveryID struct {
	Log   string // id of the event log or, after restores, of the oldest log that it continues
	Chat  domain.ChatID
	Seq   domain.Seq
	Event domain.EventID
}

// SubscribeOption is a part of a subscription: a handler, or how to subscribe.
type SubscribeOption func(*registration)

// On handles the durable events of one type; On for [domain.Durable] itself handles those that no other On of the subscription does, and
// that for [domain.Custom] the custom types (see [Definition.On] for one of them).
// A handler that returns an error, panics or calls [runtime.Goexit] is started again after a while, up to the attempts of [DeliveryConfig.Retry]; then, or
// at once if the error is [Permanent], the event becomes a dead letter of the group and the next one follows. A [Transient] error is no attempt.
func On[T domain.Durable](handle func(ctx context.Context, d Delivery[T]) error) SubscribeOption {
	typed := func(ctx context.Context, d ports.Delivery) error {
		event, ok := d.Event.(T)
		if !ok {
			return Permanent(&domain.InvalidError{Field: "event", Problem: "is of another type than its name says", Allowed: "the type of its name"})
		}
		return handle(ctx, Delivery[T]{
			ID: DeliveryID(d.ID), Event: event, Ordinal: d.Ordinal, Meta: d.Meta,
			Attempt: d.Attempt, Redelivered: d.Redelivered, Epoch: d.Epoch, Appended: d.Appended,
		})
	}
	return func(s *registration) {
		s.err = errors.Join(s.err, noHandler("On", handle == nil), checkHandled[T]())
		var zero T
		typ := wireformat.Type(zero)
		if _, own := any(zero).(domain.Custom); own {
			typ = pubsub.AnyCustom
		} else if typ == "" {
			typ = pubsub.AnyType
		}
		s.handle(typ, typed)
	}
}

// Poison is the treatment of a chat when one of its events becomes a dead letter, because its handler failed for good.
type Poison = delivery.Poison

// The treatments of a chat whose event cannot be handled.
const (
	Skip = delivery.Skip // the chat goes on with its next event
	Park = delivery.Park // the chat waits, and others go on, until the dead letter is given again or dropped
)

// OnPoison sets the treatment of a chat when one of its events becomes a dead letter. Defaults to [Skip], the only one with [Unordered] or [OrderBy].
func OnPoison(p Poison) SubscribeOption {
	return func(s *registration) {
		if p != Skip && p != Park {
			s.err = errors.Join(s.err, &domain.InvalidError{Field: "OnPoison", Problem: "is " + p.String(), Allowed: "Skip or Park"})
		}
		s.poison = p
	}
}

// HandlerTimeout bounds each start of a handler: its context ends after d, and the error that it then returns counts as a failed attempt. A handler
// that ignores its context keeps the later events waiting that wait for its event; [Health.Findings] then names the chat. d should
// be longer than [RedisConfig.CommandTimeout], or a Redis that does not answer counts as failed attempts too. Without this option handlers have no
// timeout, and are named after 30 s.
func HandlerTimeout(d time.Duration) SubscribeOption {
	return func(s *registration) {
		if d <= 0 {
			s.err = errors.Join(s.err, &domain.InvalidError{Field: "HandlerTimeout", Problem: "is " + d.String(), Allowed: "a duration above 0"})
		}
		s.timeout = d
	}
}

// WithMiddleware surrounds every start of the group's handler by Watermill middlewares, the first one outermost, inside of those of [Core.Use]. A
// middleware sees each start and its error, may give the message another context, other metadata or another payload, and may wait or call the handler
// again. It does not decide that an event is finished: a start has succeeded if the handler's last call returned nil and the middlewares did
// too. If they return nil for a handler that failed, the handler's error counts, and if they did not call it, [ErrHandlerSkipped]. State of a middleware,
// such as that of a circuit breaker, is the group's own if no other group is given the same middleware.
func WithMiddleware(middlewares ...message.HandlerMiddleware) SubscribeOption {
	return func(s *registration) {
		s.err = errors.Join(s.err, checkMiddlewares("WithMiddleware", middlewares))
		s.middlewares = append(s.middlewares, middlewares...)
	}
}

// ErrHandlerSkipped is the failure of a start in which a middleware returned nil without a call of the handler. It counts as an attempt.
var ErrHandlerSkipped = pubsub.ErrHandlerSkipped

func checkMiddlewares(field string, middlewares []message.HandlerMiddleware) error {
	for i, m := range middlewares {
		if m == nil {
			return &domain.InvalidError{Field: field, Problem: fmt.Sprintf("has nil as middleware %d", i+1), Allowed: "middlewares"}
		}
	}
	return nil
}

// Ephemeral makes the group one of this run only: it is removed when [Core.Run] ends. One that a crash leaves behind holds nothing up.
func Ephemeral() SubscribeOption {
	return func(s *registration) { s.passing = true }
}

// Permanent marks an error that a retry does not mend: the event becomes a dead letter at once. The mark wins over a transient error that err
// wraps, and over the mark of [Transient]. A nil error stays nil.
func Permanent(err error) error { return group.Permanent(err) }

// Transient marks an error that passes by itself and says nothing about the event, such as that of a database that does not answer. It never
// counts as an attempt: the handler is started again, for as long as it fails so, after pauses as [DeliveryConfig.Retry] says, but of 15 seconds at most.
// Only the event's chat waits. A chat that waits for more than 10 seconds is named in its group's state and in [Health.Findings]. A nil error
// stays nil.
//
// These errors are transient without the mark: [ports.ErrUnavailable], [ports.ErrOverloaded], [ports.ErrOutcomeUnknown],
// [ports.ErrUnconfirmed], [ports.ErrConflict], [ports.ErrRateLimited], [ports.ErrEvicting], [ports.ErrLogLost] and [ports.ErrClosed],
// and the errors of Watermill's CircuitBreaker: gobreaker.ErrOpenState and gobreaker.ErrTooManyRequests. A handler that sends messages or records events must
// give them ids: after a lost outcome it is started again.
func Transient(err error) error { return group.Transient(err) }

// IsTransient reports whether an error that a handler returns never counts as an attempt.
func IsTransient(err error) bool { return group.IsTransient(err) }

// NotNow returns an error with which a handler says that it cannot handle the event now, because of err, which may be nil: the handler is started again after a
// pause, and no attempt is counted. With 0 the pause is that of a transient failure. Only the events wait that wait for this one; a chat that waits for more than
// 10 seconds is named in its group's state.
func NotNow(after time.Duration, err error) error { return group.NotNow(after, err) }

// RetryAfter marks an error with the pause before the next start, instead of that of [DeliveryConfig.Retry]; with 0 the pause is that one. It changes nothing
// else: the start counts as an attempt unless the error is transient. A nil error stays nil.
func RetryAfter(err error, after time.Duration) error { return group.RetryAfter(err, after) }

// Live is an event as it reached this process on a live channel: at most once, without promises about order; seqs give the order of durable events,
// and show gaps between them.
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
	err    error // returned by Listen
}

// OnLive handles the live events of one type, durable or ephemeral. OnLive for [domain.Event] handles all of them, that for [domain.Durable] or
// [domain.Ephemeral] all durable or ephemeral ones, and that for [domain.Custom] all custom ones; [Definition.OnLive] handles those of one custom type.
// Calls are made one after another for each type; custom types that have no handler of their own count as one. While a handler is slow, a bounded number
// of events waits ([DeliveryConfig.LiveBuffer]), and further ones are dropped and counted. A handler that panics or calls [runtime.Goexit] is counted in
// [Stats.LiveFailed], and called with the next event.
func OnLive[T domain.Event](handle func(ctx context.Context, l Live[T])) LiveHandler {
	types, err := liveTypes[T]()
	return LiveHandler{types: types, err: errors.Join(err, noHandler("OnLive", handle == nil)), handle: func(ctx context.Context, in wireformat.Incoming) {
		if event, ok := in.Event.(T); ok {
			handle(ctx, Live[T]{Event: event, ID: in.ID, Seq: in.Seq, Ordinal: in.Ordinal, Meta: in.Meta, Foreign: in.Foreign})
		}
	}}
}

// liveTypes returns the types of the live events that are a T, with pubsub.AnyCustom for custom ones.
func liveTypes[T domain.Event]() ([]string, error) {
	var types []string
	all := []domain.Event{
		domain.MessageNew{},
		domain.MessageEdit{},
		domain.MessageDelete{},
		domain.MessageErased{},
		domain.MessageReaction{},
		domain.ReadReceipt{},
		domain.ChatUpdate{},
		domain.ChatDeleted{},
		domain.ChatPolicy{},
		domain.MemberRestriction{},
		domain.ChatMetadata{},
		domain.ChatSettings{},
		domain.MessagePin{},
		domain.ThreadMark{},
		domain.UserStatus{},
		domain.TypingStart{},
		domain.TypingStop{},
		domain.Custom{},
	}
	for _, e := range all {
		if _, is := e.(T); is {
			types = append(types, cmp.Or(wireformat.Type(e), pubsub.AnyCustom))
		}
	}
	if types == nil {
		return nil, &domain.InvalidError{
			Field: "OnLive", Problem: "is for " + reflect.TypeFor[T]().String(),
			Allowed: "an event of package domain, domain.Event, domain.Durable or domain.Ephemeral for all of them, domain.Custom for all custom ones, or Definition.OnLive for those of one type",
		}
	}
	return types, nil
}
