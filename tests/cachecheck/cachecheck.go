// Package cachecheck runs the caches of several processes that read, put and invalidate one value at random. It reports the reads whose result was
// not allowed.
package cachecheck

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"pgregory.net/rapid"

	"chatcore/app/cache"
	"chatcore/ports"
)

// Value records when, and as of which version, it was loaded.
type Value struct {
	Read int    `json:"read"` // when its source was read, in steps
	V    uint64 `json:"v"`
}

// Versioned is a Value with a version that a cache knows.
type Versioned struct{ Value }

// CacheVersion implements [cache.Versioned].
func (v Versioned) CacheVersion() uint64 { return v.V }

// Call is one step of a plan.
type Call struct {
	At   time.Duration // after the start
	In   int           // index of the process
	What string        // "get" or "change"
	Late time.Duration // between a change of the source and the call that reports it to the store
	Put  bool          // Put reports the change
}

// Plan is the plan of a run.
type Plan struct {
	Versioned bool
	Unit      time.Duration
	Processes int
	Kind      cache.Config
	Loads     []Load          // of the first, second, … load; then from the beginning
	Store     []time.Duration // how long the first, second, … call of the store takes, half of it before the store does it; then from the beginning
	Calls     []Call
}

// Load is the course of one load.
type Load struct {
	Before, After time.Duration // before and after reading the source
	Fails         bool
}

// Draw draws a plan. Its times are multiples of a unit, which a run in real time makes small.
func Draw(t *rapid.T, versioned bool) Plan {
	const unit = time.Millisecond
	some := func(name string, most int) time.Duration {
		return unit * time.Duration(rapid.IntRange(0, most).Draw(t, name))
	}
	p := Plan{Versioned: versioned, Unit: unit, Processes: rapid.IntRange(1, 3).Draw(t, "processes")}
	p.Kind = cache.Config{Prefix: "check:", TTL: time.Hour, LoadTimeout: time.Minute, Lease: 10*unit + some("lease", 60)}
	if !versioned { // an expired value has no version any more
		p.Kind.TTL = 10*unit + some("ttl", 60)
		p.Kind.Soft = some("soft", 5)
		p.Kind.Stale = some("stale", 40)
	}
	for range rapid.IntRange(1, 5).Draw(t, "loads") {
		p.Loads = append(p.Loads, Load{Before: some("before", 5), After: some("after", 30), Fails: rapid.IntRange(0, 4).Draw(t, "fails") == 0})
	}
	slow := rapid.IntRange(0, 2).Draw(t, "slow") == 0 // some calls of the store outlast a lease
	for range rapid.IntRange(1, 7).Draw(t, "store calls") {
		took := time.Duration(0)
		if slow {
			took = some("store call", 60)
		}
		p.Store = append(p.Store, took)
	}
	for range rapid.IntRange(2, 40).Draw(t, "calls") {
		c := Call{At: some("at", 200), In: rapid.IntRange(0, p.Processes-1).Draw(t, "in"), What: "get"}
		if rapid.IntRange(0, 2).Draw(t, "what") == 0 {
			c.What, c.Late = "change", some("late", 20)
			c.Put = versioned && rapid.Bool().Draw(t, "put")
		}
		p.Calls = append(p.Calls, c)
	}
	return p
}

// process is one process's cache.
type process interface {
	get(ctx context.Context) (Value, error)
	changed(ctx context.Context, v Value, put bool) error
	close()
}

type plain struct{ *cache.Cache[string, Value] }

func (p plain) get(ctx context.Context) (Value, error)             { return p.Get(ctx, "a") }
func (p plain) changed(ctx context.Context, _ Value, _ bool) error { return p.Invalidate(ctx, "a") }
func (p plain) close()                                             { p.Close() }

type forward struct {
	*cache.Cache[string, Versioned]
}

func (p forward) get(ctx context.Context) (Value, error) {
	v, err := p.Get(ctx, "a")
	return v.Value, err
}

func (p forward) changed(ctx context.Context, v Value, put bool) error {
	if put {
		_, err := p.Put(ctx, "a", Versioned{v})
		return err
	}
	return p.InvalidateBefore(ctx, v.V, "a")
}
func (p forward) close() { p.Close() }

var errLoad = errors.New("the load fails")

// run is the record of a run.
type run struct {
	Plan
	mu      sync.Mutex
	step    int
	version uint64
	loads   int
	stored  int // calls of the store
	gets    []span
	changes []span
	faults  []string
}

type span struct {
	from, to int
	value    Value
}

func (r *run) now() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.step++
	return r.step
}

