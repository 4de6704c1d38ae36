package keyspace

import "chatcore/ports"

// Caches has the keys of cached values.
type Caches struct{ base }

// All returns the keys of a cached value: the value, its lease, its last invalidation and, unless it is an object, its metadata.
func (k Caches) All(c ports.CacheKey) []string {
	value := k.Value(c)
	beside := k.prefix + OwnPrefix + "{" + value + "}:"
	keys := []string{value, beside + "l", beside + "f", beside + "m"}
	if c.Object {
		keys = keys[:3]
	}
	return keys
}

// Value returns the key of a cached value.
func (k Caches) Value(c ports.CacheKey) string { return k.prefix + c.Prefix + Escape(c.ID) }
