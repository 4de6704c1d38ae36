package memory

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"chatcore/ports"
)

// Store keeps values, counters and sets by a clock.
type Store struct {
	clock ports.Clock

	mu    sync.Mutex
	kept  map[string]*item
	sweep int // how many items there may be before those that have ended are looked for
}

// item is text, or a set if that is not nil.
type item struct {
	text []byte
	set  map[string]struct{}
	ends time.Time // zero for never
}

var (
	_ ports.KeyValues = (*Store)(nil)
	_ ports.Counters  = (*Store)(nil)
	_ ports.Sets      = (*Store)(nil)
)

// minSweep is the least number of items for which it is worth looking for those that have ended.
const minSweep = 1024

// NewStore keeps nothing yet.
func NewStore(clock ports.Clock) *Store {
	return &Store{clock: clock, kept: make(map[string]*item), sweep: minSweep}
}

// enter locks the store for a method on a key, unless that is refused.
func (s *Store) enter(ctx context.Context, key string) error {
	if err := ports.CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	return nil
}

// at returns the value of a key, nil if there is none.
func (s *Store) at(key string) *item {
	i := s.kept[key]
	if i != nil && s.ended(i) {
		delete(s.kept, key)
		return nil
	}
	return i
}

func (s *Store) ended(i *item) bool { return !i.ends.IsZero() && !s.clock.Now().Before(i.ends) }

func (s *Store) put(key string, i *item) {
	s.kept[key] = i
	if len(s.kept) > s.sweep {
		maps.DeleteFunc(s.kept, func(_ string, i *item) bool { return s.ended(i) })
		s.sweep = max(2*len(s.kept), minSweep)
	}
}

func foreign(key, command string) error {
	return &ports.ForeignValueError{Key: key, Holds: "another kind of value", For: command}
}

// Get implements [ports.KeyValues].
func (s *Store) Get(ctx context.Context, key string) (value []byte, found bool, err error) {
	if err := s.enter(ctx, key); err != nil {
		return nil, false, err
	}
	defer s.mu.Unlock()
	i := s.at(key)
	if i == nil {
		return nil, false, nil
	}
	if i.set != nil {
		return nil, false, foreign(key, "GET")
	}
	return slices.Clone(i.text), true, nil
}

// Set implements [ports.KeyValues].
func (s *Store) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	i := &item{text: slices.Clone(value)}
	if ttl != 0 {
		if err := ports.CheckTTL(ttl); err != nil {
			return err
		}
		i.ends = s.clock.Now().Add(ttl.Truncate(time.Millisecond))
	}
	if err := s.enter(ctx, key); err != nil {
		return err
	}
	defer s.mu.Unlock()
	s.put(key, i)
	return nil
}

// Delete implements [ports.KeyValues].
func (s *Store) Delete(ctx context.Context, keys ...string) (removed int, err error) {
	for _, key := range keys {
		if err := ports.CheckKey(key); err != nil {
			return 0, err
		}
	}
	for _, key := range keys {
		if err := s.enter(ctx, key); err != nil {
			return removed, err
		}
		if s.at(key) != nil {
			delete(s.kept, key)
			removed++
		}
		s.mu.Unlock()
	}
	return removed, nil
}

// DeletePattern implements [ports.KeyValues].
func (s *Store) DeletePattern(ctx context.Context, pattern string) (removed int, err error) {
	if err := ports.CheckPattern(pattern); err != nil {
		return 0, err
	}
	if err := s.enter(ctx, pattern); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	for key := range s.kept {
		if matches(pattern, key) && s.at(key) != nil {
			delete(s.kept, key)
			removed++
		}
	}
	return removed, nil
}

// Incr implements [ports.Counters].
func (s *Store) Incr(ctx context.Context, key string) (int64, error) {
	if err := s.enter(ctx, key); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	i, err := s.incr(key)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(i.text), 10, 64)
}

// IncrWithExpiry implements [ports.Counters].
func (s *Store) IncrWithExpiry(ctx context.Context, key string, ttl time.Duration) (int64, error) {
	if err := ports.CheckTTL(ttl); err != nil {
		return 0, err
	}
	if err := s.enter(ctx, key); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	i, err := s.incr(key)
	if err != nil {
		return 0, err
	}
	if i.ends.IsZero() {
		i.ends = s.clock.Now().Add(ttl.Truncate(time.Millisecond))
	}
	return strconv.ParseInt(string(i.text), 10, 64)
}

func (s *Store) incr(key string) (*item, error) {
	i := s.at(key)
	if i == nil {
		i = &item{text: []byte("0")}
	}
	n, err := strconv.ParseInt(string(i.text), 10, 64)
	switch {
	case i.set != nil:
		return nil, foreign(key, "INCR")
	case err != nil || strconv.FormatInt(n, 10) != string(i.text):
		return nil, &ports.ForeignValueError{Key: key, Holds: "a text that does not count", For: "INCR"}
	case n == math.MaxInt64:
		return nil, fmt.Errorf("%w: it stands at the greatest number", ports.ErrOverflow)
	}
	i.text = strconv.AppendInt(nil, n+1, 10)
	s.put(key, i)
	return i, nil
}

// Add implements [ports.Sets].
func (s *Store) Add(ctx context.Context, key string, members ...string) (int, error) {
	return s.change(ctx, key, "SADD", func(set map[string]struct{}) {
		for _, m := range members {
			set[m] = struct{}{}
		}
	})
}

// Remove implements [ports.Sets].
func (s *Store) Remove(ctx context.Context, key string, members ...string) (int, error) {
	n, err := s.change(ctx, key, "SREM", func(set map[string]struct{}) {
		for _, m := range members {
			delete(set, m)
		}
	})
	return -n, err
}

// change gives by how many members a set has grown. Without members there is no key.
func (s *Store) change(ctx context.Context, key, command string, do func(set map[string]struct{})) (int, error) {
	if err := s.enter(ctx, key); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	i := s.at(key)
	if i == nil {
		i = &item{set: make(map[string]struct{})}
	}
	if i.set == nil {
		return 0, foreign(key, command)
	}
	before := len(i.set)
	do(i.set)
	if len(i.set) == 0 {
		delete(s.kept, key)
	} else {
		s.put(key, i)
	}
	return len(i.set) - before, nil
}

// Members implements [ports.Sets].
func (s *Store) Members(ctx context.Context, key string) ([]string, error) {
	if err := s.enter(ctx, key); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	i := s.at(key)
	if i == nil {
		return []string{}, nil
	}
	if i.set == nil {
		return nil, foreign(key, "SMEMBERS")
	}
	return slices.Collect(maps.Keys(i.set)), nil
}

// Contains implements [ports.Sets].
func (s *Store) Contains(ctx context.Context, key, member string) (bool, error) {
	if err := s.enter(ctx, key); err != nil {
		return false, err
	}
	defer s.mu.Unlock()
	i := s.at(key)
	if i == nil {
		return false, nil
	}
	if i.set == nil {
		return false, foreign(key, "SISMEMBER")
	}
	_, there := i.set[member]
	return there, nil
}
