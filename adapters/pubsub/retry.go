package pubsub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sony/gobreaker"

	"chatcore/adapters/wireformat"
	"chatcore/internal/backoff"
	"chatcore/ports"
)

// RetryPolicy determines how often, and when, a failed handler is started again. Only the event's chat waits meanwhile.
//
// The defaults span about three minutes: pauses of 0.5, 1, 2, 4, 8, 16, 32, 60 and 60 seconds, each varied by half. Transient failures use the
// same pauses, up to 15 seconds, and never end; see [IsTransient].
type RetryPolicy struct {
	Attempts int           // handler starts before a delivery becomes a dead letter. Defaults to 10
	First    time.Duration // pause before the second start; doubles, varied by half. Defaults to 500 ms
	Max      time.Duration // longest pause between two starts. Defaults to 1 min
}

// WithDefaults returns the policy with the default of every field that is not positive.
func (r RetryPolicy) WithDefaults() RetryPolicy {
	if r.Attempts <= 0 {
		r.Attempts = 10
	}
	if r.First <= 0 {
		r.First = 500 * time.Millisecond
	}
	if r.Max <= 0 {
		r.Max = time.Minute
	}
	return r
}

// transientMax bounds the pause between two starts of a handler that fails transiently. After a long outage its chats resume this soon.
const transientMax = 15 * time.Second

// delay returns the pause after n failed starts: it doubles with each, varied by half so that handlers that failed together do not start together.
func (r RetryPolicy) delay(n int) time.Duration { return r.pauses(r.Max).Pause(n) }

// holdDelay returns the pause after n transient failures in a row.
func (r RetryPolicy) holdDelay(n int) time.Duration {
	return r.pauses(min(r.Max, transientMax)).Pause(n)
}

func (r RetryPolicy) pauses(most time.Duration) backoff.Policy {
	return backoff.Policy{First: r.First, Max: most, Jitter: true}
}

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
// infrastructure or about contention, or Watermill's CircuitBreaker returned it without a call of the handler. An error that [Permanent] marked never is.
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
		gobreaker.ErrOpenState, gobreaker.ErrTooManyRequests, // Watermill's CircuitBreaker did not call the handler
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

// ErrNewerEvent is returned for an event of the log that a later version of the program wrote. Its chat waits for a member that can read it.
var ErrNewerEvent = errors.New("event of a later version of the program")

// isNewer reports whether an error comes from an event that only a later version of the program can read: the delivered one, or one that its
// handler loaded. An error that [Permanent] marked never does.
func isNewer(err error) bool {
	return err != nil && !IsPermanent(err) && (errors.Is(err, ErrNewerEvent) || errors.Is(err, ports.ErrNewerVersion))
}

// unreadable returns the error for an entry that does not decode. An event of the log that a later version of the program wrote is
// [ErrNewerEvent]; everything else is a permanent [ErrBroken].
func unreadable(ofLog bool, err error) error {
	if ofLog && (errors.Is(err, wireformat.ErrNewerVersion) || errors.Is(err, wireformat.ErrUnknownType)) {
		return fmt.Errorf("%w: %w", ErrNewerEvent, err)
	}
	return Permanent(fmt.Errorf("%w: %w", ErrBroken, err))
}
