package cache

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"chatcore/ports"
)

// loaded is the result of a load: a value, its absence, or an error.
type loaded[T any] struct {
	value   T
	encoded []byte
	missing bool
	err     error
}

var errExited = errors.New("the loader ended its goroutine")

// load calls the loader, for no longer than it may take. One that goes on nevertheless is left behind.
func (c *Cache[K, T]) load(flight context.Context, id K) loaded[T] {
	c.counts.loads.Add(1)
	ctx, cancel := context.WithTimeoutCause(flight, c.kind.LoadTimeout, ErrLoadTimeout)
	defer cancel()
	ended := make(chan loaded[T], 1)
	c.loaders.Go(func() {
		l := loaded[T]{err: errExited}
		defer func() {
			if p := recover(); p != nil {
				l.err = &PanicError{Value: p, Stack: debug.Stack()}
			}
			ended <- l
		}()
		value, err := c.source.Load(ctx, id)
		if err == nil {
			l.value = value
			l.encoded, l.err = encode(value)
			l.missing = string(l.encoded) == "null"
		} else {
			l.missing, l.err = errors.Is(err, ErrNotFound), err
		}
		if l.missing {
			l.err = nil
		}
	})
	var l loaded[T]
	select {
	case l = <-ended:
	case <-ctx.Done():
		l.err = ctx.Err()
	}
	if ports.Ended(ctx, l.err) != nil {
		l.err = context.Cause(ctx)
	}
	if l.err != nil && flight.Err() == nil { // otherwise nobody waits for it
		c.counts.loadErrors.Add(1)
	}
	return l
}

// keep stores the result of a load that began at the given time, under the lease if there is one, and completes the flight.
func (c *Cache[K, T]) keep(ctx context.Context, id K, key ports.CacheKey, g loadStart, began uint64, l loaded[T]) result[T] {
	own := result[T]{value: l.value, err: l.err, asOf: began, seen: g.seen, away: g.away}
	if l.missing {
		own.err = ErrNotFound
	}
	w, version, err := c.writeOf(l)
	if err != nil {
		own.err = err
	}
	old, v := c.judge(id, key.Origin, g.seen)
	if err == nil && c.origin(ctx) != key.Origin { // the load may have read either
		c.release(ctx, key, g)
		return own
	}
	behind := err == nil && !l.missing && v >= expired && v != negative && g.seen.Known && g.seen.Meta.Version > version
	if err != nil || behind {
		return c.fallBack(ctx, id, key, g, own, old, v, behind)
	}
	ctx, cancel := c.aside(ctx)
	defer cancel()
	if g.token == "" {
		if !g.away {
			c.forward(ctx, key, version)
		}
		return own
	}
	w.Token = g.token
	asOf := c.tick()
	now, kept, err := c.store.Put(ctx, key, w)
	switch {
	case err != nil:
		c.counts.storeErrors.Add(1)
		own.away = true
		return own
	case kept: // so there was no invalidation until then
		own.asOf, own.seen = asOf, now
		return own
	}
	c.counts.refused.Add(1)
	if r, good := c.found(id, key.Origin, now, asOf); good { // a newer entry exists
		return r
	}
	own.seen = now
	c.forward(ctx, key, version)
	return own
}

// release ends the lease, if there is one, and writes nothing.
func (c *Cache[K, T]) release(ctx context.Context, key ports.CacheKey, g loadStart) {
	if g.token == "" {
		return
	}
	ctx, cancel := c.aside(ctx)
	defer cancel()
	if _, _, err := c.store.Put(ctx, key, ports.CacheWrite{Token: g.token, Release: true}); err != nil {
		c.counts.storeErrors.Add(1)
	}
}

// forward sees to it that nothing of an earlier version comes after a value that is given and not kept.
func (c *Cache[K, T]) forward(ctx context.Context, key ports.CacheKey, version uint64) {
	if version == 0 {
		return
	}
	if err := c.store.Invalidate(ctx, version, c.kind.Remember, key); err != nil {
		c.counts.storeErrors.Add(1)
	}
}

// fallBack ends the lease and returns the stored value instead of the loaded one: while that may be served, or because the loaded one has an earlier
// version.
func (c *Cache[K, T]) fallBack(
	ctx context.Context, id K, key ports.CacheKey, g loadStart, own result[T], old T, v verdict, behind bool,
) result[T] {
	asOf := g.asOf
	if g.token != "" {
		ctx, cancel := c.aside(ctx)
		defer cancel()
		at := c.tick()
		now, _, err := c.store.Put(ctx, key, ports.CacheWrite{Token: g.token, Release: true})
		if err != nil {
			c.counts.storeErrors.Add(1)
		} else {
			asOf, own.seen = at, now
			old, v = c.judge(id, key.Origin, now)
		}
	}
	switch {
	case behind:
		c.counts.refused.Add(1)
		if v < expired || v == negative {
			return own
		}
	case v == negative:
		return result[T]{err: ErrNotFound, asOf: asOf, seen: own.seen}
	case v < stale:
		own.asOf = alwaysFresh // an error is no old value
		return own
	default:
		c.counts.stale.Add(1)
	}
	return result[T]{value: old, asOf: asOf, seen: own.seen, away: own.away}
}

// aside returns a context for the final steps, which are needed even without waiters, and after the lease has ended: they keep versions from going back.
func (c *Cache[K, T]) aside(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), c.kind.LoadTimeout)
}

// mostResting is how many loads that failed are remembered; one more would be tried again at once.
const mostResting = 4096

// rest has a load that failed not tried again for a while, if there is an older value, and one that did not fail tried at any time.
func (c *Cache[K, T]) rest(id K, failed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !failed || c.kind.Retry <= 0 {
		delete(c.resting, id)
		return
	}
	now := c.clock.Now()
	if len(c.resting) >= mostResting {
		for other, until := range c.resting {
			if !c.before(now, until) {
				delete(c.resting, other)
			}
		}
	}
	if len(c.resting) < mostResting {
		c.resting[id] = now.Add(c.kind.Retry)
	}
}

// rests reports whether a load has just failed.
func (c *Cache[K, T]) rests(id K) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	until, ok := c.resting[id]
	return ok && c.before(c.clock.Now(), until)
}

// before reports whether a rest still lasts: not if the clock was set back to before it.
func (c *Cache[K, T]) before(now, until time.Time) bool {
	left := until.Sub(now)
	return left > 0 && left <= c.kind.Retry
}
