package cache

import (
	"context"
	"errors"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
)

// Store stores cached values as plain JSON, so that other programs can read them. The metadata of an object is its member _cc; that of any other
// value is in a second key. The keys are under the namespace, with prefixes from [Names] or custom ones.
type Store struct {
	client                 goredis.UniversalClient
	keys                   keyspace.Caches
	lease, put, invalidate *goredis.Script
}

var _ ports.CacheStore = (*Store)(nil)

// New returns a Store with the given keys.
func New(client goredis.UniversalClient, keys keyspace.Caches) *Store {
	return &Store{
		client: client, keys: keys,
		lease: goredis.NewScript(cacheLeaseSource), put: goredis.NewScript(cachePutSource), invalidate: goredis.NewScript(cacheInvalidateSource),
	}
}

// Get implements [ports.CacheStore]: by GET for an object, by MGET for any other value.
func (c *Store) Get(ctx context.Context, key ports.CacheKey) (ports.CacheEntry, error) {
	if err := ctx.Err(); err != nil {
		return ports.CacheEntry{}, err
	}
	if key.Object {
		stored, err := c.client.Get(ctx, c.keys.Value(key)).Result()
		if errors.Is(err, goredis.Nil) {
			return ports.CacheEntry{}, nil
		}
		if err != nil {
			return ports.CacheEntry{}, c.failed(ctx, key, err)
		}
		return entryOf(key, stored, ""), nil
	}
	keys := c.keys.All(key)
	both, err := c.client.MGet(ctx, keys[0], keys[3]).Result()
	if err != nil {
		return ports.CacheEntry{}, c.failed(ctx, key, err)
	}
	stored, _ := both[0].(string)
	beside, _ := both[1].(string)
	return entryOf(key, stored, beside), nil
}

// Lease implements [ports.CacheStore].
func (c *Store) Lease(
	ctx context.Context, key ports.CacheKey, seen ports.CacheEntry, token string, d time.Duration,
) (ports.CacheEntry, ports.LeaseState, error) {
	if err := ctx.Err(); err != nil {
		return ports.CacheEntry{}, ports.LeaseHeld, err
	}
	keys := c.keys.All(key)
	if !key.Object { // the metadata follows the lease
		keys = []string{keys[0], keys[1], keys[3]}
	} else {
		keys = keys[:2]
	}
	reply, err := c.lease.Run(ctx, c.client, keys, token, millis(d), digestOf(seen)).Slice()
	if err != nil {
		return ports.CacheEntry{}, ports.LeaseHeld, c.failed(ctx, key, err)
	}
	switch state, _ := reply[0].(int64); state {
	case 0:
		return seen, ports.LeaseHeld, nil
	case 1:
		return seen, ports.LeaseTaken, nil
	}
	return entryIn(key, reply), ports.LeaseChanged, nil
}

// Put implements [ports.CacheStore].
func (c *Store) Put(ctx context.Context, key ports.CacheKey, w ports.CacheWrite) (ports.CacheEntry, bool, error) {
	if err := ctx.Err(); err != nil {
		return ports.CacheEntry{}, false, err
	}
	if err := checkOrigin(key); err != nil {
		return ports.CacheEntry{}, false, err
	}
	value, beside, version := w.Value, "", w.Meta.Version
	w.Meta.Origin = key.Origin
	switch null := string(value) == "null"; {
	case null:
		version = 0
	case key.Object && len(value) > 0 && value[0] != '{':
		return ports.CacheEntry{}, false, &domain.InvalidError{Field: "value", Problem: "is no JSON object", Allowed: "an object, or null"}
	case key.Object && len(value) > 0:
		value = appendMember(make([]byte, 0, len(value)+64), value, w.Meta)
	case len(value) > 0:
		beside = besideOf(value, w.Meta)
	}
	release := 0
	if w.Release {
		release = 1
	}
	reply, err := c.put.Run(ctx, c.client, c.keys.All(key), w.Token, release, version, millis(w.TTL), value, beside, key.Origin).Slice()
	if err != nil {
		return ports.CacheEntry{}, false, c.failed(ctx, key, err)
	}
	if done, _ := reply[0].(int64); done == 1 {
		return entryOf(key, string(value), beside), true, nil
	}
	return entryIn(key, reply), false, nil
}

// Invalidate implements [ports.CacheStore] with one script call per key in one pipeline, because keys are in different slots.
func (c *Store) Invalidate(ctx context.Context, version uint64, remember time.Duration, keys ...ports.CacheKey) error {
	if err := ctx.Err(); err != nil || len(keys) == 0 {
		return err
	}
	for _, key := range keys {
		if err := checkOrigin(key); err != nil {
			return err
		}
	}
	calls := make([]rediscmd.Call, len(keys))
	for i, key := range keys {
		calls[i] = rediscmd.Call{Keys: c.keys.All(key), Args: []any{version, millis(remember), key.Origin}}
	}
	for i, reply := range rediscmd.RunEach(ctx, c.client, c.invalidate, calls, nil) {
		if err := reply.Err(); err != nil {
			return c.failed(ctx, keys[i], err)
		}
	}
	return nil
}

func checkOrigin(key ports.CacheKey) error {
	if !plainOrigin(key.Origin) {
		return &domain.InvalidError{Field: "origin", Problem: "is " + strconv.Quote(key.Origin), Allowed: "letters and digits"}
	}
	return nil
}

func (c *Store) failed(ctx context.Context, key ports.CacheKey, err error) error {
	if rediscmd.Answered(err) && rediscmd.HasCode(err, "WRONGTYPE") {
		return &ports.ForeignValueError{Key: c.keys.Value(key), Holds: "no string, or a further key of the value holds none", For: "a cached value"}
	}
	return rediscmd.Unavailable(ctx, err)
}

// entryIn decodes the entry in the reply of a script that found another one than expected.
func entryIn(key ports.CacheKey, reply []any) ports.CacheEntry {
	stored, _ := reply[1].(string)
	beside, _ := reply[2].(string)
	return entryOf(key, stored, beside)
}

// millis returns a duration as an argument of PX, which must be at least 1.
func millis(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }
