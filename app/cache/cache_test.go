package cache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"chatcore/adapters/memory"
	"chatcore/app/cache"
	"chatcore/domain"
	"chatcore/ports"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is the time of the test's bubble.
type clock struct{}

func (clock) Now() time.Time                               { return time.Now() }
func (clock) Sleep(ctx context.Context, _ time.Time) error { return ctx.Err() }

// badge is a value.
type badge struct {
	N       int    `json:"n"`
	Version uint64 `json:"version,omitempty"`
}

// rig is a cache and its loader's behavior.
type rig struct {
	*cache.Cache[string, badge]
	t     *testing.T
	loads atomic.Int64
	load  func(ctx context.Context, n int) (badge, error) // n from 1
}

func open(t *testing.T, store ports.CacheStore, kind cache.Config) *rig {
	t.Helper()
	r := &rig{t: t, load: func(_ context.Context, n int) (badge, error) { return badge{N: n}, nil }}
	kind.Prefix = "badge:"
	made, err := cache.New(store, clock{}, kind, cache.Source[string, badge]{
		Key:  func(id string) string { return id },
		Load: func(ctx context.Context, _ string) (badge, error) { return r.load(ctx, int(r.loads.Add(1))) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(made.Close)
	r.Cache = made
	return r
}

// pass has time go by on a bubble's clock; outside none does.
func pass(d time.Duration) { time.Sleep(d) }

// bubble runs a test by a clock that goes on when everyone waits.
func bubble(test func(t *testing.T)) func(t *testing.T) {
	return func(t *testing.T) { synctest.Test(t, test) }
}

func (r *rig) expect(n int) {
	r.t.Helper()
	if b, err := r.Get(r.t.Context(), "a"); err != nil || b.N != n {
		r.t.Fatalf("got %+v, error %v, want %d", b, err, n)
	}
}

func (r *rig) refuses(want error) {
	r.t.Helper()
	if b, err := r.Get(r.t.Context(), "a"); !errors.Is(err, want) {
		r.t.Fatalf("got %+v, error %v, want %v", b, err, want)
	}
}

var errDown = errors.New("down")

func fail(context.Context, int) (badge, error) { return badge{}, errDown }

func TestLifeOfAValue(t *testing.T) {
	t.Run("fresh, then loaded anew", bubble(func(t *testing.T) {
		r := open(t, memory.NewCache(clock{}), cache.Config{TTL: time.Minute, Jitter: 0.5})
		r.expect(1)
		pass(30*time.Second - time.Millisecond)
		r.expect(1)
		pass(30*time.Second + time.Millisecond)
		r.expect(2)
		if s := r.Stats(); s.Hits != 1 || s.Misses != 2 || s.Loads != 2 {
			t.Errorf("counts %+v", s)
		}
	}))
	t.Run("refreshed ahead of time, without waiting", bubble(func(t *testing.T) {
		r := open(t, memory.NewCache(clock{}), cache.Config{TTL: time.Minute, Jitter: -1, Soft: 20 * time.Second})
		r.expect(1)
		pass(40*time.Second - time.Millisecond)
		r.expect(1)
		synctest.Wait()
		if r.loads.Load() != 1 {
			t.Error("refreshed too soon")
		}
		pass(time.Millisecond)
		r.load = func(_ context.Context, n int) (badge, error) {
			pass(time.Second)
			return badge{N: n}, nil
		}
		for range 3 {
			r.expect(1)
		}
		pass(time.Second)
		synctest.Wait()
		r.expect(2)
		pass(30 * time.Second)
		r.expect(2)
	}))
	t.Run("stale when no other can be had, within its bound", bubble(func(t *testing.T) {
		r := open(t, memory.NewCache(clock{}), cache.Config{TTL: time.Minute, Jitter: -1, Stale: time.Minute})
		r.expect(1)
		r.load = fail
		pass(2*time.Minute - time.Millisecond)
		r.expect(1)
		if s := r.Stats(); s.Stale != 1 || s.LoadErrors != 1 {
			t.Errorf("counts %+v", s)
		}
		pass(time.Millisecond)
		r.refuses(errDown)
	}))
	t.Run("not stale after an invalidation", bubble(func(t *testing.T) {
		r := open(t, memory.NewCache(clock{}), cache.Config{TTL: time.Minute, Jitter: -1, Stale: time.Minute})
		r.expect(1)
		pass(time.Minute)
		r.load = func(ctx context.Context, _ int) (badge, error) {
			return badge{}, errors.Join(r.Invalidate(ctx, "a"), errDown)
		}
		r.refuses(errDown)
	}))
	t.Run("that there is none", bubble(func(t *testing.T) {
		r := open(t, memory.NewCache(clock{}), cache.Config{TTL: time.Minute, Negative: time.Second})
		none := func(context.Context, int) (badge, error) { return badge{}, fmt.Errorf("of a: %w", cache.ErrNotFound) }
		r.load = none
		r.refuses(cache.ErrNotFound)
		r.refuses(cache.ErrNotFound)
		if s := r.Stats(); s.Negative != 1 || s.Loads != 1 || s.LoadErrors != 0 {
			t.Errorf("counts %+v", s)
		}
		pass(time.Second)
		r.load = func(context.Context, int) (badge, error) { return badge{N: 7}, nil }
		r.expect(7)
		pass(time.Minute)
		r.load = none
		r.refuses(cache.ErrNotFound)
	}))
}

func TestUnreadableValuesAreMissesThatCount(t *testing.T) {
	store := memory.NewCache(clock{})
	r := open(t, store, cache.Config{Schema: 2})
	for i, w := range []ports.CacheWrite{
		{Value: []byte(`{"n":9}`), Meta: ports.CacheMeta{Schema: 1, Fresh: time.Now().Add(time.Hour)}, TTL: time.Hour},
		{Value: []byte(`{"n":"9"}`), Meta: ports.CacheMeta{Schema: 2, Fresh: time.Now().Add(time.Hour)}, TTL: time.Hour},
	} {
		if _, kept, err := store.Put(t.Context(), ports.CacheKey{Prefix: "badge:", ID: "a", Object: true}, w); !kept || err != nil {
			t.Fatal(kept, err)
		}
		r.expect(i + 1)
		r.expect(i + 1)
		if s := r.Stats(); s.Undecodable != uint64(i+1) || s.Hits != uint64(i+1) {
			t.Errorf("counts %+v", s)
		}
	}
}

// versioned is a value with a version.
type versioned badge

func (v versioned) CacheVersion() uint64 { return v.Version }

// TestOrigin_ValuesOfAnotherAreMisses: neither a value of another origin nor its version counts, as of a log that was lost or has lost its end.
func TestOrigin_ValuesOfAnotherAreMisses(t *testing.T) {
	store, origin := memory.NewCache(clock{}), atomic.Pointer[string]{}
	set := func(name string) { origin.Store(&name) }
	kind := cache.Config{Prefix: "badge:", TTL: time.Hour, Stale: time.Hour}
	source := func(load func() (versioned, error)) cache.Source[string, versioned] {
		return cache.Source[string, versioned]{
			Key: func(id string) string { return id }, Origin: func(context.Context) string { return *origin.Load() },
			Load: func(context.Context, string) (versioned, error) { return load() },
		}
	}
	value, err := versioned{N: 1, Version: 9}, error(nil)
	during := func() {}
	c, made := cache.New(store, clock{}, kind, source(func() (versioned, error) {
		during()
		return value, err
	}))
	if made != nil {
		t.Fatal(made)
	}
	t.Cleanup(c.Close)
	expect := func(what string, n int, hits uint64) {
		t.Helper()
		before := c.Stats().Hits
		if got, err := c.Get(t.Context(), "a"); err != nil || got.N != n || c.Stats().Hits-before != hits {
			t.Errorf("%s: got %+v with %d hits, error %v, want %d with %d", what, got, c.Stats().Hits-before, err, n, hits)
		}
	}
	set("one")
	expect("loaded", 1, 0)
	expect("kept", 1, 1)
	set("two")
	err = errDown
	if got, failed := c.Get(t.Context(), "a"); !errors.Is(failed, errDown) {
		t.Errorf("a value of another origin is given as stale: %+v, error %v", got, failed)
	}
	value, err = versioned{N: 2, Version: 3}, nil
	expect("loaded anew", 2, 0)
	expect("kept though its version is lower", 2, 1)
	if err := c.InvalidateBefore(t.Context(), 4, "a"); err != nil {
		t.Fatal(err)
	}
	value = versioned{N: 3, Version: 4}
	during = func() { set("three") } // while it is loaded
	expect("loaded from either", 3, 0)
	during = func() {}
	value = versioned{N: 4, Version: 1}
	expect("what was loaded from either is not kept, and an invalidation of another origin refuses nothing", 4, 0)
	expect("kept", 4, 1)

	kind.Negative = time.Second
	if _, err := cache.New(store, clock{}, kind, source(func() (versioned, error) { return value, nil })); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("with Negative: %v", err)
	}
}

func TestALoaderThatMisbehavesHarmsItsCallersOnly(t *testing.T) {
	t.Run("panic", bubble(func(t *testing.T) {
		r := open(t, memory.NewCache(clock{}), cache.Config{})
		r.load = func(_ context.Context, n int) (badge, error) {
			if n == 1 {
				panic("oops")
			}
			return badge{N: n}, nil
		}
		var panicked *cache.PanicError
		if _, err := r.Get(t.Context(), "a"); !errors.As(err, &panicked) || panicked.Value != "oops" || len(panicked.Stack) == 0 {
			t.Errorf("error %v", err)
		}
		r.expect(2)
	}))
	t.Run("exit", bubble(func(t *testing.T) {
		r := open(t, memory.NewCache(clock{}), cache.Config{})
		r.load = func(context.Context, int) (badge, error) {
			runtime.Goexit()
			return badge{}, nil
		}
		if _, err := r.Get(t.Context(), "a"); err == nil {
			t.Error("no error")
		}
	}))
	t.Run("hang", bubble(func(t *testing.T) {
		down := &away{CacheStore: memory.NewCache(clock{})}
		for _, down.off = range []bool{false, true} {
			r := open(t, down, cache.Config{LoadTimeout: time.Second, LoadLimit: 1})
			hung := make(chan struct{})
			r.load = func(_ context.Context, n int) (badge, error) {
				if n == 1 {
					<-hung // regardless of its context
				}
				return badge{N: n}, nil
			}
			began := time.Now()
			r.refuses(cache.ErrLoadTimeout)
			if took := time.Since(began); took != time.Second {
				t.Errorf("it took %v", took)
			}
			r.expect(2) // at once: lease and place are free again
			if took := time.Since(began); took > time.Second+time.Millisecond {
				t.Errorf("the next one took %v", took)
			}
			close(hung)
			synctest.Wait()
			if err := down.Invalidate(t.Context(), 0, time.Minute, ports.CacheKey{Prefix: "badge:", ID: "a", Object: true}); err != nil && !down.off {
				t.Error(err)
			}
		}
	}))
}

// away is a store that can be switched off.
type away struct {
	ports.CacheStore
	off bool
}

func (a *away) err() error {
	if a.off {
		return ports.ErrUnavailable
	}
	return nil
}

func (a *away) Get(ctx context.Context, key ports.CacheKey) (ports.CacheEntry, error) {
	if err := a.err(); err != nil {
		return ports.CacheEntry{}, err
	}
	return a.CacheStore.Get(ctx, key)
}

func (a *away) Lease(ctx context.Context, key ports.CacheKey, seen ports.CacheEntry, token string, d time.Duration) (ports.CacheEntry, ports.LeaseState, error) {
	if err := a.err(); err != nil {
		return ports.CacheEntry{}, 0, err
	}
	return a.CacheStore.Lease(ctx, key, seen, token, d)
}

func (a *away) Put(ctx context.Context, key ports.CacheKey, w ports.CacheWrite) (ports.CacheEntry, bool, error) {
	if err := a.err(); err != nil {
		return ports.CacheEntry{}, false, err
	}
	return a.CacheStore.Put(ctx, key, w)
}

func (a *away) Invalidate(ctx context.Context, version uint64, d time.Duration, keys ...ports.CacheKey) error {
	if err := a.err(); err != nil {
		return err
	}
	return a.CacheStore.Invalidate(ctx, version, d, keys...)
}

func TestWithoutTheStoreLoadsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, &away{memory.NewCache(clock{}), true}, cache.Config{LoadLimit: 3})
		var now, most atomic.Int64
		r.load = func(context.Context, int) (badge, error) {
			for n := now.Add(1); n > most.Load(); {
				most.Store(n)
			}
			pass(time.Second)
			now.Add(-1)
			return badge{}, nil
		}
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				if _, err := r.Get(t.Context(), fmt.Sprint(i)); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := r.Get(ctx, "late"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who does not wait any more is told %v", err)
		}
		wg.Wait()
		if s := r.Stats(); most.Load() != 3 || s.Loads != 30 || s.StoreErrors != 31 {
			t.Errorf("%d loads at once, counts %+v", most.Load(), s)
		}
	})
}