func (r *run) load(ctx context.Context) (Value, error) {
	r.mu.Lock()
	how := r.Loads[r.loads%len(r.Loads)]
	r.loads++
	r.mu.Unlock()
	pause(ctx, how.Before)
	r.mu.Lock()
	r.step++
	v := Value{Read: r.step, V: r.version}
	r.mu.Unlock()
	pause(ctx, how.After)
	if how.Fails {
		return Value{}, errLoad
	}
	return v, nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// slowStore is a store whose calls take as long as the plan says. A call whose context ends before the store does it is not done.
type slowStore struct {
	ports.CacheStore
	run *run
}

// call does a call of the store. It returns the error of the context if that ends before the answer.
func (s slowStore) call(ctx context.Context, do func() error) error {
	s.run.mu.Lock()
	took := s.run.Store[s.run.stored%len(s.run.Store)]
	s.run.stored++
	s.run.mu.Unlock()
	if took == 0 {
		return do()
	}
	pause(ctx, took/2)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err := do()
	pause(ctx, took/2)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (s slowStore) Get(ctx context.Context, key ports.CacheKey) (e ports.CacheEntry, err error) {
	err = s.call(ctx, func() error {
		e, err = s.CacheStore.Get(ctx, key)
		return err
	})
	return e, err
}

func (s slowStore) Lease(ctx context.Context, key ports.CacheKey, seen ports.CacheEntry, token string, d time.Duration) (e ports.CacheEntry, state ports.LeaseState, err error) {
	err = s.call(ctx, func() error {
		e, state, err = s.CacheStore.Lease(ctx, key, seen, token, d)
		return err
	})
	return e, state, err
}

func (s slowStore) Put(ctx context.Context, key ports.CacheKey, w ports.CacheWrite) (e ports.CacheEntry, kept bool, err error) {
	err = s.call(ctx, func() error {
		e, kept, err = s.CacheStore.Put(ctx, key, w)
		return err
	})
	return e, kept, err
}

func (s slowStore) Invalidate(ctx context.Context, version uint64, remember time.Duration, keys ...ports.CacheKey) error {
	return s.call(ctx, func() error { return s.CacheStore.Invalidate(ctx, version, remember, keys...) })
}

// Run runs a plan and returns the faults.
func Run(ctx context.Context, p Plan, store ports.CacheStore, clock ports.Clock) []string {
	r := &run{Plan: p, version: 1}
	store = slowStore{store, r}
	processes := make([]process, p.Processes)
	key := func(id string) string { return id }
	for i := range processes {
		if p.Versioned {
			c, err := cache.New(store, clock, p.Kind, cache.Source[string, Versioned]{Key: key, Load: func(ctx context.Context, _ string) (Versioned, error) {
				v, err := r.load(ctx)
				return Versioned{v}, err
			}})
			if err != nil {
				return []string{err.Error()}
			}
			processes[i] = forward{c}
			continue
		}
		c, err := cache.New(store, clock, p.Kind, cache.Source[string, Value]{Key: key, Load: func(ctx context.Context, _ string) (Value, error) { return r.load(ctx) }})
		if err != nil {
			return []string{err.Error()}
		}
		processes[i] = plain{c}
	}
	var wg sync.WaitGroup
	for _, call := range p.Calls {
		wg.Go(func() {
			pause(ctx, call.At)
			r.do(ctx, call, processes[call.In])
		})
	}
	wg.Wait()
	for _, process := range processes {
		process.close()
	}
	r.judge()
	return r.faults
}

func (r *run) do(ctx context.Context, call Call, in process) {
	if call.What == "get" {
		from := r.now()
		v, err := in.get(ctx)
		to := r.now()
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case err == nil:
			r.gets = append(r.gets, span{from, to, v})
		case !errors.Is(err, errLoad):
			r.faults = append(r.faults, fmt.Sprintf("a read failed: %v", err))
		}
		return
	}
	r.mu.Lock()
	r.version++
	r.step++
	v := Value{Read: r.step, V: r.version}
	r.mu.Unlock()
	pause(ctx, call.Late)
	from := r.now()
	err := in.changed(ctx, v, call.Put)
	to := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.faults = append(r.faults, fmt.Sprintf("a change failed: %v", err))
	}
	r.changes = append(r.changes, span{from, to, v})
}

func (r *run) judge() {
	for _, g := range r.gets {
		for _, c := range r.changes {
			if c.to >= g.from {
				continue
			}
			if !r.Versioned && g.value.Read < c.from {
				r.faults = append(r.faults, fmt.Sprintf("a read from %d to %d gives the value loaded at %d, invalidated from %d to %d", g.from, g.to, g.value.Read, c.from, c.to))
			}
			if r.Versioned && g.value.V < c.value.V {
				r.faults = append(r.faults, fmt.Sprintf("a read from %d to %d gives version %d, and %d was reported to the store from %d to %d", g.from, g.to, g.value.V, c.value.V, c.from, c.to))
			}
		}
		for _, before := range r.gets {
			if r.Versioned && before.to < g.from && before.value.V > g.value.V {
				r.faults = append(r.faults, fmt.Sprintf("a read from %d to %d gives version %d, one from %d to %d gave %d", g.from, g.to, g.value.V, before.from, before.to, before.value.V))
			}
		}
	}
}
