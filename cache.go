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

// The types of caches.
type (
	// Cache gives values of one kind by their ids: the one that is kept, or else as the loader loads it.
	Cache[T any] = cache.Cache[string, T]
	// CacheConfig says how the values of a cache are kept.
	CacheConfig = cache.Config
	// CacheStats are counts of a cache.
	CacheStats = cache.Stats
)

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
	made, err := cache.New(core.cacheStore, core.clock, kind, cache.Source[string, T]{Load: load, Key: func(id string) string { return id }})
	if err != nil {
		return nil, err
	}
	return made, core.addCache(kind.Prefix, made)
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
func (c *Core) cacheStats() map[string]CacheStats {
	stats := make(map[string]CacheStats)
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
	kind := func(prefix string, total time.Duration) CacheConfig {
		k := CacheConfig{Prefix: prefix, Schema: 1, TTL: total}
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
	for _, k := range []*CacheConfig{&kinds.ChatList, &kinds.ContactList} {
		k.Soft = k.TTL / 8
	}
	return app.NewCaches(store, clock, kinds, queries)
}
