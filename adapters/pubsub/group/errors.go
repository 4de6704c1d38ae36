package group

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/wireformat"
	"chatcore/ports"
)

// Errors of handler starts.
var (
	// ErrBroken is returned for an entry that cannot be read as an event.
	ErrBroken = errors.New("unreadable entry")
	// ErrNewerEvent is returned for an event of the log that a later version of the program wrote. Its chat waits for a member that can read it.
	ErrNewerEvent = errors.New("event of a later version of the program")
	// ErrNotBegun is the outcome of a start whose handler was not called, or was canceled. It does not count as an attempt.
	ErrNotBegun = errors.New("not begun")
	// ErrHandlerTimeout is returned for a handler that failed after its timeout. It is a failed attempt, even if the end of its context made a port
	// return an error such as [ports.ErrUnavailable].
	ErrHandlerTimeout = errors.New("handler timeout")
	// ErrPanicked is the failure of a handler that panicked.
	ErrPanicked = errors.New("the handler panicked")
	// ErrExited is the failure of a handler that called [runtime.Goexit].
	ErrExited = errors.New("the handler called runtime.Goexit")
)

// permanent marks an error that a retry cannot fix.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent marks an error that a retry cannot fix. A nil error stays nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanent{err}
}

// notNow marks the outcome of a handler that cannot handle the event now.
type notNow struct {
	error

	after time.Duration
}

func (n notNow) Unwrap() error { return n.error }

// ErrNotNow is the error of [NotNow] without another one.
var ErrNotNow = errors.New("not now")

// NotNow returns an error that says that the handler cannot handle the event now: it is started again after a pause, and no attempt is counted. With 0 the
// pause is that of a transient failure. A nil err is [ErrNotNow].
func NotNow(after time.Duration, err error) error {
	if err == nil {
		err = ErrNotNow
	}
	return notNow{err, max(after, 0)}
}

// retryAfter marks a failed attempt with the pause before the next one.
type retryAfter struct {
	error

	after time.Duration
}

func (r retryAfter) Unwrap() error { return r.error }

// RetryAfter marks an error with the pause before the next start, instead of that of the retry policy; with 0 the pause is that one. It changes nothing else:
// the start counts as an attempt unless the error is transient. A nil error stays nil.
func RetryAfter(err error, after time.Duration) error {
	if err == nil {
		return nil
	}
	return retryAfter{err, max(after, 0)}
}

// IsPermanent reports whether [Permanent] marked the error or one that it wraps. The mark wins over every transient error in the same chain.
func IsPermanent(err error) bool {
	_, marked := errors.AsType[permanent](err)
	return marked
}

// transient marks an error that passes without a change to the event or the handler.
type transient struct{ error }

func (t transient) Unwrap() error { return t.error }

// Transient marks an error that passes by itself. A nil error stays nil.
func Transient(err error) error {
	if err == nil {
		return nil
	}
	return transient{err}
}

// IsTransient reports whether an error says nothing about the event: [Transient] marked it, or it is one of the ports' errors about the
// infrastructure or about contention. An error that [Permanent] marked never is.
func IsTransient(err error) bool {
	if err == nil || IsPermanent(err) {
		return false
	}
	if _, marked := errors.AsType[transient](err); marked {
		return true
	}
	if errors.Is(err, ErrHandlerTimeout) && errors.Is(err, context.DeadlineExceeded) {
		return false // the handler took too long; the end of its context may have caused the other error
	}
	for _, known := range [...]error{
		ports.ErrUnavailable, ports.ErrOverloaded, ports.ErrOutcomeUnknown, ports.ErrUnconfirmed, ports.ErrLogLost,
		ports.ErrNewerLog,    // this process is too old for the log; another one continues
		ports.ErrEvicting,    // until an operator changes the store's policy
		ports.ErrClosed,      // this process ends; another one continues
		ports.ErrConflict,    // the entity was busy for longer than the command's own retries
		ports.ErrRateLimited, // the limit's window passes
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// IsNewer reports whether an error comes from an event that only a later version of the program can read: the delivered one, or one that its handler
// loaded. An error that [Permanent] marked never does.
func IsNewer(err error) bool {
	return err != nil && !IsPermanent(err) && (errors.Is(err, ErrNewerEvent) || errors.Is(err, ports.ErrNewerVersion))
}

// Unreadable returns the error for an entry that does not decode. An event of the log that a later version of the program wrote is
// [ErrNewerEvent]; everything else is a permanent [ErrBroken].
func Unreadable(ofLog bool, err error) error {
	if ofLog && (errors.Is(err, wireformat.ErrNewerVersion) || errors.Is(err, wireformat.ErrUnknownType)) {
		return fmt.Errorf("%w: %w", ErrNewerEvent, err)
	}
	return Permanent(fmt.Errorf("%w: %w", ErrBroken, err))
}

// outcomeOf returns the outcome of a handler start that failed.
func outcomeOf(err error) delivery.Outcome {
	o := delivery.Outcome{Kind: delivery.Failed, Cause: err.Error(), Unreadable: errors.Is(err, ErrBroken)}
	if marked, ok := errors.AsType[retryAfter](err); ok {
		o.After = marked.after
	}
	postponed, notNow := errors.AsType[notNow](err)
	switch {
	case notNow && !IsPermanent(err):
		o.Kind, o.After = delivery.Postponed, postponed.after
	case IsNewer(err):
		o.Kind = delivery.FailedAsNewer
	case IsTransient(err):
		o.Kind = delivery.FailedTransiently
	case IsPermanent(err):
		o.Kind = delivery.FailedForGood
	}
	return o
}