// TestTheStoreGoesAwayDuringALoad and its callers are given the value nevertheless.
func TestTheStoreGoesAwayDuringALoad(t *testing.T) {
	store := &away{CacheStore: memory.NewCache(clock{})}
	r := open(t, store, cache.Config{})
	r.load = func(_ context.Context, n int) (badge, error) {
		store.off = true
		return badge{N: n}, nil
	}
	r.expect(1)
	store.off = false
	if s := r.Stats(); s.StoreErrors != 1 {
		t.Errorf("counts %+v", s)
	}
}

func TestKindsThatCannotBe(t *testing.T) {
	source := cache.Source[string, badge]{Key: func(id string) string { return id }, Load: func(context.Context, string) (badge, error) { return badge{}, nil }}
	for field, kind := range map[string]cache.Config{
		"CacheConfig.Prefix": {}, "CacheConfig.TTL": {TTL: -1}, "CacheConfig.Soft": {Soft: 10 * time.Minute}, "CacheConfig.Stale": {Stale: time.Microsecond}, "CacheConfig.Negative": {Negative: -1},
		"CacheConfig.LoadTimeout": {LoadTimeout: -1}, "CacheConfig.LoadLimit": {LoadLimit: -1}, "CacheConfig.Lease": {Lease: -1}, "CacheConfig.Remember": {Remember: -1}, "CacheConfig.Jitter": {Jitter: 1},
	} {
		if field != "CacheConfig.Prefix" {
			kind.Prefix = "a:"
		}
		var invalid *domain.InvalidError
		if _, err := cache.New(memory.NewCache(clock{}), clock{}, kind, source); !errors.As(err, &invalid) || invalid.Field != field || invalid.Allowed == "" {
			t.Errorf("%s: %v", field, err)
		}
	}
	source.Load = nil
	if _, err := cache.New(memory.NewCache(clock{}), clock{}, cache.Config{Prefix: "a:"}, source); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("without a loader: %v", err)
	}
}
