package memory

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

var _ ports.CacheStore = (*Cache)(nil)

// Cache keeps cached values by a clock.
type Cache struct {
	clock ports.Clock

	mu     sync.Mutex
	kept   map[ports.CacheKey]*cached
	writes uint64 // each value has another mark
	most   int    // entries before expired ones are removed
}

// cached is the state of one key. Each part has its own lifetime.
type cached struct {
	entry      ports.CacheEntry
	until      time.Time
	token      string
	seen       string // mark of the value at the time of the lease
	leased     time.Time
	floor      uint64 // the version that was invalidated
	origin     string // in which that was
	remembered time.Time
}

// NewCache keeps nothing yet.
func NewCache(clock ports.Clock) *Cache {
	return &Cache{clock: clock, kept: make(map[ports.CacheKey]*cached), most: 1024}
}

// at returns the live state of a key.
func (c *Cache) at(key ports.CacheKey) *cached {
	now := c.clock.Now()
	key.Origin = ""
	k := c.kept[key]
	if k == nil {
		if len(c.kept) >= c.most {
			for other, k := range c.kept {
				if k.expire(now); k.empty() {
					delete(c.kept, other)
				}
			}
			c.most = max(1024, 2*len(c.kept))
		}
		k = &cached{}
		c.kept[key] = k
	}
	k.expire(now)
	return k
}

func (k *cached) expire(now time.Time) {
	if !now.Before(k.until) {
		k.entry, k.until = ports.CacheEntry{}, time.Time{}
	}
	if !now.Before(k.leased) {
		k.token, k.seen, k.leased = "", "", time.Time{}
	}
	if !now.Before(k.remembered) {
		k.floor, k.origin, k.remembered = 0, "", time.Time{}
	}
}

// versions returns the versions of the value and of the last invalidation, 0 for those of another origin.
func (k *cached) versions(origin string) (kept, floor uint64) {
	if k.entry.Meta.Origin == origin {
		kept = k.entry.Meta.Version
	}
	if k.origin == origin {
		floor = k.floor
	}
	return kept, floor
}

// Get implements [ports.CacheStore].
func (c *Cache) Get(ctx context.Context, key ports.CacheKey) (ports.CacheEntry, error) {
	if err := ctx.Err(); err != nil {
		return ports.CacheEntry{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at(key).given(), nil
}

// given returns a copy of the entry, so that callers may change it.
func (k *cached) given() ports.CacheEntry {
	e := k.entry
	e.Value = slices.Clone(e.Value)
	return e
}

// Lease implements [ports.CacheStore].
func (c *Cache) Lease(
	ctx context.Context, key ports.CacheKey, seen ports.CacheEntry, token string, d time.Duration,
) (ports.CacheEntry, ports.LeaseState, error) {
	if err := ctx.Err(); err != nil {
		return ports.CacheEntry{}, ports.LeaseHeld, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.at(key)
	switch {
	case k.entry.Mark != seen.Mark:
		return k.given(), ports.LeaseChanged, nil
	case k.token == "":
		k.token, k.seen, k.leased = token, seen.Mark, c.clock.Now().Add(max(d, time.Millisecond))
	case k.token != token || k.seen != seen.Mark:
		if latest := c.clock.Now().Add(max(d, time.Millisecond)); k.leased.After(latest) { // the clock was set back
			k.leased = latest
		}
		return seen, ports.LeaseHeld, nil
	}
	return seen, ports.LeaseTaken, nil
}

// Put implements [ports.CacheStore].
func (c *Cache) Put(ctx context.Context, key ports.CacheKey, w ports.CacheWrite) (ports.CacheEntry, bool, error) {
	if err := ctx.Err(); err != nil {
		return ports.CacheEntry{}, false, err
	}
	null := string(w.Value) == "null"
	if key.Object && len(w.Value) > 0 && w.Value[0] != '{' && !null {
		return ports.CacheEntry{}, false, &domain.InvalidError{Field: "value", Problem: "is no JSON object", Allowed: "an object, or null"}
	}
	w.Meta.Origin = key.Origin
	if null {
		w.Meta = ports.CacheMeta{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.at(key)
	before, floor := k.versions(key.Origin)
	refused := w.Meta.Version < floor || w.Meta.Version < before
	if w.Token != "" {
		mine := k.token == w.Token
		untouched := mine && k.seen == k.entry.Mark
		if mine {
			k.token, k.seen, k.leased = "", "", time.Time{}
		}
		later := before > 0 && before < w.Meta.Version
		refused = w.Release || !untouched && !later || w.Meta.Version < floor
	}
	if refused {
		return k.given(), false, nil
	}
	k.token, k.seen, k.leased = "", "", time.Time{}
	k.entry, k.until = ports.CacheEntry{}, time.Time{}
	if len(w.Value) > 0 {
		c.writes++
		w.Meta.Fresh = w.Meta.Fresh.Truncate(time.Millisecond)
		k.entry = ports.CacheEntry{Value: slices.Clone(w.Value), Known: !null, Meta: w.Meta, Mark: strconv.FormatUint(c.writes, 10)}
		k.until = c.clock.Now().Add(max(w.TTL, time.Millisecond))
	}
	return k.given(), true, nil
}

// Invalidate implements [ports.CacheStore].
func (c *Cache) Invalidate(ctx context.Context, version uint64, remember time.Duration, keys ...ports.CacheKey) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range keys {
		k := c.at(key)
		if version == 0 {
			k.token, k.seen, k.leased = "", "", time.Time{}
		} else {
			kept, floor := k.versions(key.Origin)
			if version >= floor {
				k.floor, k.origin, k.remembered = version, key.Origin, c.clock.Now().Add(max(remember, time.Millisecond))
			}
			if kept >= version {
				continue
			}
		}
		k.entry, k.until = ports.CacheEntry{}, time.Time{}
	}
	return nil
}

func (k *cached) empty() bool { return k.entry.Value == nil && k.token == "" && k.floor == 0 }
