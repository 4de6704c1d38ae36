package chatcore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"chatcore/adapters/redis/keyspace"
	"chatcore/app"
	"chatcore/app/cache"
	"chatcore/domain"
	"chatcore/ports"
)

// Cache returns values of one kind by their ids: the stored one, or else as the loader loads it. All methods are safe for concurrent use.
type Cache[T any] struct{ inner *cache.Cache[string, T] }

// Get returns a value: the stored one, or else as it is loaded. It returns [ErrNoValue] if there is none, and the loader's error if neither can be had.
func (c *Cache[T]) Get(ctx context.Context, id string) (T, error) { return c.inner.Get(ctx, id) }

// Put stores a value that the caller knows to be the present one, and reports whether it did: a later version stays. The result of a load under way is
// not stored.
func (c *Cache[T]) Put(ctx context.Context, id string, value T) (bool, error) {
	return c.inner.Put(ctx, id, value)
}

// Invalidate removes values: a Get that begins after it has returned returns none that was loaded before. After an error each of them may or may not be
// removed; the same call can be made again.
func (c *Cache[T]) Invalidate(ctx context.Context, ids ...string) error {
	return c.inner.Invalidate(ctx, ids...)
}

// InvalidateBefore removes values of versions below the given one, and refuses them for as long as CacheConfig.Remember.
func (c *Cache[T]) InvalidateBefore(ctx context.Context, version uint64, ids ...string) error {
	return c.inner.InvalidateBefore(ctx, version, ids...)
}

// Stats returns the counts.
func (c *Cache[T]) Stats() CacheStats { return CacheStats(c.inner.Stats()) }

// CacheConfig says how values of one kind are kept. The zero value of each field but Prefix means its default.
type CacheConfig struct {
	// Prefix goes before the id.
	Prefix string
	// Schema is the number of the values' form. Values of another form are not read.
	Schema uint32

	// TTL is how long a value is fresh at most. Defaults to 10 min.
	TTL time.Duration
	// Jitter is how much earlier its freshness may end, as a part of TTL, so that values loaded together do not expire together. Defaults to
	// 0.1; below 0 there is none.
	Jitter float64
	// Soft is how long before its freshness ends a value that is read is loaded anew, without the reader waiting for it. Defaults to 0: it is not.
	Soft time.Duration
	// Stale is how long after TTL a value is given, and kept for it, if a new one cannot be loaded. Defaults to 0: not at all.
	Stale time.Duration
	// Retry is how long after a load that failed a process gives the value that is there without trying again. Defaults to 1 s; below 0 every read
	// tries.
	Retry time.Duration
	// Negative is how long it is kept that there is no value. Defaults to 0: it is not.
	Negative time.Duration

	// LoadTimeout is how long a load may take. Defaults to 5 s.
	LoadTimeout time.Duration
	// LoadLimit is how many loads a process makes at once without the store, and how many ahead of time. Defaults to 16.
	LoadLimit int
	// Lease is how long others wait for a process that loads a value: when it has died, another loads it after that. Defaults to LoadTimeout and 1 s.
	Lease time.Duration
	// Remember is how long values below an invalidated version are refused. Defaults to TTL and Stale.
	Remember time.Duration
}

// CacheStats are counts of a cache since it was made.
type CacheStats struct {
	Hits        uint64 // reads that were given a kept value
	Negative    uint64 // reads that found a stored absence
	Misses      uint64 // reads that found nothing good
	Stale       uint64 // older values that were given because a load failed: once a load, and for each read until the next try
	Undecodable uint64 // values found of another schema, or that are no values of the type
	Loads       uint64
	LoadErrors  uint64 // loads that failed, timed out or panicked
	Refused     uint64 // writes that came too late: a newer value or an invalidation was there
	StoreErrors uint64 // calls of the store that failed
}

// Errors of caches.
var (
	// ErrNoValue is returned by a loader, and by a read, if there is no such value.
	ErrNoValue = cache.ErrNotFound
	// ErrNoCacheStore is a cache of a core on a custom log, which has nowhere to keep values unless [WithCacheStore] says where.
	ErrNoCacheStore = errors.New("the core has no store for caches; open it with WithCacheStore beside WithEventLog")
)

// NewCache returns a cache of the core for values that load reads: in Redis, which all processes share, or in memory with a core in memory. It ends
// with the core. The kind's prefix ends in a colon, has no character that is special in patterns, and is none of the core's names.
//
// Values are stored as JSON. A value whose type has a version ([cache.Versioned]) is replaced by later ones only. See package cache for the
// guarantees and their limits.
func NewCache[T any](core *Core, kind CacheConfig, load func(ctx context.Context, id string) (T, error)) (*Cache[T], error) {
	if err := core.checkPrefix(kind.Prefix); err != nil {
		return nil, err
	}
	if core.cacheStore == nil {
		return nil, ErrNoCacheStore
	}
	made, err := cache.New(core.cacheStore, core.clock, cache.Config(kind), cache.Source[string, T]{Load: load, Key: func(id string) string { return id }})
	if err != nil {
		return nil, err
	}
	return &Cache[T]{made}, core.addCache(kind.Prefix, made)
}

// teamCache is a custom cache, independent of the type of its values.
type teamCache interface {
	Stats() cache.Stats
	Close()
}

func (c *Core) checkPrefix(prefix string) error {
	err := keyspace.Names(c.config.Redis.Names).CheckPrefix(prefix)
	if err != nil {
		return &domain.InvalidError{Field: "CacheConfig.Prefix", Problem: fmt.Sprintf("is %q", prefix), Allowed: err.Error()}
	}
	return nil
}

func (c *Core) addCache(prefix string, made teamCache) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, taken := c.teamCaches[prefix]; taken {
		return duplicateCache(prefix)
	}
	if c.teamCaches == nil {
		c.teamCaches = make(map[string]teamCache)
	}
	c.teamCaches[prefix] = made
	return nil
}

// cacheStats are by the kind's name, which for custom caches is the prefix.
func (c *Core) cacheStats() map[string]cache.Stats {
	stats := make(map[string]cache.Stats)
	if c.caches != nil {
		stats = c.caches.Stats()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for prefix, made := range c.teamCaches {
		stats[prefix] = made.Stats()
	}
	return stats
}

func (c *Core) closeCaches() {
	if c.caches != nil {
		c.caches.Close()
	}
	c.mu.Lock()
	team := maps.Clone(c.teamCaches)
	c.mu.Unlock()
	for _, made := range team {
		made.Close()
	}
}

// newCaches is nil if there is no store.
func newCaches(c Config, store ports.CacheStore, clock ports.LogClock, queries *app.Queries) (*app.Caches, error) {
	if store == nil {
		return nil, nil
	}
	kind := func(prefix string, total time.Duration) cache.Config {
		k := cache.Config{Prefix: prefix, Schema: 1, TTL: total}
		if total > time.Second { // part of it is for when nothing better can be had
			k.TTL = total * 4 / 5
			k.Stale = total - k.TTL
		}
		return k
	}
	names := keyspace.Names(c.Redis.Names).WithDefaults()
	kinds := app.CacheKinds{
		Message: kind(names.Message, c.Caches.MessageTTL), ChatList: kind(names.ChatList, c.Caches.ChatListTTL), ContactList: kind(names.ContactList, c.Caches.ContactListTTL),
	}
	kinds.Message.Remember = time.Minute // longer than any load of one takes
	for _, k := range []*cache.Config{&kinds.ChatList, &kinds.ContactList} {
		k.Soft = k.TTL / 8
	}
	return app.NewCaches(store, clock, kinds, queries)
}
