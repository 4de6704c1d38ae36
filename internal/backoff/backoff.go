// Package backoff has the pauses between attempts: they double up to a maximum, and may vary at random.
//
// The package owns the length of a pause and the wait for its end. It must not know what is attempted, how often, or which errors pass: each caller
// keeps its own loop. It imports the standard library alone.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Policy is the pauses of one caller.
type Policy struct {
	First  time.Duration // pause after the first failed attempt; doubles with each further one
	Max    time.Duration // longest pause, before it varies
	Jitter bool          // each pause varies evenly from half of its length to one and a half, so that callers that failed together spread
}

// Pause returns the pause after the n-th failed attempt in a row, from 1: First·2^(n-1), at most Max. It is 0 if First or Max is.
func (p Policy) Pause(n int) time.Duration {
	pause, doubled := p.Max, min(max(n-1, 0), 62)
	if p.First <= p.Max>>doubled {
		pause = p.First << doubled
	}
	if !p.Jitter || pause <= 0 {
		return max(pause, 0)
	}
	return pause/2 + rand.N(pause) //nolint:gosec // spreads load
}

// Wait waits for the pause after the n-th failed attempt, or until ctx ends, whose error it then returns.
func (p Policy) Wait(ctx context.Context, n int) error { return Sleep(ctx, p.Pause(n)) }

// Sleep waits for a duration, or until ctx ends, whose error it then returns.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
