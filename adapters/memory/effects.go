package memory

import (
	"context"
	"sync"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

var _ ports.Effects = (*Effects)(nil)

// Effects records by a clock which effects were made. An effect is its Func, which may be slow: calls for the same effect wait for it, others do not.
type Effects struct {
	clock ports.Clock
	ttl   time.Duration

	mu      sync.Mutex
	made    map[effect]time.Time // until when it is remembered
	order   []effect             // of made, the first to be forgotten first
	running map[effect]chan struct{}
}

// effect is the identity of an effect.
type effect struct {
	name, place string
	id          ports.DeliveryID
}

// NewEffects returns an empty store, which discards a record after ttl.
func NewEffects(clock ports.Clock, ttl time.Duration) *Effects {
	return &Effects{clock: clock, ttl: ttl, made: make(map[effect]time.Time), running: make(map[effect]chan struct{})}
}

// Once implements [ports.Effects].
func (e *Effects) Once(ctx context.Context, name string, id ports.DeliveryID, what ports.Effect) (made bool, err error) {
	if err := ports.CheckEffect(name, id); err != nil {
		return false, err
	}
	if what.Func == nil {
		return false, &domain.InvalidError{Field: "effect", Problem: "has no Func", Allowed: "a function, which effects in memory are"}
	}
	key := effect{name: name, place: what.Place(), id: id}
	if before, err := e.begin(ctx, key); before || err != nil {
		return false, err
	}
	defer func() { e.end(key, made) }() // also if it panics
	err = what.Func(ctx)
	return err == nil, err
}

// begin reports whether the effect was made before; if not, it is the caller's to make, once nobody else is at it.
func (e *Effects) begin(ctx context.Context, key effect) (before bool, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		e.mu.Lock()
		if until, there := e.made[key]; there && e.clock.Now().Before(until) {
			e.mu.Unlock()
			return true, nil
		}
		other := e.running[key]
		if other == nil {
			e.running[key] = make(chan struct{})
			e.mu.Unlock()
			return false, nil
		}
		e.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
		}
	}
}

func (e *Effects) end(key effect, made bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.running[key])
	delete(e.running, key)
	if !made {
		return
	}
	now := e.clock.Now()
	for len(e.order) > 0 && !now.Before(e.made[e.order[0]]) {
		delete(e.made, e.order[0])
		e.order = e.order[1:]
	}
	if _, there := e.made[key]; !there {
		e.order = append(e.order, key)
	}
	e.made[key] = now.Add(e.ttl)
}
