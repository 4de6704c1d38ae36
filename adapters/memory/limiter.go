package memory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"chatcore/ports"
)

var _ ports.Limiter = (*Limiter)(nil)

// Limiter counts by a clock. It removes the state of a name that no longer affects a decision.
type Limiter struct {
	clock ports.Clock

	mu     sync.Mutex
	taken  map[limited]taken
	sweeps int // when there are so many names
}

type limited struct {
	algorithm ports.Algorithm
	name      string
}

// taken is the state of a limit for one name.
type taken struct {
	count int       // in a fixed window
	until time.Time // the end of the window, or when GCRA has all of it back
}

// NewLimiter has counted nothing yet.
func NewLimiter(clock ports.Clock) *Limiter {
	return &Limiter{clock: clock, taken: make(map[limited]taken), sweeps: 1024}
}

// Allow implements [ports.Limiter].
func (l *Limiter) Allow(ctx context.Context, limit ports.Limit, n int, name ...string) (ports.Decision, error) {
	decisions, err := l.AllowAll(ctx, ports.Take{Limit: limit, N: n, Name: name})
	if err != nil {
		return ports.Decision{}, err
	}
	return decisions[0], nil
}

// AllowAll implements [ports.Limiter].
func (l *Limiter) AllowAll(ctx context.Context, takes ...ports.Take) ([]ports.Decision, error) {
	if err := ports.CheckTakes(takes); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	decisions, after := make([]ports.Decision, 0, len(takes)), make(map[limited]taken, len(takes))
	for _, t := range takes {
		key := limited{t.Limit.Algorithm, fmt.Sprintf("%q", t.Name)}
		before := l.taken[key]
		if !now.Before(before.until) {
			before = taken{until: now}
		}
		decide := window
		if t.Limit.Algorithm == ports.GCRA {
			decide = gcra
		}
		var d ports.Decision
		d, after[key] = decide(t.Limit, t.N, before, now)
		if decisions = append(decisions, d); !d.Allowed {
			if after[key].until.After(now) {
				l.taken[key] = after[key] // its window, if the clock was set back
			}
			return decisions, nil
		}
	}
	for key, t := range after {
		if t.until.After(now) {
			l.taken[key] = t
			l.sweep(now)
		}
	}
	return decisions, nil
}

// window decides; before.until is now if the window is over.
func window(limit ports.Limit, n int, before taken, now time.Time) (ports.Decision, taken) {
	left := min(before.until.Sub(now), limit.Per) // more only after the clock was set back
	if before.count+n > limit.Rate && n > 0 {
		before.until = now.Add(left)
		return ports.Decision{Remaining: max(limit.Rate-before.count, 0), RetryAfter: left, ResetAfter: left}, before
	}
	if left == 0 && n > 0 {
		left = limit.Per
	}
	after := taken{count: before.count + n, until: now.Add(left)}
	return ports.Decision{Allowed: true, Remaining: max(limit.Rate-after.count, 0), ResetAfter: left}, after
}

// gcra decides; before.until is now if all of it is back.
func gcra(limit ports.Limit, n int, before taken, now time.Time) (ports.Decision, taken) {
	interval := float64(limit.Per) / float64(limit.Rate)
	full := time.Duration(interval * float64(limit.Capacity()))
	reset := before.until.Sub(now)
	if reset > full {
		reset = 0 // the clock was set back, or the limit was a larger one
	}
	wanted := reset + time.Duration(interval*float64(n))
	if wanted > full && n > 0 {
		return ports.Decision{Remaining: int(float64(full-reset)/interval + 1e-4), RetryAfter: wanted - full, ResetAfter: reset}, before
	}
	return ports.Decision{Allowed: true, Remaining: int(float64(full-wanted)/interval + 1e-4), ResetAfter: wanted}, taken{until: now.Add(wanted)}
}

// sweep removes the names that no longer matter, once there are twice as many as after the sweep before.
func (l *Limiter) sweep(now time.Time) {
	if len(l.taken) < l.sweeps {
		return
	}
	for key, t := range l.taken {
		if !now.Before(t.until) {
			delete(l.taken, key)
		}
	}
	l.sweeps = max(2*len(l.taken), 1024)
}
