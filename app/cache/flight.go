package cache

import (
	"context"
	"crypto/rand"
	"math"
	mathrand "math/rand/v2"
	"time"

	"chatcore/ports"
)

// flight loads one value for all callers in the process that wait for it.
type flight[T any] struct {
	cancel  context.CancelCauseFunc
	waiters int
	ahead   bool          // goes on without waiters
	done    chan struct{} // closed when result is there
	result  result[T]
}

type result[T any] struct {
	value T
	err   error
	// asOf is the time at which the store or the loader was asked for the result. An invalidation may have happened since: a read that began later
	// reads again.
	asOf uint64
	seen ports.CacheEntry // the entry at the end
	away bool             // the store did not answer
}

// alwaysFresh is when a result was asked for that is right for everyone.
const alwaysFresh = math.MaxUint64

// await waits for the result of a flight, for a read that began at the given time.
func (c *Cache[K, T]) await(ctx context.Context, id K, f *flight[T], since uint64) (T, error) {
	for {
		select {
		case <-f.done:
		case <-ctx.Done():
			c.leave(id, f)
			var none T
			return none, ctx.Err()
		}
		r := &f.result
		if since < r.asOf {
			return r.value, r.err
		}
		if !r.away {
			return c.read(ctx, id, since, true)
		}
		if f = c.join(ctx, id, r.seen, true); f == nil {
			var none T
			return none, ErrClosed
		}
	}
}

// tick gives the time, which is another each time.
func (c *Cache[K, T]) tick() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.time++
	return c.time
}

// underWay joins a read that begins now to the flight of an id, if there is one with waiters: with 10,000 callers that saves as many round trips. A
// read that may be served without waiting, from a value that is refreshed, does not join.
func (c *Cache[K, T]) underWay(id K) (f *flight[T], since uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.time++
	if f = c.flying[id]; f == nil || f.ahead {
		return nil, c.time
	}
	f.waiters++
	return f, c.time
}

// join joins the flight of an id, or begins it. It is nil after Close.
func (c *Cache[K, T]) join(ctx context.Context, id K, e ports.CacheEntry, away bool) *flight[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.flying[id]
	if f == nil {
		if c.closed {
			return nil
		}
		f = c.begin(ctx, id, e, away, false)
	}
	f.waiters++
	return f
}

// forget keeps reads that begin now from joining the flights of ids.
func (c *Cache[K, T]) forget(ids ...K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		delete(c.flying, id)
	}
}

// leave ends a flight that nobody waits for any more.
func (c *Cache[K, T]) leave(id K, f *flight[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.waiters--; f.waiters > 0 || f.ahead {
		return
	}
	f.cancel(context.Canceled)
	if c.flying[id] == f {
		delete(c.flying, id)
	}
}

// refresh begins a flight that nobody has to wait for.
func (c *Cache[K, T]) refresh(ctx context.Context, id K, e ports.CacheEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flying[id] == nil && !c.closed && c.ahead < c.kind.LoadLimit {
		c.begin(ctx, id, e, false, true)
	}
}

// begin is called with the lock held. The flight has the values of the first caller's context, but not its end.
func (c *Cache[K, T]) begin(ctx context.Context, id K, e ports.CacheEntry, away, ahead bool) *flight[T] {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	f := &flight[T]{cancel: cancel, ahead: ahead, done: make(chan struct{})}
	if ahead {
		c.ahead++
	}
	c.flying[id] = f
	c.open[f] = struct{}{}
	c.flights.Go(func() {
		r := c.fly(ctx, id, e, away)
		cancel(nil)
		c.mu.Lock()
		f.result = r
		if c.flying[id] == f {
			delete(c.flying, id)
		}
		delete(c.open, f)
		if ahead {
			c.ahead--
		}
		c.mu.Unlock()
		close(f.done)
	})
	return f
}

// end has all flights end.
func (c *Cache[K, T]) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for f := range c.open {
		f.cancel(ErrClosed)
	}
}

// loadStart is the state at the start of a load.
type loadStart struct {
	seen  ports.CacheEntry // the stored entry
	asOf  uint64           // when it was asked for
	token string           // of the lease, or "" if there is none
	away  bool             // the store does not answer
}

// fly finds a value in the store after all, or loads and keeps it.
func (c *Cache[K, T]) fly(ctx context.Context, id K, e ports.CacheEntry, away bool) result[T] {
	key, g := c.key(id, c.origin(ctx)), loadStart{seen: e, away: away}
	if !away {
		var done bool
		var r result[T]
		if r, g, done = c.lease(ctx, id, key, e); done {
			return r
		}
	}
	if g.token == "" { // nobody else is kept from loading: at least this process is
		select {
		case c.slots <- struct{}{}:
			defer func() { <-c.slots }()
		case <-ctx.Done():
			return result[T]{err: context.Cause(ctx), asOf: alwaysFresh}
		}
	}
	began := c.tick()
	if g.away { // nobody knows better
		g.asOf = began
	}
	l := c.load(ctx, id)
	if ctx.Err() == nil {
		c.rest(id, l.err != nil)
	}
	return c.keep(ctx, id, key, g, began, l)
}

const (
	firstWait = time.Millisecond
	lastWait  = 25 * time.Millisecond
)

// lease acquires the lease of a value, unless the value exists meanwhile. It waits for other loaders, and returns no token if a lease is of no use.
func (c *Cache[K, T]) lease(ctx context.Context, id K, key ports.CacheKey, e ports.CacheEntry) (r result[T], g loadStart, done bool) {
	token := rand.Text()
	until, wait := time.Now().Add(c.kind.Lease), firstWait
	ended := func() (result[T], loadStart, bool) {
		return result[T]{err: context.Cause(ctx), asOf: alwaysFresh}, loadStart{}, true
	}
	for {
		asOf := c.tick()
		now, state, err := c.store.Lease(ctx, key, e, token, c.kind.Lease)
		if err != nil {
			if ports.Ended(ctx, err) != nil {
				return ended()
			}
			c.counts.storeErrors.Add(1)
			return r, loadStart{seen: e, away: true}, false
		}
		switch state {
		case ports.LeaseTaken:
			return r, loadStart{seen: e, asOf: asOf, token: token}, false
		case ports.LeaseChanged:
			e = now
			if r, good := c.found(id, key.Origin, e, asOf); good {
				return r, loadStart{}, true
			}
			if ctx.Err() != nil {
				return ended()
			}
			continue
		case ports.LeaseHeld:
		}
		if time.Now().After(until) {
			return r, loadStart{seen: e, asOf: asOf}, false
		}
		timer := time.NewTimer(wait/2 + mathrand.N(wait)) //nolint:gosec // spreads load
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ended()
		}
		wait = min(2*wait, lastWait)
	}
}

// found is the result that a good entry is.
func (c *Cache[K, T]) found(id K, origin string, e ports.CacheEntry, asOf uint64) (result[T], bool) {
	value, v := c.judge(id, origin, e)
	if v == negative {
		return result[T]{err: ErrNotFound, asOf: asOf, seen: e}, true
	}
	return result[T]{value: value, asOf: asOf, seen: e}, v.good()
}
