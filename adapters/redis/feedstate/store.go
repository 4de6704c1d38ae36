package feedstate

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/ports"
)

// Store keeps values of feeds. Each method is one command.
type Store struct {
	client goredis.UniversalClient
	keys   keyspace.Feeds
}

var _ ports.FeedState = (*Store)(nil)

// New returns a store with the given keys. It does not close the client.
func New(client goredis.UniversalClient, keys keyspace.Feeds) *Store {
	return &Store{client: client, keys: keys}
}

// Keep implements [ports.FeedState].
func (s *Store) Keep(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := errors.Join(ports.CheckKey(key), ports.CheckTTL(ttl)); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return rediscmd.Unavailable(ctx, s.client.Set(ctx, s.keys.State(key), value, ttl.Truncate(time.Millisecond)).Err())
}

// Get implements [ports.FeedState].
func (s *Store) Get(ctx context.Context, key string) (value []byte, found bool, err error) {
	return s.read(ctx, key, s.client.Get)
}

// Take implements [ports.FeedState].
func (s *Store) Take(ctx context.Context, key string) (value []byte, found bool, err error) {
	return s.read(ctx, key, s.client.GetDel)
}

// read returns the reply of a command on one key. A value of another type is none.
func (s *Store) read(ctx context.Context, key string, command func(context.Context, string) *goredis.StringCmd) ([]byte, bool, error) {
	if err := ports.CheckKey(key); err != nil {
		return nil, false, err
	}
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	value, err := command(ctx, s.keys.State(key)).Bytes()
	switch {
	case err == nil:
		return value, true, nil
	case errors.Is(err, goredis.Nil) || rediscmd.Answered(err) && rediscmd.HasCode(err, "WRONGTYPE"):
		return nil, false, nil
	}
	return nil, false, rediscmd.Unavailable(ctx, err)
}
