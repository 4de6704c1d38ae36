package cache

import (
	"context"
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"runtime/debug"
	"time"

	"chatcore/ports"
)

// flight gets one value for everyone in the process who waits for it.
type flight[T any] struct {
	cancel  context.CancelCauseFunc
	waiters int
	ahead   bool          // goes on without waiters
	began   uint64        // when its load began; 0 if it has not
	done    chan struct{} // closed when result is there
	result  result[T]
}

type result[T any] struct {
	value T
	err   error
	// unsure results come of a load during which an invalidation may have come and gone: they are only for those who were waiting before
	// the load began.
	unsure bool
	seen   ports.CacheEntry // what was kept at the end
	away   bool             // the store did not answer
}

// await joins the flight of an id, or begins it.
func (c *Cache[K, T]) await(ctx context.Context, id K, e ports.CacheEntry, away bool) (T, error) {
	var none T
	since := uint64(0)
	for {
		f, at := c.join(ctx, id, e, away, since)
		if f == nil {
			return none, ErrClosed
		}
		since = at
		select {
		case <-f.done:
		case <-ctx.Done():
			c.leave(id, f)
			return none, ctx.Err()
		}
		r := f.result
		if !r.unsure || f.began > since {
			return r.value, r.err
		}
		e, away = r.seen, r.away
	}
}

