package ports

import (
	"context"
	"strconv"
	"time"
)

// CacheStore stores values of caches for a time, and leases: the holder of a key's lease loads its value. Nothing stored here is the only copy, and a
// store may evict any of it. Other programs may write and delete the values too.
type CacheStore interface {
	// Get reads the entry of a key, in one plain read. It returns the zero entry if there is none, and [ErrForeignValue] if the key holds another
	// type of value.
	Get(ctx context.Context, key CacheKey) (CacheEntry, error)
	// Lease acquires the lease of a key under the caller's token, for at most the given time, if the entry is still the one that the caller has seen
	// and no other token holds the lease: all in one step. Acquiring it again under the same token succeeds.
	Lease(ctx context.Context, key CacheKey, seen CacheEntry, token string, d time.Duration) (CacheEntry, LeaseState, error)
	// Put writes or refuses in one step, and returns the entry after that. A write under a token takes place only if the token still holds the lease
	// and the entry is still the one seen then, or if the entry has an earlier version; the token's lease ends in any case. A write without a token
	// takes place unless the entry has a later version. A write that takes place ends any lease. No write takes place below a version that was
	// invalidated.
	Put(ctx context.Context, key CacheKey, w CacheWrite) (CacheEntry, bool, error)
	// Invalidate removes values and ends leases, key by key: each in one step, all of them in none. With a version it removes entries of an earlier
	// version or of none, leaves leases alone, and has Put refuse such entries for the duration of remember.
	Invalidate(ctx context.Context, version uint64, remember time.Duration, keys ...CacheKey) error
}

// CacheKey names a value. Different prefixes and ids are different values.
type CacheKey struct {
	Prefix string
	ID     string
	Object bool // its values are JSON objects: the same in every use of the prefix
	// Origin names the source of values, in letters and digits only; "" if sources are not distinguished. It is no part of the name: Get gives a
	// value of any origin. Versions are compared within an origin only. A value of another origin counts as one of no version, and a version that was
	// invalidated in another origin refuses nothing.
	Origin string
}

// CacheMeta holds the metadata of a value.
type CacheMeta struct {
	Schema  uint32
	Version uint64    // 0: none; at most [MaxCacheVersion]
	Origin  string    // of the key that it was put under
	Fresh   time.Time // until when it is, in milliseconds
}

// MaxCacheVersion is the largest version that every store can compare.
const MaxCacheVersion = 1<<53 - 1

// CacheEntry is the stored entry of a key.
type CacheEntry struct {
	Value []byte    // JSON; nil if there is nothing
	Known bool      // it was put and has Meta; otherwise it is null or another program's
	Meta  CacheMeta // with Known
	Mark  string    // distinguishes it from earlier and later entries; for the store only
}

// CacheWrite is a write.
type CacheWrite struct {
	Token   string    // of the lease that it is written under, or "" for none
	Release bool      // end the lease and write nothing
	Value   []byte    // JSON; nil removes the entry. For a key of objects an object or null, which is stored without Meta
	Meta    CacheMeta // of Value
	TTL     time.Duration
}

// LeaseState is how asking for a lease has ended.
type LeaseState int

// How asking for a lease ends.
const (
	LeaseHeld    LeaseState = iota // by someone else
	LeaseTaken                     // by the caller
	LeaseChanged                   // not acquired: the entry is not the one that was seen, and is returned instead
)

// String returns "held", "taken" or "changed".
func (s LeaseState) String() string {
	switch s {
	case LeaseHeld:
		return "held"
	case LeaseTaken:
		return "taken"
	case LeaseChanged:
		return "changed"
	}
	return "LeaseState(" + strconv.Itoa(int(s)) + ")"
}
