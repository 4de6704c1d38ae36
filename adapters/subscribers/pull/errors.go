package pull

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"chatcore/adapters/pubsub/group"
	"chatcore/domain"
)

// Errors of a [Broker]. A group without a definition is [groups.ErrNotDefined].
var (
	// ErrOtherKind is returned for a group whose handlers are no consumers.
	ErrOtherKind = errors.New("the group has no consumers: its events are posted to a webhook")
	// ErrPaused is returned for a group that is paused, also to consumers that it has at that time.
	ErrPaused = errors.New("the group is paused")
	// ErrDeleted is returned to the consumers of a group that is deleted.
	ErrDeleted = errors.New("the group was deleted")
	// ErrNotRunning is returned for a group that this process does not run yet, or no more.
	ErrNotRunning = errors.New("this process does not run the group now")
	// ErrStopping is returned to the consumers of a process that stops.
	ErrStopping = errors.New("the process stops")
	// ErrUnanswered is returned by [Broker.Settle] when the process that made a delivery has not answered. The settlements may have taken effect; they may be
	// repeated.
	ErrUnanswered = errors.New("the process of the delivery has not answered: the settlement may have taken effect, and may be repeated")
	// ErrClosed is returned by a consumer that was closed.
	ErrClosed = errors.New("the consumer is closed")
)

// Failures of deliveries, as dead letters have them.
var (
	errNoReason = errors.New("the consumer gave no reason")
	errBroke    = errors.New("the consumer was gone before it had settled the delivery")

	// A delivery that a consumer has had is returned without an attempt, and is made again as redelivered.
	errReturned = group.NotNow(time.Millisecond, errors.New("the consumer has returned the delivery"))
)

// unknownToken returns the error for a token that no process has made for the group.
func unknownToken(i int) error {
	return &domain.InvalidError{Field: fmt.Sprintf("settlements[%d].token", i), Problem: "is no token of the group", Allowed: "the token of a delivery of the group"}
}

// errorOf returns the error that an outcome is to the delivery core: nil, a failed attempt, or none.
func (s *Settlement) errorOf() error {
	reason := errNoReason
	if s.Reason != "" {
		reason = errors.New(s.Reason)
	}
	switch s.Kind {
	case Ack, Extend:
		return nil
	case Dead:
		return group.Permanent(reason)
	case Postpone:
		return group.NotNow(cmp.Or(s.After, defaultPostpone), reason)
	case Retry:
	}
	if s.After > 0 {
		return group.RetryAfter(reason, s.After)
	}
	return reason
}