// join gives the flight of an id to someone who has waited since the given time, or from now on if that is 0. It is nil after Close.
func (c *Cache[K, T]) join(ctx context.Context, id K, e ports.CacheEntry, away bool, since uint64) (*flight[T], uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if since == 0 {
		c.time++
		since = c.time
	}
	f := c.flying[id]
	if f == nil {
		if c.closed {
			return nil, since
		}
		f = c.begin(ctx, id, e, away, false)
	}
	f.waiters++
	return f, since
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

// begin is called with the lock held. What the first caller's context carries goes along, but not its end.
func (c *Cache[K, T]) begin(ctx context.Context, id K, e ports.CacheEntry, away, ahead bool) *flight[T] {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	f := &flight[T]{cancel: cancel, ahead: ahead, done: make(chan struct{})}
	if ahead {
		c.ahead++
	}
	c.flying[id] = f
	c.open[f] = struct{}{}
	c.flights.Go(func() {
		r := c.fly(ctx, id, f, e, away)
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

// fly finds a value in the store after all, or loads and keeps it.
func (c *Cache[K, T]) fly(ctx context.Context, id K, f *flight[T], e ports.CacheEntry, away bool) result[T] {
	key, token := c.key(id), ""
	if !away {
		var done bool
		var r result[T]
		if r, e, token, done = c.lease(ctx, id, key, e); done {
			return r
		}
	}
	if token == "" { // nobody else is kept from loading: at least this process is
		select {
		case c.slots <- struct{}{}:
			defer func() { <-c.slots }()
		case <-ctx.Done():
			return result[T]{err: context.Cause(ctx)}
		}
	}
	c.mu.Lock()
	c.time++
	f.began = c.time
	c.mu.Unlock()
	l := c.load(ctx, id)
	return c.keep(ctx, id, key, token, e, l)
}

const (
	firstWait = time.Millisecond
	lastWait  = 25 * time.Millisecond
)

// lease takes the lease of a value, unless the value is there meanwhile. It waits for others who load it, and gives no token if that is no use.
func (c *Cache[K, T]) lease(ctx context.Context, id K, key ports.CacheKey, e ports.CacheEntry) (r result[T], _ ports.CacheEntry, token string, done bool) {
	token = rand.Text()
	until, wait := time.Now().Add(c.kind.Lease), firstWait
	for {
		now, state, err := c.store.Lease(ctx, key, e, token, c.kind.Lease)
		if err != nil {
			if ctx.Err() != nil {
				return result[T]{err: context.Cause(ctx)}, e, "", true
			}
			c.counts.storeErrors.Add(1)
			return r, e, "", false
		}
		switch state {
		case ports.LeaseTaken:
			return r, e, token, false
		case ports.LeaseChanged:
			e = now
			if r, good := c.found(id, e); good {
				return r, e, "", true
			}
			if ctx.Err() != nil {
				return result[T]{err: context.Cause(ctx)}, e, "", true
			}
			continue
		case ports.LeaseHeld:
		}
		if time.Now().After(until) {
			return r, e, "", false
		}
		timer := time.NewTimer(wait/2 + mathrand.N(wait)) //nolint:gosec // spreads load
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return result[T]{err: context.Cause(ctx)}, e, "", true
		}
		wait = min(2*wait, lastWait)
	}
}

// found is the result that a good entry is.
func (c *Cache[K, T]) found(id K, e ports.CacheEntry) (result[T], bool) {
	value, v := c.judge(id, e)
	if v == negative {
		return result[T]{err: ErrNotFound, seen: e}, true
	}
	return result[T]{value: value, seen: e}, v.good()
}

// loaded is what a load gave: a value, or that there is none, or an error.
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
	if l.err != nil && ctx.Err() != nil {
		l.err = context.Cause(ctx)
	}
	if l.err != nil && flight.Err() == nil { // otherwise nobody waits for it
		c.counts.loadErrors.Add(1)
	}
	return l
}

// keep writes what was loaded, under the lease if there is one, and tells who waits. e is what was kept when the lease was taken.
func (c *Cache[K, T]) keep(ctx context.Context, id K, key ports.CacheKey, token string, e ports.CacheEntry, l loaded[T]) result[T] {
	own := result[T]{value: l.value, err: l.err, unsure: true, seen: e, away: token == ""}
	if l.missing {
		own.err = ErrNotFound
	}
	w, version, err := c.writeOf(l)
	if err != nil {
		own.err = err
	}
	old, v := c.judge(id, e)
	behind := err == nil && !l.missing && v >= expired && v != negative && e.Known && e.Meta.Version > version
	if err != nil || behind {
		return c.fallBack(ctx, id, key, token, own, old, v, behind)
	}
	if token == "" {
		return own
	}
	w.Token = token
	ctx, cancel := c.aside(ctx)
	defer cancel()
	now, kept, err := c.store.Put(ctx, key, w)
	switch {
	case err != nil:
		c.counts.storeErrors.Add(1)
		own.away = true
		return own
	case kept:
		own.unsure, own.seen = false, now
		return own
	}
	c.counts.refused.Add(1)
	if r, good := c.found(id, now); good { // what came meanwhile is newer
		return r
	}
	own.seen = now
	return own
}

// fallBack ends the lease and gives what is kept instead of what was loaded: as long as that may be given, or because what was loaded is of an
// earlier version.
func (c *Cache[K, T]) fallBack(
	ctx context.Context, id K, key ports.CacheKey, token string, own result[T], old T, v verdict, behind bool,
) result[T] {
	sure := false
	if token != "" {
		ctx, cancel := c.aside(ctx)
		defer cancel()
		now, _, err := c.store.Put(ctx, key, ports.CacheWrite{Token: token, Release: true})
		if err != nil {
			c.counts.storeErrors.Add(1)
		} else {
			sure, own.seen = true, now
			old, v = c.judge(id, now)
		}
	}
	switch {
	case behind:
		c.counts.refused.Add(1)
		if v < expired || v == negative {
			return own
		}
	case v == negative:
		return result[T]{err: ErrNotFound, unsure: !sure, seen: own.seen}
	case v < stale:
		own.unsure = false // an error is no old value
		return own
	default:
		c.counts.stale.Add(1)
	}
	return result[T]{value: old, unsure: !sure, seen: own.seen, away: own.away}
}

// aside is for what has to be done at the end also when nobody waits any more.
func (c *Cache[K, T]) aside(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), c.kind.Lease)
}
