package group

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chatcore/ports"
)

// Calls is a [Handler] that calls a function for each delivery. Calls run side by side, each in one of as many goroutines as deliveries are in flight. A
// call that panics or calls [runtime.Goexit] is a failed attempt.
type Calls func(ctx context.Context, d ports.Delivery) error

// Handle implements [Handler].
func (c Calls) Handle(d Delivery) {
	select {
	case d.item.member.idle <- d:
	default:
		go c.work(d)
	}
}

// Reclaim implements [Handler]: each call has begun.
func (Calls) Reclaim() []Delivery { return nil }

// maxIdle is how many goroutines of a member wait for deliveries at most. Their stacks have grown already: for a new goroutine that takes longer than
// everything else.
const maxIdle = 64

// work calls the function for a delivery, and then for others, until the member ends or enough goroutines wait.
func (c Calls) work(d Delivery) {
	m := d.item.member
	for some := true; some; d, some = m.waitIdle() {
		if !d.IsTimely() { // the process was suspended, and another may own the partition by now
			m.complete(d, ErrNotBegun)
			continue
		}
		for more := true; more; {
			d, more = m.completeAndTake(d, c.call(d))
		}
	}
}

// waitIdle waits for a delivery, unless enough goroutines do, or until the member has ended.
func (m *Member) waitIdle() (d Delivery, some bool) {
	if m.waiting.Add(1) <= maxIdle {
		select {
		case d = <-m.idle:
			some = true
		case <-m.done:
		}
	}
	m.waiting.Add(-1)
	return d, some
}

// call calls the function for a delivery.
func (c Calls) call(d Delivery) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		r := recover()
		if r == nil { // a Goexit cannot be stopped, but its outcome is reported
			d.Done(ErrExited)
			return
		}
		err = fmt.Errorf("%w: %v", ErrPanicked, r)
	}()
	err = c.begin(d)
	returned = true
	return err
}

func (c Calls) begin(d Delivery) error {
	in, err := d.Read()
	if err != nil {
		return err
	}
	return c(d.Context(), in)
}

// WithTimeout ends the context of each call after a time. A call that returns nil has succeeded, however long it took. One that ignores its context keeps
// its chat waiting: the order forbids another start beside it.
func (c Calls) WithTimeout(timeout time.Duration) Calls {
	return func(before context.Context, d ports.Delivery) error {
		ctx, cancel := context.WithTimeout(before, timeout)
		defer cancel()
		return TimedOut(before, ctx, timeout, c(ctx, d))
	}
}

// TimedOut returns the error of a handler that returned err and whose context was ctx, derived from before with a timeout: [ErrHandlerTimeout] if it failed
// after the timeout.
func TimedOut(before, ctx context.Context, timeout time.Duration, err error) error {
	if err != nil && before.Err() == nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: it has %v: %w", ErrHandlerTimeout, timeout, err)
	}
	return err
}
