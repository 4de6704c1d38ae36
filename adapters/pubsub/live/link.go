package live

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/internal/backoff"
	"chatcore/ports"
)

// link keeps one connection subscribed to a set of channels, as long as the set is not empty. A connection that is dead or silent is replaced, without
// limit. The first join starts the link's goroutine, and close ends it.
type link struct {
	open     func(ctx context.Context) *goredis.PubSub // returns a connection without subscriptions, which dials with the first command
	sharded  bool                                      // channels belong to a slot of a Cluster
	probe    time.Duration                             // silence after which the connection is pinged, and after another one replaced
	lost     func(worked bool)                         // is called after a connection was lost, or could not be opened; may be nil
	logger   *slog.Logger
	channels *channelSet

	reconnects atomic.Uint64
	failure    atomic.Pointer[error] // why the subscriptions do not work now, or nil

	// mu guards: stop, done and closed. Invariant: no I/O happens while it is held.
	mu     sync.Mutex
	stop   context.CancelFunc // nil before the first join
	done   chan struct{}
	closed bool
}

// join adds a receiver to a channel, see [channelSet.join]. It returns [ports.ErrClosed] after close.
func (l *link) join(name string, r receiver, confirmed func()) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ports.ErrClosed
	}
	l.channels.join(name, r, confirmed)
	if l.stop == nil {
		var ctx context.Context
		ctx, l.stop = context.WithCancel(context.Background())
		l.done = make(chan struct{})
		go l.supervise(ctx, l.done)
	}
	return nil
}

// joinAll adds a receiver to each of some channels, and waits until all subscriptions are confirmed. If ctx or the link ends before, the receiver leaves
// the channels again, and joinAll returns ctx's error or [ports.ErrClosed].
func (l *link) joinAll(ctx context.Context, receivers map[string]receiver) error {
	confirmed := make(chan struct{}, len(receivers))
	joined := make([]string, 0, len(receivers))
	leave := func() {
		for _, name := range joined {
			l.channels.leave(name, receivers[name])
		}
	}
	for name, r := range receivers {
		if err := l.join(name, r, func() { confirmed <- struct{}{} }); err != nil {
			leave()
			return err
		}
		joined = append(joined, name)
	}
	for range joined {
		select {
		case <-confirmed:
		case <-l.done:
			leave()
			return ports.ErrClosed
		case <-ctx.Done():
			leave()
			return ctx.Err()
		}
	}
	return nil
}

// close ends the connection and returns when no receiver is called any more.
func (l *link) close() {
	l.mu.Lock()
	l.closed = true
	stop, done := l.stop, l.done
	l.mu.Unlock()
	if stop != nil {
		stop()
		<-done
	}
}

// err returns why the subscriptions do not work now, or nil.
func (l *link) err() error {
	if failure := l.failure.Load(); failure != nil && !l.channels.empty() {
		return *failure
	}
	return nil
}

// reconnectPauses are the pauses between two connections. They begin anew after a connection that lasted longer than the longest pause.
func reconnectPauses() backoff.Policy {
	return backoff.Policy{First: 50 * time.Millisecond, Max: 2 * time.Second, Jitter: true}
}

// supervise keeps one connection subscribed to all channels until ctx ends.
func (l *link) supervise(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	pauses := reconnectPauses()
	for failed := 1; l.channels.await(ctx) == nil; failed++ {
		started := time.Now()
		c := &conn{link: l}
		err := c.run(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errUnused) {
			failed = 0
			continue
		}
		if c.worked {
			l.reconnects.Add(1)
		}
		l.failure.Store(&err)
		l.logger.WarnContext(ctx, "live connection lost, subscribing anew", "error", err)
		if l.lost != nil {
			l.lost(c.worked)
		}
		if time.Since(started) > pauses.Max {
			failed = 1
		}
		if pauses.Wait(ctx, failed) != nil {
			return
		}
	}
}
