package entity

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"chatcore/domain"
	"chatcore/ports"
)

type entityKey struct {
	chat   domain.ChatID
	entity domain.Entity
}

// stateCache holds states by entity. A version only moves forward. Beyond its size it drops any entries.
type stateCache struct {
	seed   maphash.Seed
	size   int64
	used   atomic.Int64
	epoch  atomic.Uint64 // how often it was dropped
	victim atomic.Uint64 // the shard that drops next
	shards [64]stateShard
}

type stateShard struct {
	mu           sync.Mutex
	entries      map[entityKey]cachedState
	hits, misses uint64
}

type cachedState struct {
	version domain.Seq
	state   domain.State // never changed
	bytes   int64
	epoch   uint64        // of the cache when the state was stored
	moved   domain.Seq    // of an event of the entity that this process appended; the state may lack it
	sent    *ports.Record // the only event of a message; nil for any other entity, and if the load did not return it
}

func newStateCache(size int) *stateCache {
	c := &stateCache{seed: maphash.MakeSeed(), size: int64(size)}
	for i := range c.shards {
		c.shards[i].entries = make(map[entityKey]cachedState)
	}
	return c
}

func (c *stateCache) shard(key entityKey) *stateShard {
	return &c.shards[(maphash.String(c.seed, string(key.chat))+maphash.String(c.seed, key.entity.ID))%uint64(len(c.shards))]
}

// get fills an entity with the cached state, if there is one of the entity's epoch.
func (c *stateCache) get(key entityKey, into *Versioned) bool {
	if c == nil {
		return false
	}
	shard := c.shard(key)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	entry, there := shard.entries[key]
	if !there || entry.epoch != into.Epoch {
		shard.misses++
		return false
	}
	shard.hits++
	into.Version, into.State, into.Records, into.sent = entry.version, entry.state, nil, entry.sent
	return true
}

// newer sets the state of an entity to the cached one if that has a higher version and is of the entity's epoch. It returns the seq up to which the
// cache knows the log to have events of the entity, or 0 if the entity is not cached.
func (c *stateCache) newer(key entityKey, s *Versioned) (moved domain.Seq) {
	if c == nil {
		return 0
	}
	shard := c.shard(key)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	entry, there := shard.entries[key]
	if !there || entry.epoch != s.Epoch {
		return 0
	}
	if entry.version > s.Version {
		s.Version, s.State, s.Records, s.sent = entry.version, entry.state, nil, entry.sent
	}
	return max(entry.version, entry.moved)
}

// noteMove notes that an event with a seq moved a cached entity, whose state then may lack this event and others before it.
func (c *stateCache) noteMove(key entityKey, seq domain.Seq) {
	if c == nil {
		return
	}
	shard := c.shard(key)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if entry, there := shard.entries[key]; there {
		entry.moved = max(entry.moved, seq)
		shard.entries[key] = entry
	}
}

// put stores the state of an entity, unless that is older, or the cache was dropped since the entity was filled.
func (c *stateCache) put(key entityKey, s Versioned) {
	if c == nil {
		return
	}
	entry := cachedState{version: s.Version, state: s.State, bytes: sizeOf(key, s.State), epoch: s.Epoch}
	if known := s.Known(); key.entity.Kind == domain.KindMessage && len(known) == 1 {
		entry.sent = &known[0]
		entry.bytes += sentBytes
	}
	shard := c.shard(key)
	shard.mu.Lock()
	before, there := shard.entries[key]
	entry.moved = before.moved
	switch {
	case there && before.version >= s.Version, s.Epoch != c.epoch.Load():
		shard.mu.Unlock()
		return
	case entry.bytes > c.size/4: // the others are worth more
		delete(shard.entries, key)
		entry.bytes = 0
	default:
		shard.entries[key] = entry
	}
	shard.mu.Unlock()
	if c.used.Add(entry.bytes-before.bytes) > c.size {
		c.shrink()
	}
}

// shrink drops entries, of one shard after another, until there is room again.
func (c *stateCache) shrink() {
	for range 4 * len(c.shards) {
		shard := &c.shards[c.victim.Add(1)%uint64(len(c.shards))]
		shard.mu.Lock()
		for key, entry := range shard.entries { // in no particular order
			delete(shard.entries, key)
			c.used.Add(-entry.bytes)
			break
		}
		shard.mu.Unlock()
		if c.used.Load() <= c.size {
			return
		}
	}
}

func (c *stateCache) drop(key entityKey) {
	if c == nil {
		return
	}
	shard := c.shard(key)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	c.used.Add(-shard.entries[key].bytes)
	delete(shard.entries, key)
}

// now is the epoch of the cache.
func (c *stateCache) now() uint64 {
	if c == nil {
		return 0
	}
	return c.epoch.Load()
}

// clear drops all states, also those that are being put.
func (c *stateCache) clear() {
	c.epoch.Add(1) // before the shards: put reads it under a shard's lock
	for i := range c.shards {
		shard := &c.shards[i]
		shard.mu.Lock()
		for _, entry := range shard.entries {
			c.used.Add(-entry.bytes)
		}
		clear(shard.entries)
		shard.mu.Unlock()
	}
}

func (c *stateCache) stats() CacheStats {
	var s CacheStats
	for i := range c.shards {
		shard := &c.shards[i]
		shard.mu.Lock()
		s.Hits += shard.hits
		s.Misses += shard.misses
		shard.mu.Unlock()
	}
	return s
}

// sentBytes is about how many bytes the event of a message takes, beside the texts that its state has too.
const sentBytes = 384

// sizeOf is about how many bytes an entry takes.
func sizeOf(key entityKey, s domain.State) int64 {
	const entry, reaction, owner = 256, 128, 64
	n := entry + len(key.chat) + len(key.entity.ID)
	switch s := s.(type) {
	case *domain.Chat:
		n += len(s.Title) + owner*len(s.Owners)
	case *domain.Message:
		n += len(s.Content) + len(s.ClientMeta) + owner*len(s.Mentions) + 4*owner*len(s.Attachments)
	case *domain.Reactions:
		n += reaction * s.Len()
	case *domain.Thread:
		n += 8*len(s.Window) + 2*owner*len(s.Recent) + owner*len(s.Participants)
	case *domain.Mentions:
		n += 8*domain.MaxMentionEvents + 4*owner*s.Len()
	}
	return int64(n)
}
