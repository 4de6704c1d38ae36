package ports

import (
	"context"
	"time"
)

// FeedState keeps what one request of a feed leaves to a later one, of any process: tickets and cursors. Keys are random texts that are never used again, so
// that no value replaces another. All methods are safe for concurrent use. They return [ErrUnavailable] if the store did not answer.
type FeedState interface {
	// Keep keeps a value under a key for ttl, a millisecond or more. After an error the value may have been kept.
	Keep(ctx context.Context, key string, value []byte, ttl time.Duration) error

	// Get returns the value of a key, and whether there is one.
	Get(ctx context.Context, key string) (value []byte, found bool, err error)

	// Take removes the value of a key and returns it, in one step: of concurrent calls one returns it. After an error the value may have been removed.
	Take(ctx context.Context, key string) (value []byte, found bool, err error)
}
