package cache_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/adapters/memory"
	"chatcore/app/cache"
	"chatcore/ports"
)

// TestAMissStormMakesOneLoad has four processes miss one value at once.
func TestAMissStormMakesOneLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.NewCache(clock{})
		var loads atomic.Int64
		var wg sync.WaitGroup
		for range 4 {
			r := open(t, store, cache.Config{})
			r.load = func(context.Context, int) (badge, error) {
				pass(time.Second)
				return badge{N: int(loads.Add(1))}, nil
			}
			for range 2500 {
				wg.Go(func() {
					began := time.Now()
					b, err := r.Get(t.Context(), "a")
					if err != nil || b.N != 1 {
						t.Errorf("got %+v, error %v", b, err)
					}
					if took := time.Since(began); took > time.Second+50*time.Millisecond {
						t.Errorf("it took %v", took)
					}
				})
			}
		}
		wg.Wait()
		if loads.Load() != 1 {
			t.Errorf("%d loads", loads.Load())
		}
	})
}

// TestALeaseWhoseHolderDied is taken by another, after its time.
func TestALeaseWhoseHolderDied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.NewCache(clock{})
		if _, state, _ := store.Lease(t.Context(), ports.CacheKey{Prefix: "badge:", ID: "a", Object: true}, ports.CacheEntry{}, "dead", 3*time.Second); state != ports.LeaseTaken {
			t.Fatal(state)
		}
		r, began := open(t, store, cache.Config{Lease: 4 * time.Second}), time.Now()
		r.expect(1)
		if took := time.Since(began); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("it took %v", took)
		}
		r.expect(1)
	})
}

func TestAFillAfterAnInvalidation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.NewCache(clock{})
		r, other := open(t, store, cache.Config{}), open(t, store, cache.Config{})
		r.load = func(_ context.Context, n int) (badge, error) {
			pass(time.Second)
			return badge{N: n}, nil
		}
		var wg sync.WaitGroup
		wg.Go(func() { r.expect(1) }) // it began before
		pass(500 * time.Millisecond)
		if err := other.Invalidate(t.Context(), "a"); err != nil { // by another process: this one does not learn of it
			t.Error(err)
		}
		wg.Go(func() { r.expect(2) }) // waits for the load under way, which is none for it
		wg.Wait()
		r.expect(2)
		if s := r.Stats(); s.Refused != 1 || s.Loads != 2 {
			t.Errorf("counts %+v", s)
		}
	})
}

// TestALoadEndsWithItsLastCaller and not before.
func TestALoadEndsWithItsLastCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memory.NewCache(clock{}), cache.Config{})
		ended := make(chan struct{})
		r.load = func(ctx context.Context, n int) (badge, error) {
			if n > 1 {
				return badge{N: n}, nil
			}
			<-ctx.Done()
			close(ended)
			return badge{}, ctx.Err()
		}
		var leave [2]context.CancelFunc
		for i := range leave {
			ctx, cancel := context.WithCancel(t.Context())
			leave[i] = cancel
			go func() {
				if _, err := r.Get(ctx, "a"); !errors.Is(err, context.Canceled) {
					t.Errorf("caller %d: %v", i, err)
				}
			}()
		}
		synctest.Wait()
		leave[0]()
		synctest.Wait()
		select {
		case <-ended:
			t.Error("it ended with the first")
		default:
		}
		leave[1]()
		left := time.Now()
		<-ended
		if took := time.Since(left); took > 0 {
			t.Errorf("it went on for %v", took)
		}
		r.expect(2)
	})
}

func TestAClosedCacheEndsItsLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memory.NewCache(clock{}), cache.Config{})
		r.load = func(ctx context.Context, _ int) (badge, error) {
			<-ctx.Done()
			return badge{}, ctx.Err()
		}
		published := make(chan error, 1)
		go func() {
			_, err := r.Get(t.Context(), "a")
			published <- err
		}()
		synctest.Wait()
		r.Close()
		if err := <-published; !errors.Is(err, cache.ErrClosed) {
			t.Errorf("who waited is told %v", err)
		}
		r.refuses(cache.ErrClosed)
	})
}

// slowStore answers late, at one call or both.
type slowStore struct {
	ports.CacheStore
	gets     atomic.Int64
	put, get time.Duration
}

