package cache

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"chatcore/domain"
	"chatcore/internal/flight"
	"chatcore/ports"
)

// Errors of reads.
var (
	// ErrNotFound is returned by a loader, and by a read, if there is no such value.
	ErrNotFound = errors.New("no such value")
	// ErrLoadTimeout is a load that took longer than [Config.LoadTimeout].
	ErrLoadTimeout = errors.New("the load took too long")
	// ErrClosed is a read or a write after Close.
	ErrClosed = ports.ErrClosed
)

// PanicError is a loader that panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("the loader panicked: %v", e.Value) }

// Source is where values of a kind really are.
type Source[K comparable, T any] struct {
	// Load gets a value. Its context ends when nobody waits for it any more, and after [Config.LoadTimeout]. If there is no value it returns
	// [ErrNotFound]; a value that encodes as null counts as none.
	Load func(ctx context.Context, id K) (T, error)
	// Key names the value of an id.
	Key func(id K) string
	// Belongs reports whether a value that was found under an id's key is the id's. May be nil: it is.
	Belongs func(id K, value T) bool
	// Origin names the source of Load's values, in letters and digits. A value of another origin is a miss, and its version means nothing. Every call
	// reads it. May be nil: sources are not distinguished. Not together with [Config.Negative]: an absence is stored without an origin.
	Origin func(ctx context.Context) string
}

// Cache reads values of one kind. All methods are safe for concurrent use. Callers that wait for the same load get the same value, which they must
// not change.
type Cache[K comparable, T any] struct {
	store  ports.CacheStore
	clock  ports.Clock
	kind   Config
	source Source[K, T]
	object bool
	counts counters

	loading chan struct{}                      // taken by loads without the store
	flights *flight.Group[K, *fill, result[T]] // fills that can be joined
	time    atomic.Uint64                      // a logical clock that orders reads and loads
	filling sync.WaitGroup
	loaders sync.WaitGroup

	// mu guards: all below. It is acquired after a lock of flights.
	mu      sync.Mutex
	open    map[*fill]struct{} // fills under way, also those that cannot be joined any more
	ahead   int                // fills that nobody waits for
	resting map[K]time.Time    // until when a load that failed is not tried again, if there is an older value
	closed  bool
}

// New makes a cache over a store. [domain.ErrInvalid] for a kind that cannot be.
func New[K comparable, T any](store ports.CacheStore, clock ports.Clock, kind Config, source Source[K, T]) (*Cache[K, T], error) {
	if err := kind.check(); err != nil {
		return nil, err
	}
	if source.Load == nil || source.Key == nil {
		return nil, &domain.InvalidError{Field: "loader", Problem: "is nil", Allowed: "a function"}
	}
	if source.Origin != nil && kind.Negative > 0 {
		return nil, &domain.InvalidError{Field: "CacheConfig.Negative", Problem: fmt.Sprintf("is %v", kind.Negative), Allowed: "0, because values have an origin"}
	}
	kind = kind.withDefaults()
	return &Cache[K, T]{
		store: store, clock: clock, kind: kind, source: source, object: isObject(reflect.TypeFor[T]()),
		loading: make(chan struct{}, kind.LoadLimit), flights: flight.New[K, *fill, result[T]](), open: make(map[*fill]struct{}),
		resting: make(map[K]time.Time),
	}, nil
}

func (c *Cache[K, T]) key(id K, origin string) ports.CacheKey {
	return ports.CacheKey{Prefix: c.kind.Prefix, ID: c.source.Key(id), Object: c.object, Origin: origin}
}

func (c *Cache[K, T]) origin(ctx context.Context) string {
	if c.source.Origin == nil {
		return ""
	}
	return c.source.Origin(ctx)
}

