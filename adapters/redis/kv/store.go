package kv

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/ports"
)

// Store keeps custom values, counters and sets under the namespace. The rest of their keys is used unchanged, because other programs know them by it.
// Keys of an event log are refused, and no pattern removes them.
type Store struct {
	client goredis.UniversalClient
	keys   keyspace.Custom
	count  *goredis.Script
}

var (
	_ ports.KeyValues = (*Store)(nil)
	_ ports.Counters  = (*Store)(nil)
	_ ports.Sets      = (*Store)(nil)
)

// New returns a Store under the namespace of keys.
func New(client goredis.UniversalClient, keys keyspace.Custom) *Store {
	return &Store{client: conn.Unwrap(client), keys: keys, count: goredis.NewScript(countSource)}
}

// name returns the key in Redis, or an error if it may not be used.
func (s *Store) name(ctx context.Context, key string) (string, error) {
	if err := ports.CheckKey(key); err != nil {
		return "", err
	}
	name := s.keys.Of(key)
	if err := s.keys.Check("key", name); err != nil {
		return "", err
	}
	return name, ctx.Err()
}

// failed translates the error of a command on one key.
func (s *Store) failed(ctx context.Context, key, command string, err error) error {
	switch {
	case err == nil:
		return nil
	case !rediscmd.Answered(err):
	case rediscmd.HasCode(err, "WRONGTYPE"):
		return &ports.ForeignValueError{Key: key, Holds: "another kind of value", For: command}
	case rediscmd.HasCode(err, "value is not an integer"):
		return &ports.ForeignValueError{Key: key, Holds: "a text that does not count", For: command}
	case rediscmd.HasCode(err, "increment or decrement would overflow"):
		return fmt.Errorf("%w: it stands at the greatest number", ports.ErrOverflow)
	}
	return rediscmd.Unavailable(ctx, err)
}

// Get implements [ports.KeyValues].
func (s *Store) Get(ctx context.Context, key string) (value []byte, found bool, err error) {
	name, err := s.name(ctx, key)
	if err != nil {
		return nil, false, err
	}
	value, err = s.client.Get(ctx, name).Bytes()
	if errors.Is(err, goredis.Nil) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, s.failed(ctx, name, "GET", err)
	}
	return value, true, nil
}

// Set implements [ports.KeyValues].
func (s *Store) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if ttl != 0 {
		if err := ports.CheckTTL(ttl); err != nil {
			return err
		}
	}
	name, err := s.name(ctx, key)
	if err != nil {
		return err
	}
	return s.failed(ctx, name, "SET", s.client.Set(ctx, name, value, ttl.Truncate(time.Millisecond)).Err())
}

// Delete implements [ports.KeyValues].
func (s *Store) Delete(ctx context.Context, keys ...string) (int, error) {
	names := make([]string, len(keys))
	for i, key := range keys {
		name, err := s.name(ctx, key)
		if err != nil {
			return 0, err
		}
		names[i] = name
	}
	return s.unlink(ctx, names)
}

// page is the number of keys that one SCAN reads and one UNLINK removes, in less than a millisecond each. For them SCAN may visit ten times as many
// empty buckets, and several buckets for each of these in a table that shrinks.
const page = 250