func (s *slowStore) Get(ctx context.Context, key ports.CacheKey) (ports.CacheEntry, error) {
	s.gets.Add(1)
	e, err := s.CacheStore.Get(ctx, key)
	pass(s.get)
	return e, err
}

func (s *slowStore) Put(ctx context.Context, key ports.CacheKey, w ports.CacheWrite) (ports.CacheEntry, bool, error) {
	e, kept, err := s.CacheStore.Put(ctx, key, w)
	pass(s.put)
	return e, kept, err
}

func slowly(_ context.Context, n int) (badge, error) {
	pass(time.Second)
	return badge{N: n}, nil
}

// TestWhoComesDuringALoadAsksTheStoreNothing and a read while a value is refreshed gets the present value.
func TestWhoComesDuringALoadAsksTheStoreNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowStore{CacheStore: memory.NewCache(clock{})}
		r := open(t, store, cache.Config{TTL: time.Minute, Jitter: -1, Soft: 20 * time.Second})
		r.load = slowly
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { r.expect(1) })
			synctest.Wait()
		}
		wg.Wait()
		if s := r.Stats(); store.gets.Load() != 1 || s.Misses != 100 {
			t.Errorf("%d reads of the store, counts %+v", store.gets.Load(), s)
		}
		pass(40 * time.Second)
		began := time.Now()
		for range 3 {
			r.expect(1)
			synctest.Wait()
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("reads waited %v for the refresh", took)
		}
	})
}

// TestAnInvalidationWhileAFillIsAnswered guards against a read that began after it getting a value filled before.
func TestAnInvalidationWhileAFillIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memory.NewCache(clock{})
		r, other := open(t, &slowStore{CacheStore: shared, put: time.Second}, cache.Config{}), open(t, shared, cache.Config{})
		var wg sync.WaitGroup
		wg.Go(func() { r.expect(1) })
		synctest.Wait() // it is filled, and that is not known yet
		if err := other.Invalidate(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		r.expect(2)
		wg.Wait()
	})
}

// TestAnInvalidationWhileAValueIsFoundAfterAll is the same with a value that another process has put.
func TestAnInvalidationWhileAValueIsFoundAfterAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memory.NewCache(clock{})
		late := &lateLease{CacheStore: shared}
		r, other := open(t, late, cache.Config{}), open(t, shared, cache.Config{})
		late.before = func() {
			late.before = nil
			if _, err := other.Put(t.Context(), "a", badge{N: 7}); err != nil {
				t.Error(err)
			}
		}
		var wg sync.WaitGroup
		wg.Go(func() { r.expect(7) })
		synctest.Wait()
		if err := other.Invalidate(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		r.expect(1)
		wg.Wait()
	})
}

// lateLease answers late.
type lateLease struct {
	ports.CacheStore
	before func()
}

func (l *lateLease) Lease(ctx context.Context, key ports.CacheKey, seen ports.CacheEntry, token string, d time.Duration) (ports.CacheEntry, ports.LeaseState, error) {
	if l.before != nil {
		l.before()
	}
	e, state, err := l.CacheStore.Lease(ctx, key, seen, token, d)
	pass(time.Second)
	return e, state, err
}

// TestAPutIsReadThoughALoadIsUnderWay does not wait for it.
func TestAPutIsReadThoughALoadIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memory.NewCache(clock{}), cache.Config{})
		r.load = slowly
		var wg sync.WaitGroup
		wg.Go(func() { r.expect(9) })
		synctest.Wait()
		began := time.Now()
		if kept, err := r.Put(t.Context(), "a", badge{N: 9}); !kept || err != nil {
			t.Error(kept, err)
		}
		r.expect(9)
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %v", took)
		}
		wg.Wait()
	})
}

