package chatcore

import (
	"context"
	"errors"
	"sync"
)

// ErrNotInMemory is returned by WaitIdle of a core that is not in memory: others may append to its log at any time.
var ErrNotInMemory = errors.New("WaitIdle needs a core in memory; NewInMemory or chatcoretest.New open one")

// WaitIdle waits until every accepted read mark is recorded, every group has handled all appended events, and every listener all live events, including
// those that handlers cause: for tests, of a running core in memory. With a clock that stands it waits for a pending mark until the clock is moved by a
// second. It returns the error of a ctx that ends before, and [ErrClosed] if the core ended before it ran.
func (c *Core) WaitIdle(ctx context.Context) error {
	if c.backend.idle == nil {
		return ErrNotInMemory
	}
	select {
	case <-c.running:
	case <-c.ended:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	return c.progress.until(ctx, func() bool {
		return c.Chats.MarkStats().Pending == 0 && c.backend.idle() && c.after.Idle() && c.live.idle() && c.helpers.Stats().Handled == c.backend.liveQueued()
	})
}

// progress wakes waiters when something has happened.
type progress struct {
	mu    sync.Mutex
	moved chan struct{} // nil if nobody waits
}

// made says that something has happened.
func (p *progress) made() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.moved != nil {
		close(p.moved)
		p.moved = nil
	}
}

// until waits until reached reports true; it is asked again whenever something has happened.
func (p *progress) until(ctx context.Context, reached func() bool) error {
	for {
		p.mu.Lock()
		if p.moved == nil {
			p.moved = make(chan struct{})
		}
		moved := p.moved
		p.mu.Unlock()
		if reached() {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
