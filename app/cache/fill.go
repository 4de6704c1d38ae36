package cache

import (
	"context"
	"crypto/rand"
	"math"
	"time"

	"chatcore/internal/backoff"
	"chatcore/internal/flight"
	"chatcore/ports"
)

// filled is the flight of a value: one fill, for all callers in the process that wait for it.
type filled[T any] = flight.Flight[*fill, result[T]]

// fill is the state of a flight, set when it begins.
type fill struct {
	cancel context.CancelCauseFunc
	ahead  bool // goes on without waiters
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
func (c *Cache[K, T]) await(ctx context.Context, id K, f *filled[T], since uint64) (T, error) {
	for {
		select {
		case <-f.Done():
		case <-ctx.Done():
			c.leave(id, f)
			var none T
			return none, ctx.Err()
		}
		r, _ := f.Result()
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

// tick returns the time, which is another each time.
func (c *Cache[K, T]) tick() uint64 { return c.time.Add(1) }

// underWay joins a read that begins now to the flight of an id, if there is one with waiters: with 10,000 callers that saves as many round trips. A
// read that may be served without waiting, from a value that is refreshed, does not join.
func (c *Cache[K, T]) underWay(id K) (f *filled[T], since uint64) {
	since = c.tick()
	return c.flights.Follow(id, func(s **fill) bool { return !(*s).ahead }), since
}

// join joins the flight of an id, or begins it. It returns nil after Close.
func (c *Cache[K, T]) join(ctx context.Context, id K, e ports.CacheEntry, away bool) *filled[T] {
	return c.begin(ctx, id, e, away, false)
}

// refresh begins a flight that nobody has to wait for, unless there is one.
func (c *Cache[K, T]) refresh(ctx context.Context, id K, e ports.CacheEntry) {
	c.begin(ctx, id, e, false, true)
}

// begin joins the flight of an id, or begins one. With ahead it only begins one, which goes on without waiters: it counts as one itself. A flight has
// the values of the first caller's context, but not its end.
func (c *Cache[K, T]) begin(ctx context.Context, id K, e ports.CacheEntry, away, ahead bool) *filled[T] {
	f, leads := c.flights.Join(id, func(s **fill, first bool) bool {
		if !first {
			return !ahead
		}
		ctx, *s = c.admit(ctx, ahead)
		return *s != nil
	})
	if leads {
		go c.run(ctx, id, f, e, away)
	}
	return f
}

// admit registers a fill that begins, and returns its context. It returns nil after Close, or if too many fills are ahead of time already.
func (c *Cache[K, T]) admit(ctx context.Context, ahead bool) (context.Context, *fill) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || ahead && c.ahead >= c.kind.LoadLimit {
		return ctx, nil
	}
	o := &fill{ahead: ahead}
	ctx, o.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	if ahead {
		c.ahead++
	}
	c.open[o] = struct{}{}
	c.filling.Add(1)
	return ctx, o
}

// run fills the value of a flight and lands it.
func (c *Cache[K, T]) run(ctx context.Context, id K, f *filled[T], e ports.CacheEntry, away bool) {
	defer c.filling.Done()
	o := c.flights.State(id, f)
	r := c.fly(ctx, id, e, away)
	o.cancel(nil)
	c.mu.Lock()
	delete(c.open, o)
	if o.ahead {
		c.ahead--
	}
	c.mu.Unlock()
	c.flights.Land(id, f, r)
}

// forget keeps reads that begin now from joining the flights of ids.
func (c *Cache[K, T]) forget(ids ...K) {
	for _, id := range ids {
		c.flights.Forget(id)
	}
}

// leave ends a flight that nobody waits for any more.
func (c *Cache[K, T]) leave(id K, f *filled[T]) {
	o := c.flights.State(id, f)
	if c.flights.Leave(id, f) {
		o.cancel(context.Canceled)
	}
}

// end has all fills end.
func (c *Cache[K, T]) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for o := range c.open {
		o.cancel(ErrClosed)
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
		case c.loading <- struct{}{}:
			defer func() { <-c.loading }()
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

// leasePauses are the pauses of a loader that waits for the lease of another.
func leasePauses() backoff.Policy {
	return backoff.Policy{First: time.Millisecond, Max: 25 * time.Millisecond, Jitter: true}
}

// lease acquires the lease of a value, unless the value exists meanwhile. It waits for other loaders, and returns no token if a lease is of no use.
func (c *Cache[K, T]) lease(ctx context.Context, id K, key ports.CacheKey, e ports.CacheEntry) (r result[T], g loadStart, done bool) {
	token := rand.Text()
	until := time.Now().Add(c.kind.Lease)
	ended := func() (result[T], loadStart, bool) {
		return result[T]{err: context.Cause(ctx), asOf: alwaysFresh}, loadStart{}, true
	}
	for waits := 0; ; {
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
		waits++
		if leasePauses().Wait(ctx, waits) != nil {
			return ended()
		}
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