// TestALoadThatFailedRests while there is an older value, for each value by itself.
func TestALoadThatFailedRests(t *testing.T) {
	kind := cache.Config{TTL: time.Minute, Jitter: -1, Stale: time.Minute, Soft: 20 * time.Second, Retry: 5 * time.Second}
	tries := func(t *testing.T, r *rig, reads, want int) {
		t.Helper()
		before := r.loads.Load()
		for range reads {
			r.expect(1)
			synctest.Wait()
		}
		if n := r.loads.Load() - before; n != int64(want) {
			t.Errorf("%d reads made %d tries, want %d", reads, n, want)
		}
	}
	for name, at := range map[string]time.Duration{"stale": time.Minute, "to be refreshed": 41 * time.Second} {
		t.Run(name, bubble(func(t *testing.T) {
			r := open(t, memory.NewCache(clock{}), kind)
			r.expect(1)
			r.load = fail
			pass(at)
			tries(t, r, 100, 1)
			pass(kind.Retry - time.Millisecond)
			tries(t, r, 100, 0)
			pass(time.Millisecond)
			tries(t, r, 100, 1)
			if at == time.Minute {
				if s := r.Stats(); s.Stale != 300 {
					t.Errorf("counts %+v", s)
				}
			}
			r.load = func(_ context.Context, n int) (badge, error) { return badge{N: 100 + n}, nil }
			pass(kind.Retry)
			if at == time.Minute {
				r.expect(104)
				return
			}
			tries(t, r, 1, 1)
			r.expect(104)
		}))
	}
	t.Run("not without an older value", bubble(func(t *testing.T) {
		r := open(t, memory.NewCache(clock{}), kind)
		r.load = fail
		for range 3 {
			r.refuses(errDown)
		}
		if n := r.loads.Load(); n != 3 {
			t.Errorf("%d tries", n)
		}
	}))
	t.Run("not after an invalidation", bubble(func(t *testing.T) {
		r := open(t, memory.NewCache(clock{}), kind)
		r.expect(1)
		r.load = fail
		pass(time.Minute)
		tries(t, r, 3, 1)
		if err := r.Invalidate(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		r.refuses(errDown)
	}))
	t.Run("not at all", bubble(func(t *testing.T) {
		kind := kind
		kind.Retry = -1
		r := open(t, memory.NewCache(clock{}), kind)
		r.expect(1)
		r.load = fail
		pass(time.Minute)
		tries(t, r, 3, 3)
	}))
	t.Run("other values do not", bubble(func(t *testing.T) {
		r := open(t, memory.NewCache(clock{}), kind)
		r.expect(1)
		if _, err := r.Get(t.Context(), "b"); err != nil {
			t.Error(err)
		}
		r.load = fail
		pass(time.Minute)
		tries(t, r, 3, 1)
		if b, err := r.Get(t.Context(), "b"); err != nil || b.N != 2 || r.loads.Load() != 4 {
			t.Errorf("got %+v, error %v, after %d loads", b, err, r.loads.Load())
		}
	}))
}

// TestAnInvalidationHasAReadLoadAtOnce though a load is under way.
func TestAnInvalidationHasAReadLoadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memory.NewCache(clock{}), cache.Config{})
		r.load = slowly
		var wg sync.WaitGroup
		wg.Go(func() { r.expect(1) })
		pass(500 * time.Millisecond)
		if err := r.Invalidate(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		began := time.Now()
		r.expect(2)
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %v", took)
		}
		wg.Wait()
	})
}

// TestWhoComesWhileALoadEnds that nobody waits for any more loads anew.
func TestWhoComesWhileALoadEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, &slowStore{CacheStore: memory.NewCache(clock{}), put: time.Second}, cache.Config{})
		r.load = func(ctx context.Context, n int) (badge, error) {
			if n == 1 {
				<-ctx.Done()
			}
			return badge{N: n}, ctx.Err()
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := r.Get(ctx, "a"); !errors.Is(err, context.Canceled) {
				t.Errorf("who left is told %v", err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait() // its lease is being released
		r.expect(2)
		wg.Wait()
	})
}

// TestAnInvalidationWhileAnOldValueIsLookedAt guards against a read that began after it being given the old value because the load failed.
func TestAnInvalidationWhileAnOldValueIsLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memory.NewCache(clock{})
		store := &slowStore{CacheStore: shared}
		r, other := open(t, store, cache.Config{TTL: time.Minute, Jitter: -1, Stale: time.Minute}), open(t, shared, cache.Config{})
		r.expect(1)
		r.load, store.put = fail, time.Second
		pass(time.Minute)
		var wg sync.WaitGroup
		wg.Go(func() { r.expect(1) })
		synctest.Wait() // the lease is released, and the value still exists
		if err := other.Invalidate(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		r.refuses(errDown)
		wg.Wait()
	})
}