// Get gives a value: the one that is kept, or else as it is loaded. [ErrNotFound] if there is none; the loader's error if neither can be had.
func (c *Cache[K, T]) Get(ctx context.Context, id K) (T, error) {
	if err := ctx.Err(); err != nil {
		var none T
		return none, err
	}
	f, since := c.underWay(id)
	if f != nil { // its result is valid for this read too, or await makes the read start another
		c.counts.misses.Add(1)
		return c.await(ctx, id, f, since)
	}
	return c.read(ctx, id, since, false)
}

// read looks into the store for a read that began at the given time, and waits for a load if nothing good is there. It is counted unless it has been.
func (c *Cache[K, T]) read(ctx context.Context, id K, since uint64, counted bool) (T, error) {
	var none T
	count := func(n *atomic.Uint64) {
		if !counted {
			n.Add(1)
		}
	}
	key := c.key(id, c.origin(ctx))
	e, err := c.store.Get(ctx, key)
	if err != nil {
		if ended := ports.Ended(ctx, err); ended != nil {
			return none, ended
		}
		c.counts.storeErrors.Add(1)
	} else {
		switch value, v := c.judge(id, key.Origin, e); v {
		case soft:
			if !c.rests(id) {
				c.refresh(ctx, id, e)
			}
			fallthrough
		case fresh:
			count(&c.counts.hits)
			return value, nil
		case negative:
			count(&c.counts.negative)
			return none, ErrNotFound
		case stale:
			if c.rests(id) {
				count(&c.counts.misses)
				c.counts.stale.Add(1)
				return value, nil
			}
		case foreign:
			c.counts.undecodable.Add(1)
		case missing, expired:
		}
	}
	count(&c.counts.misses)
	f := c.join(ctx, id, e, err != nil)
	if f == nil {
		return none, ErrClosed
	}
	return c.await(ctx, id, f, since)
}

// Put keeps a value that the caller knows to be the present one, and reports whether it did: a later version stays. A load under way is
// not kept.
func (c *Cache[K, T]) Put(ctx context.Context, id K, value T) (bool, error) {
	encoded, err := encode(value)
	if err != nil {
		return false, err
	}
	if string(encoded) == "null" {
		return false, &domain.InvalidError{Field: "value", Problem: "encodes as null", Allowed: "a value, or Invalidate"}
	}
	version, err := versionOf(value)
	if err != nil {
		return false, err
	}
	_, kept, err := c.store.Put(ctx, c.key(id, c.origin(ctx)), c.write(encoded, version))
	switch {
	case err != nil:
		c.counts.storeErrors.Add(1)
	case !kept:
		c.counts.refused.Add(1)
	default:
		c.forget(id)
	}
	return kept, err
}

// Invalidate forgets values: a Get that begins after it has returned gives none that was loaded before. After an error it may or may not
// have taken place, for each of them; the same call can be made again.
func (c *Cache[K, T]) Invalidate(ctx context.Context, ids ...K) error {
	return c.invalidate(ctx, 0, ids)
}

// InvalidateBefore forgets values of versions below the given one, and has them refused for as long as [Config.Remember].
func (c *Cache[K, T]) InvalidateBefore(ctx context.Context, version uint64, ids ...K) error {
	if err := checkVersion(version); err != nil {
		return err
	}
	return c.invalidate(ctx, version, ids)
}

func (c *Cache[K, T]) invalidate(ctx context.Context, version uint64, ids []K) error {
	if len(ids) == 0 {
		return ctx.Err()
	}
	keys, origin := make([]ports.CacheKey, len(ids)), c.origin(ctx)
	for i, id := range ids {
		keys[i] = c.key(id, origin)
	}
	err := c.store.Invalidate(ctx, version, c.kind.Remember, keys...)
	if err != nil {
		c.counts.storeErrors.Add(1)
	}
	c.forget(ids...) // also where the store does not know
	return err
}

// Close ends loads that are under way, and waits for their loaders for as long as a load may take. The store stays open.
func (c *Cache[K, T]) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end()
	c.filling.Wait()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.loaders.Wait()
	}()
	patience := time.NewTimer(c.kind.LoadTimeout)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
	}
}
