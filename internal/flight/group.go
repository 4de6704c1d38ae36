package flight

import (
	"context"
	"hash/maphash"
	"sync"
)

// shards is the number of locks of a group, so that callers of different keys rarely wait for the same one.
const shards = 64

// Group holds the flights of keys of type K. Callers contribute to a state of type S, and share a result of type R. It keeps nothing for a key
// without a flight. All methods are safe for concurrent use.
type Group[K comparable, S, R any] struct {
	seed   maphash.Seed
	shards [shards]shard[K, S, R]
}

type shard[K comparable, S, R any] struct {
	// mu guards: flights, and the state and waiters of each flight.
	mu      sync.Mutex
	flights map[K]*Flight[S, R]
}

// Flight is one call of a group. It ends with [Group.Land].
type Flight[S, R any] struct {
	state   S
	waiters int
	done    chan struct{} // closed by Land, after result and landed were set
	result  R
	landed  bool // whether there is a result
}

// New returns a group without flights.
func New[K comparable, S, R any]() *Group[K, S, R] {
	return &Group[K, S, R]{seed: maphash.MakeSeed()}
}

func (g *Group[K, S, R]) shard(key K) *shard[K, S, R] {
	return &g.shards[maphash.Comparable(g.seed, key)%shards]
}

// Join adds the caller to the flight of a key. If there is none it begins one, and reports that the caller leads: the leader must see to it that
// [Group.Land] is called. enter, unless nil, runs under the key's lock, first reports whether the flight begins now, and state is the flight's, at
// first zero. If enter returns false the caller does not join, no flight begins, and the flight is nil. enter must not call the group.
func (g *Group[K, S, R]) Join(key K, enter func(state *S, first bool) bool) (f *Flight[S, R], leads bool) {
	s := g.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	f, found := s.flights[key]
	if !found {
		f = &Flight[S, R]{done: make(chan struct{})}
	}
	if enter != nil && !enter(&f.state, !found) {
		return nil, false
	}
	f.waiters++
	if found {
		return f, false
	}
	if s.flights == nil {
		s.flights = make(map[K]*Flight[S, R])
	}
	s.flights[key] = f
	return f, true
}

// Follow adds the caller to the flight of a key, if there is one. enter, unless nil, runs under the key's lock; if it returns false the caller does not
// join. Follow returns nil if the caller has not joined. It takes no allocation.
func (g *Group[K, S, R]) Follow(key K, enter func(state *S) bool) *Flight[S, R] {
	s := g.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	f, found := s.flights[key]
	if !found || enter != nil && !enter(&f.state) {
		return nil
	}
	f.waiters++
	return f
}

// State returns the present state of a flight.
func (g *Group[K, S, R]) State(key K, f *Flight[S, R]) S {
	s := g.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return f.state
}

// Leave takes a caller that does not wait any longer from a flight. It reports whether that was the last one: then later callers begin another flight,
// and the caller should end this one.
func (g *Group[K, S, R]) Leave(key K, f *Flight[S, R]) (last bool) {
	s := g.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.waiters--; f.waiters > 0 {
		return false
	}
	s.remove(key, f)
	return true
}

// Forget keeps later callers from joining the flight of a key, if there is one. Its present callers still get its result.
func (g *Group[K, S, R]) Forget(key K) {
	s := g.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flights, key)
}

// Land ends a flight with its result.
func (g *Group[K, S, R]) Land(key K, f *Flight[S, R], result R) {
	f.result, f.landed = result, true
	g.end(key, f)
}

// end ends a flight, which has no result if it did not land.
func (g *Group[K, S, R]) end(key K, f *Flight[S, R]) {
	s := g.shard(key)
	s.mu.Lock()
	s.remove(key, f)
	s.mu.Unlock()
	close(f.done)
}

// remove removes a flight that is still the key's. It is called with the mutex held.
func (s *shard[K, S, R]) remove(key K, f *Flight[S, R]) {
	if s.flights[key] == f {
		delete(s.flights, key)
	}
}

// Len returns the number of flights.
func (g *Group[K, S, R]) Len() (n int) {
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		n += len(s.flights)
		s.mu.Unlock()
	}
	return n
}

// Done is closed when the flight has ended.
func (f *Flight[S, R]) Done() <-chan struct{} { return f.done }

// Result returns the result of a flight that has ended. It reports false if the leader panicked.
func (f *Flight[S, R]) Result() (R, bool) { return f.result, f.landed }

// Call is the part of one caller in [Group.Do].
type Call[S, R any] struct {
	// Admit is called once, before the caller waits for another one's flight. Do returns its error. nil admits every caller.
	Admit func(ctx context.Context) error
	// Enter changes the state of the flight that the caller begins or joins. It runs under the key's lock. It may be nil.
	Enter func(state *S, first bool)
	// Lead runs the call, on the goroutine of its caller. state returns the present state of the flight.
	Lead func(state func() S) R
	// Accept reports whether a result of another caller is good for this one.
	Accept func(R) bool
}

// TryDo runs the call of a caller that waits for no other one. It reports false, without having called lead, if the key has a flight. enter and lead are
// as in [Call].
func (g *Group[K, S, R]) TryDo(key K, enter func(state *S, first bool), lead func(state func() S) R) (result R, led bool) {
	f, leads := g.Join(key, func(state *S, first bool) bool {
		if first && enter != nil {
			enter(state, first)
		}
		return first
	})
	if !leads {
		return result, false
	}
	return g.lead(key, f, lead), true
}

// Do returns the result of a flight: of another caller if it is good for this one, and otherwise of the caller itself, which then takes over. led
// reports whether the caller's own Lead was called. Do returns ctx's error if ctx ends while it waits for another caller. A panic of Lead is its
// caller's; others take over.
func (g *Group[K, S, R]) Do(ctx context.Context, key K, call Call[S, R]) (result R, led bool, err error) {
	var none R
	for admitted := call.Admit == nil; ; {
		f, leads := g.Join(key, func(state *S, first bool) bool {
			if !first && !admitted {
				return false
			}
			if call.Enter != nil {
				call.Enter(state, first)
			}
			return true
		})
		switch {
		case f == nil:
			if err := call.Admit(ctx); err != nil {
				return none, false, err
			}
			admitted = true
			continue
		case leads:
			return g.lead(key, f, call.Lead), true, nil
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			g.Leave(key, f)
			return none, false, ctx.Err()
		}
		if f.landed && call.Accept(f.result) {
			return f.result, false, nil
		}
		if err := ctx.Err(); err != nil {
			return none, false, err
		}
	}
}

// lead runs a flight of [Group.Do] on the goroutine of its leader.
func (g *Group[K, S, R]) lead(key K, f *Flight[S, R], lead func(state func() S) R) R {
	defer g.end(key, f) // also after a panic
	f.result = lead(func() S { return g.State(key, f) })
	f.landed = true
	return f.result
}
