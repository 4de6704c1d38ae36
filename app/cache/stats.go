package cache

import "sync/atomic"

// Stats are counts since the cache was made.
type Stats struct {
	Hits        uint64 // reads that were given a kept value
	Negative    uint64 // reads that found a stored absence
	Misses      uint64 // reads that found nothing good
	Stale       uint64 // older values that were given because a load failed: once a load, and for each read until the next try
	Undecodable uint64 // values found of another schema, or that are no values of the type
	Loads       uint64
	LoadErrors  uint64 // loads that failed, timed out or panicked
	Refused     uint64 // writes that came too late: a newer value or an invalidation was there
	StoreErrors uint64 // calls of the store that failed
}

type counters struct {
	hits, negative, misses, stale, undecodable, loads, loadErrors, refused, storeErrors atomic.Uint64
}

// Stats gives the counts.
func (c *Cache[K, T]) Stats() Stats {
	n := &c.counts
	return Stats{
		Hits: n.hits.Load(), Negative: n.negative.Load(), Misses: n.misses.Load(), Stale: n.stale.Load(), Undecodable: n.undecodable.Load(),
		Loads: n.loads.Load(), LoadErrors: n.loadErrors.Load(), Refused: n.refused.Load(), StoreErrors: n.storeErrors.Load(),
	}
}
