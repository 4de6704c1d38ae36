package chatcoretest

import (
	"context"
	"sync"
	"time"
)

// Clock stands still until it is moved.
type Clock struct {
	mu    sync.Mutex
	now   time.Time
	moved chan struct{} // closed when it moves
}

// NewClock makes a clock that stands at the given time.
func NewClock(at time.Time) *Clock { return &Clock{now: at, moved: make(chan struct{})} }

// Now is the time at which the clock stands.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock forward and wakes all waiters whose time has come. A negative duration moves it back.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	close(c.moved)
	c.moved = make(chan struct{})
}

// Sleep waits until the clock has been moved to the given time, or ctx ends.
func (c *Clock) Sleep(ctx context.Context, until time.Time) error {
	for {
		c.mu.Lock()
		now, moved := c.now, c.moved
		c.mu.Unlock()
		if !now.Before(until) {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
