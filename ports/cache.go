package ports

import (
	"context"
	"time"
)

// CacheStore keeps values of caches for a time, and leases: whoever holds the lease of a key is the one who loads its value. Nothing kept here is the
// only copy of anything, and a store may forget what it likes. Other programs may write and delete the values behind its back.
type CacheStore interface {
	// Get reads what is kept under a key, in one plain read. What is not there is the zero entry. [ErrForeignValue] if it is no value of
	// a cache at all.
	Get(ctx context.Context, key CacheKey) (CacheEntry, error)
	// Lease takes the lease of a key under a token of the caller's, for at most the given time, if what is kept is still what the caller has
	// seen and nobody else holds the lease: all in one step. Taking it again under the same token takes it.
	Lease(ctx context.Context, key CacheKey, seen CacheEntry, token string, d time.Duration) (CacheEntry, LeaseState, error)
	// Put writes or refuses in one step, and gives what is kept afterwards. A write under a token takes place only if that still holds the
	// lease and what is kept is still what had been seen then, or if an earlier version is kept; the token's lease ends in any case. A
	// write without a token takes place unless a later version is kept. A write that takes place ends whichever lease there is. None does
	// below a version that was invalidated.
	Put(ctx context.Context, key CacheKey, w CacheWrite) (CacheEntry, bool, error)
	// Invalidate removes values and ends leases, key by key: each in one step, all of them in none. With a version it removes what is of an
	// earlier version or of none, leaves leases alone, and has Put refuse what is of an earlier version or of none for as long as remember.
	Invalidate(ctx context.Context, version uint64, remember time.Duration, keys ...CacheKey) error
}

// CacheKey names a value. Different prefixes and ids are different values, whatever they hold.
type CacheKey struct {
	Prefix string
	ID     string
	Object bool // its values are JSON objects: the same in every use of the prefix
	// Origin names what values are made from, letters and digits only; "" for nothing that is told apart. It is no part of the name: Get gives a value
	// of any origin. Versions are compared within an origin only. A value of another origin counts as one of no version, and a version that was
	// invalidated in another origin refuses nothing.
	Origin string
}

// CacheMeta is what is known of a value beside it.
type CacheMeta struct {
	Schema  uint32
	Version uint64    // 0: none; at most [MaxCacheVersion]
	Origin  string    // of the key that it was put under
	Fresh   time.Time // until when it is, in milliseconds
}

// MaxCacheVersion is the largest version that every store can compare.
const MaxCacheVersion = 1<<53 - 1

// CacheEntry is what is kept under a key.
type CacheEntry struct {
	Value []byte    // JSON; nil if there is nothing
	Known bool      // it was put, and Meta is what is known of it; otherwise it is null or another program's
	Meta  CacheMeta // with Known
	Mark  string    // tells it from what was or will be there; for the store only
}

// CacheWrite is what to write.
type CacheWrite struct {
	Token   string    // of the lease that it is written under, or "" for none
	Release bool      // end the lease and write nothing
	Value   []byte    // JSON; nil removes what is there. For a key of objects an object or null, which is kept without Meta
	Meta    CacheMeta // of Value
	TTL     time.Duration
}

// LeaseState is how asking for a lease has ended.
type LeaseState int

// How asking for a lease ends.
const (
	LeaseHeld    LeaseState = iota // by someone else
	LeaseTaken                     // by the caller
	LeaseChanged                   // nobody has asked: what is kept is not what was seen, and given instead
)
