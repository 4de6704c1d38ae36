package feed

import (
	"context"
	"sync"
	"time"
)

// pace spreads the openings of feeds: after a restart all readers come back at once, and what they have missed would keep the processors and Redis busy for
// seconds. Openings within a fifth of a second's share begin at once; further ones wait for their turn, in the order in which they came.
type pace struct {
	every time.Duration // between two openings that wait

	mu   sync.Mutex // guards next
	next time.Time  // of the next opening
}

func newPace(perSecond int) *pace { return &pace{every: time.Second / time.Duration(perSecond)} }

// atOnce is how far openings may be ahead of their turns.
const atOnce = 200 * time.Millisecond

// wait waits for the turn of an opening. It returns [ErrEnded] if ended is closed before, and ctx's error if ctx ends before; the turn is then used up.
func (p *pace) wait(ctx context.Context, ended <-chan struct{}) error {
	now := time.Now()
	p.mu.Lock()
	if earliest := now.Add(-atOnce); p.next.Before(earliest) {
		p.next = earliest
	}
	turn := p.next
	p.next = turn.Add(p.every)
	p.mu.Unlock()
	if !turn.After(now) {
		return ctx.Err()
	}
	timer := time.NewTimer(turn.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ended:
		return ErrEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}
