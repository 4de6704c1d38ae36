package app

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"chatcore/domain"
	"chatcore/ports"
)

// Entities gives the states of entities: from its cache as far as that goes, with the events since then, and snapshots of what has
// many. A state that is only from the cache may be stale; its version says as of when it is, and the log checks versions with
// every append.
type Entities struct {
	log       ports.EventLog
	snapshots ports.Snapshots
	cache     *stateCache
	until     domain.Seq // as of this seq; 0: as of now
}

// CacheBytes is about how much memory a cache may take.
type CacheBytes int

// NewEntities loads from a log. Without snapshots (nil) an entity is folded from all of its events, unless it is cached.
func NewEntities(log ports.EventLog, snapshots ports.Snapshots, size CacheBytes) *Entities {
	return &Entities{log: log, snapshots: snapshots, cache: newStateCache(int(size))}
}

// Forget drops all that is cached: for when the log may have lost what it acknowledged, and versions may come to mean something else.
func (e *Entities) Forget() { e.cache.clear() }

// CacheStats are counts since the start.
type CacheStats struct{ Hits, Misses uint64 }

// Stats tells how often a wanted entity was in the cache.
func (e *Entities) Stats() CacheStats { return e.cache.stats() }

// at gives the entities as of a seq. They are not cached.
func (e *Entities) at(seq domain.Seq) *Entities {
	return &Entities{log: e.log, snapshots: nil, until: seq}
}

// slot is an entity as it is known.
type slot struct {
	entity  domain.Entity
	latest  bool // only its last event matters
	expect  bool // expected not to exist: version 0 is worth a try
	version domain.Seq
	state   domain.State   // nil for an entity that is only a version
	records []ports.Record // of an entity that is only a version, since version 0
	epoch   uint64         // of the cache when the slot was filled
}

// blank is the slot as it was before anything was known.
func (s slot) blank() slot { return slot{entity: s.entity, latest: s.latest} }

// cached fills the slots from the cache, as far as that has them, and reports whether all are filled.
func (e *Entities) cached(chat domain.ChatID, slots []slot) bool {
	all := true
	epoch := e.cache.now()
	for i := range slots {
		s := &slots[i]
		s.epoch = epoch
		switch {
		case s.expect:
			s.version, s.state, s.records = 0, nil, nil
		case s.latest || !e.cache.get(entityKey{chat, s.entity}, s):
			all = false
		}
	}
	return all
}

// load brings the slots up to date. head is the chat's last seq.
func (e *Entities) load(ctx context.Context, chat domain.ChatID, slots []slot) (head domain.Seq, err error) {
	wants := make([]ports.Want, len(slots))
	for i, s := range slots {
		wants[i] = ports.Want{Entity: s.entity, After: s.version, Latest: s.latest, Until: e.until}
		if s.latest || s.state == nil {
			wants[i].After = 0
		}
	}
	loaded, err := e.log.Load(ctx, chat, wants...)
	if err != nil {
		return 0, err
	}
	if e.lost(slots, loaded, wants) {
		for i := range slots {
			e.cache.drop(entityKey{chat, slots[i].entity})
			slots[i] = slots[i].blank()
			slots[i].epoch = e.cache.now()
		}
		return e.load(ctx, chat, slots)
	}
	for i := range slots {
		e.fold(ctx, chat, &slots[i], loaded.Entities[i])
	}
	head = loaded.Head
	if e.until > 0 {
		head = min(head, e.until)
	}
	return head, nil
}

// lost reports whether the log may have lost what the slots were filled from: it knows less than they do, or the cache was dropped meanwhile.
func (e *Entities) lost(slots []slot, loaded ports.Loaded, wants []ports.Want) bool {
	for i, s := range slots {
		if wants[i].After > 0 && (loaded.Entities[i].Version < wants[i].After || s.epoch != e.cache.now()) {
			return true
		}
	}
	return false
}

// manyEvents is so many that loading them once more would cost more than to keep a snapshot.
const manyEvents = 512

func (e *Entities) fold(ctx context.Context, chat domain.ChatID, s *slot, h ports.EntityHistory) {
	unchanged := s.state != nil && !s.latest && s.version == h.Version
	s.version = h.Version
	base := s.state
	switch {
	case s.latest:
		base = nil
	case h.Snapshot.State != nil:
		base = h.Snapshot.State
	}
	switch {
	case unchanged && s.version > 0:
		return
	case base == nil:
		base = domain.NewState(chat, s.entity)
	default:
		base = base.Clone()
	}
	if s.state = base; base == nil {
		s.records = h.Events
		return
	}
	for _, r := range h.Events {
		s.state.Apply(r.Seq, r.Event)
	}
	if s.latest || s.version == 0 || e.until > 0 {
		return
	}
	e.cache.put(entityKey{chat, s.entity}, *s)
	if len(h.Events) >= manyEvents {
		e.keep(ctx, chat, *s)
	}
}

// learn takes what an append has done to an entity that was one of its conditions.
func (e *Entities) learn(chat domain.ChatID, s *slot, seq domain.Seq, event domain.Durable) {
	s.state = s.state.Clone()
	s.state.Apply(seq, event)
	s.version = seq
	e.cache.put(entityKey{chat, s.entity}, *s)
}

// snapshot keeps the present state of an entity. It is worth a try only: whoever loads it later does so without.
func (e *Entities) snapshot(ctx context.Context, chat domain.ChatID, entity domain.Entity) {
	if e.snapshots == nil || domain.NewState(chat, entity) == nil {
		return
	}
	slots := []slot{{entity: entity}}
	e.cached(chat, slots)
	if _, err := e.load(ctx, chat, slots); err == nil {
		e.keep(ctx, chat, slots[0])
	}
}

func (e *Entities) keep(ctx context.Context, chat domain.ChatID, s slot) {
	if e.snapshots != nil {
		_ = e.snapshots.Keep(ctx, chat, s.entity, s.version, s.state) // counted by who keeps them
	}
}

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

func (c *stateCache) get(key entityKey, into *slot) bool {
	if c == nil {
		return false
	}
	shard := c.shard(key)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	entry, there := shard.entries[key]
	if !there {
		shard.misses++
		return false
	}
	shard.hits++
	into.version, into.state = entry.version, entry.state
	return true
}

// put keeps what a slot has, unless that is older, or the cache was dropped since the slot was filled.
func (c *stateCache) put(key entityKey, s slot) {
	if c == nil {
		return
	}
	entry := cachedState{version: s.version, state: s.state, bytes: sizeOf(key, s.state)}
	shard := c.shard(key)
	shard.mu.Lock()
	before, there := shard.entries[key]
	switch {
	case there && before.version >= s.version, s.epoch != c.epoch.Load():
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

// clear drops everything, also what is on its way in.
func (c *stateCache) clear() {
	c.epoch.Add(1) // before the shards: who puts holds a shard's lock and looks at it
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
	}
	return int64(n)
}