// DeletePattern implements [ports.KeyValues]: on each master of a Cluster, in pages.
func (s *Store) DeletePattern(ctx context.Context, pattern string) (int, error) {
	if err := ports.CheckPattern(pattern); err != nil {
		return 0, err
	}
	meaning := strings.IndexAny(pattern, `*?[\`)
	if meaning < 0 {
		return s.Delete(ctx, pattern)
	}
	if err := s.keys.Check("pattern", s.keys.Of(pattern[:meaning])); err != nil {
		return 0, err
	}
	cluster, ok := s.client.(*goredis.ClusterClient)
	if !ok {
		return s.sweep(ctx, s.client, pattern)
	}
	var removed atomic.Int64
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *goredis.Client) error {
		n, err := s.sweep(ctx, node, pattern)
		removed.Add(int64(n))
		return err
	})
	if err != nil && !errors.Is(err, ports.ErrUnavailable) {
		err = rediscmd.Unavailable(ctx, err)
	}
	return int(removed.Load()), err
}

// sweep removes the keys of one node that match the pattern.
func (s *Store) sweep(ctx context.Context, node goredis.Cmdable, pattern string) (removed int, err error) {
	for cursor := uint64(0); ; {
		found, next, err := node.Scan(ctx, cursor, s.keys.Of(pattern), page).Result()
		if err != nil {
			return removed, rediscmd.Unavailable(ctx, err)
		}
		n, err := s.unlink(ctx, s.free(found))
		if removed += n; err != nil {
			return removed, err
		}
		if cursor = next; cursor == 0 {
			return removed, nil
		}
	}
}

// free returns the names without those of event logs.
func (s *Store) free(names []string) []string {
	kept := names[:0]
	for _, name := range names {
		if !s.keys.Reserved(name) {
			kept = append(kept, name)
		}
	}
	return kept
}

// unlink removes keys in pages. On a Cluster each key has a separate command, which go-redis routes.
func (s *Store) unlink(ctx context.Context, names []string) (removed int, err error) {
	chunk := page
	if s.keys.Cluster() {
		chunk = 1
	}
	for from := 0; from < len(names); from += page {
		replies := make([]*goredis.IntCmd, 0, page)
		_, err = s.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
			some := names[from:min(from+page, len(names))]
			for at := 0; at < len(some); at += chunk {
				replies = append(replies, p.Unlink(ctx, some[at:min(at+chunk, len(some))]...))
			}
			return nil
		})
		for _, reply := range replies {
			removed += int(reply.Val())
		}
		if err != nil {
			return removed, rediscmd.Unavailable(ctx, err)
		}
	}
	return removed, nil
}

// Incr implements [ports.Counters].
func (s *Store) Incr(ctx context.Context, key string) (int64, error) {
	name, err := s.name(ctx, key)
	if err != nil {
		return 0, err
	}
	reply, err := rediscmd.Unrepeated(ctx, s.client, name, func(node goredis.UniversalClient) *goredis.IntCmd { return node.Incr(ctx, name) })
	if err != nil {
		return 0, s.failed(ctx, name, "INCR", err)
	}
	return reply.Val(), nil
}

// IncrWithExpiry implements [ports.Counters] in one script.
func (s *Store) IncrWithExpiry(ctx context.Context, key string, ttl time.Duration) (int64, error) {
	if err := ports.CheckTTL(ttl); err != nil {
		return 0, err
	}
	name, err := s.name(ctx, key)
	if err != nil {
		return 0, err
	}
	reply, err := rediscmd.Unrepeated(ctx, s.client, name, func(node goredis.UniversalClient) *goredis.Cmd {
		return s.count.Run(ctx, node, []string{name}, strconv.FormatInt(ttl.Milliseconds(), 10))
	})
	if err != nil {
		return 0, s.failed(ctx, name, "INCR", err)
	}
	return reply.Int64()
}

// Add implements [ports.Sets].
func (s *Store) Add(ctx context.Context, key string, members ...string) (int, error) {
	return s.change(ctx, key, "SADD", members, s.client.SAdd)
}

// Remove implements [ports.Sets].
func (s *Store) Remove(ctx context.Context, key string, members ...string) (int, error) {
	return s.change(ctx, key, "SREM", members, s.client.SRem)
}

func (s *Store) change(
	ctx context.Context, key, command string, members []string, do func(context.Context, string, ...any) *goredis.IntCmd,
) (int, error) {
	name, err := s.name(ctx, key)
	if err != nil || len(members) == 0 {
		return 0, err
	}
	n, err := do(ctx, name, members).Result()
	return int(n), s.failed(ctx, name, command, err)
}

// Members implements [ports.Sets].
func (s *Store) Members(ctx context.Context, key string) ([]string, error) {
	name, err := s.name(ctx, key)
	if err != nil {
		return nil, err
	}
	members, err := s.client.SMembers(ctx, name).Result()
	if err != nil {
		return nil, s.failed(ctx, name, "SMEMBERS", err)
	}
	return members, nil
}

// Contains implements [ports.Sets].
func (s *Store) Contains(ctx context.Context, key, member string) (bool, error) {
	name, err := s.name(ctx, key)
	if err != nil {
		return false, err
	}
	there, err := s.client.SIsMember(ctx, name, member).Result()
	return there, s.failed(ctx, name, "SISMEMBER", err)
}
