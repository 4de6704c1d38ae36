package ports

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrClosed is returned by calls to a store, a publisher or a subscriber that was closed. The same call never succeeds again.
var ErrClosed = errors.New("closed")

// deadlineSlack is how long before the end of a caller's deadline a timeout is taken to be that deadline. A socket whose deadline is that of a
// context fires some microseconds before the context ends, on a busy machine some milliseconds.
const deadlineSlack = 100 * time.Millisecond

// Ended returns the error of the caller's own context, ctx, if the call that returned err came back because ctx ended: [context.Canceled] or
// [context.DeadlineExceeded]. It returns nil while the caller still waits, also if err is a timeout of something else, and if err is nil.
//
// A socket's timeout may come back shortly before the context's deadline, which it was derived from. Ended then waits until ctx has ended, for at
// most a tenth of a second, so that every later call of ctx.Err returns the same.
func Ended(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := ctx.Err(); cause != nil {
		return cause
	}
	deadline, bounded := ctx.Deadline()
	var timeout interface{ Timeout() bool }
	if !bounded || !errors.As(err, &timeout) || !timeout.Timeout() || time.Until(deadline) > deadlineSlack {
		return nil
	}
	timer := time.NewTimer(deadlineSlack)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C: // a context without a timer of its own
		return context.DeadlineExceeded
	}
}

// Unavailable translates the error of a call to a store that did not answer. The result is [ErrUnavailable] with err as its cause. If the
// caller's own context has ended, the cause is its error, as [Ended] returns it; otherwise the result is neither [context.Canceled] nor
// [context.DeadlineExceeded], because a timeout inside of an adapter is none of the caller's. An err that is ErrUnavailable already keeps its
// text; [ErrClosed] stays what it is. Unavailable returns nil if err is nil.
func Unavailable(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ended := Ended(ctx, err); ended != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, ended)
	}
	err = NotEnded(err)
	if errors.Is(err, ErrUnavailable) || errors.Is(err, ErrClosed) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// NotEnded returns err such that it is neither [context.Canceled] nor [context.DeadlineExceeded], for an error that came of another
// context, or another timeout, than the caller's. Text and everything else that err is stay.
func NotEnded(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &notEndedError{err}
	}
	return err
}

// notEndedError hides that an error is one of a context.
type notEndedError struct{ err error }

func (e *notEndedError) Error() string { return e.err.Error() }

func (e *notEndedError) Is(target error) bool {
	return target != context.Canceled && target != context.DeadlineExceeded && errors.Is(e.err, target) //nolint:errorlint // it is asked for these very values
}

func (e *notEndedError) As(target any) bool { return errors.As(e.err, target) }
