package chatcore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"chatcore/ports"
)

// readyFor is how long the result of a probe is shared: a core probes its log at most once in that time, however many callers ask.
const readyFor = time.Second

// readiness shares probes of the log between callers: those that come during a probe wait for it, and those that come within readyFor of its end
// get its result, be it good or bad.
type readiness struct {
	probe func(context.Context) error

	mu      sync.Mutex    // guards the fields below
	probing chan struct{} // closed when the probe in flight has ended; nil if there is none
	ended   time.Time     // of the last probe; zero if there was none
	err     error         // its result
	stop    context.CancelFunc
	closed  bool
}

// Ready returns nil if the log accepts events, as [Health].Ready says, and otherwise the reason. It probes every right, and makes a small write in
// every partition, at most once a second: all callers share the probe in flight and then its result, also a failure, for a second. Servers and groups
// are not inspected. A probe takes at most three seconds; ctx bounds only how long this caller waits for it. It returns [ErrClosed] from Close on.
func (c *Core) Ready(ctx context.Context) error {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return ErrClosed
	}
	return c.readiness.result(ctx)
}

func (r *readiness) result(ctx context.Context) error {
	r.mu.Lock()
	if r.probing == nil && (r.ended.IsZero() || time.Since(r.ended) >= readyFor) && !r.closed {
		r.begin(ctx)
	}
	probing := r.probing
	r.mu.Unlock()
	if probing != nil {
		select {
		case <-probing:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	return r.err
}

// begin starts a probe, which does not end with the context of the caller that it was started for. It is called with the mutex held.
func (r *readiness) begin(ctx context.Context) {
	ctx, r.stop = context.WithTimeout(context.WithoutCancel(ctx), healthLimit)
	done, stop := make(chan struct{}), r.stop
	r.probing = done
	go func() {
		defer close(done)
		defer stop()
		err := r.probe(ctx)
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("%w: it was not probed within %v: %w", ports.ErrUnavailable, healthLimit, ports.NotEnded(err))
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.probing, r.ended, r.err = nil, time.Now(), err
	}()
}

// close ends the probe in flight, and lets none begin.
func (r *readiness) close() {
	r.mu.Lock()
	r.closed = true
	probing := r.probing
	if probing != nil {
		r.stop()
	}
	r.mu.Unlock()
	if probing != nil {
		<-probing
	}
}
