package ports

import (
	"context"
	"errors"
	"strings"
	"time"

	"chatcore/domain"
)

// KeyValues, Counters and Sets store values under keys of the caller: one key space, in which other programs may write too. For a key of another type
// of value, methods return [ErrForeignValue] and change nothing. Keys are any bytes, at least one. After an [ErrUnavailable] of a method that changes
// something, the change may have been made.

// KeyValues keeps bytes under keys.
type KeyValues interface {
	// Get gives the bytes of a key, and whether there are any.
	Get(ctx context.Context, key string) (value []byte, found bool, err error)
	// Set replaces the value of the key, in one step with its time to live: a millisecond or more, cut to whole ones, or 0 for ever.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Delete removes keys of any type of value, and returns how many there were. It is not atomic.
	Delete(ctx context.Context, keys ...string) (int, error)
	// DeletePattern removes the keys that a pattern matches, and returns how many, also along with an error; see [CheckPattern]. Keys that exist from
	// its beginning to its end are removed; keys that come or go meanwhile may be. It never blocks the store for long; it ends early with ctx.
	DeletePattern(ctx context.Context, pattern string) (int, error)
}

// Counters count under keys, from 0. A count that would exceed an int64 is [ErrOverflow] and stays. A count is never repeated by the store itself,
// but one whose answer was lost may have been made.
type Counters interface {
	// Incr adds 1 and gives the sum. The time to live stays as it is.
	Incr(ctx context.Context, key string) (int64, error)
	// IncrWithExpiry adds 1 and returns the sum, in one step with setting a time to live on a counter that has none: it ends that long after the
	// first count, and no counter is left without an end. ttl is a millisecond or more.
	IncrWithExpiry(ctx context.Context, key string, ttl time.Duration) (int64, error)
}

// Sets keep sets under keys. Each method is one step. No set is an empty one.
type Sets interface {
	// Add says how many of the members were not there.
	Add(ctx context.Context, key string, members ...string) (int, error)
	// Remove says how many of the members were there.
	Remove(ctx context.Context, key string, members ...string) (int, error)
	// Members are in no order.
	Members(ctx context.Context, key string) ([]string, error)
	// Contains reports whether a member is there.
	Contains(ctx context.Context, key, member string) (bool, error)
}

// ErrOverflow is a counter that cannot count on.
var ErrOverflow = errors.New("counter overflow")

// CheckKey returns an error for a key that no store accepts. Errors about keys do not repeat them: there may be a secret in one.
func CheckKey(key string) error {
	if key == "" {
		return &domain.InvalidError{Field: "key", Problem: "is empty", Allowed: "at least one byte"}
	}
	return nil
}

// CheckTTL returns an error for a time to live that no store accepts.
func CheckTTL(ttl time.Duration) error {
	if ttl < time.Millisecond {
		return &domain.InvalidError{Field: "ttl", Problem: "is " + ttl.String(), Allowed: "a millisecond or more"}
	}
	return nil
}

// CheckPattern returns an error for a pattern that no store accepts. A pattern is Redis's: * is any bytes, ? one, [a-c] and [^a] one of some, and a
// backslash makes the next byte literal. It must begin with a literal byte.
func CheckPattern(pattern string) error {
	if pattern == "" || strings.ContainsRune("*?[", rune(pattern[0])) || pattern == `\` {
		return &domain.InvalidError{Field: "pattern", Problem: "may match every key", Allowed: "one that begins as its keys do"}
	}
	return nil
}
