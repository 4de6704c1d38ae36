package app

import (
	"context"
	"errors"

	"chatcore/domain"
	"chatcore/ports"
)

// Entities loads the states of entities: from its cache and later events, and from snapshots of entities with many events. A state from the cache
// alone may be stale; the log checks its version with every append.
type Entities struct {
	log       ports.EventLog
	snapshots ports.Snapshots
	cache     *stateCache
	moves     *recentChanges
	worker    *snapshotWorker // nil without snapshots
	until     domain.Seq      // as of this seq; 0: as of now
}

// CacheBytes is about how much memory a cache may take.
type CacheBytes int

// NewEntities loads from a log. Without snapshots (nil) an entity is folded from all of its events, unless it is cached.
func NewEntities(log ports.EventLog, snapshots ports.Snapshots, size CacheBytes) *Entities {
	e := &Entities{log: log, snapshots: snapshots, cache: newStateCache(int(size)), moves: &recentChanges{}}
	if snapshots != nil {
		e.worker = newSnapshotWorker(e.snapshot)
	}
	return e
}

// Close ends the writing of snapshots and waits for it. Entities can still be loaded afterwards.
func (e *Entities) Close() {
	if e.worker != nil {
		e.worker.close()
	}
}

// Invalidate drops all cached states: for when the log may have lost acknowledged events, and versions may name others.
func (e *Entities) Invalidate() {
	e.cache.clear()
	e.moves.clear()
}

// Epoch counts the calls of Forget.
func (e *Entities) Epoch() uint64 { return e.cache.now() }

// CacheStats are counts since the start.
type CacheStats struct {
	Hits, Misses     uint64 // wanted entities that were in the cache, or not
	SnapshotsPending int    // snapshots that are queued or being written now
	SnapshotsSkipped uint64 // snapshots that were due and not written, because too many were queued or the entities were closed
}

// Stats returns the counts.
func (e *Entities) Stats() CacheStats {
	s := e.cache.stats()
	if e.worker != nil {
		s.SnapshotsPending, s.SnapshotsSkipped = e.worker.counts()
	}
	return s
}

// at gives the entities as of a seq. They are not cached.
func (e *Entities) at(seq domain.Seq) *Entities {
	return &Entities{log: e.log, snapshots: nil, moves: e.moves, until: seq}
}

// slot is an entity as it is known.
type slot struct {
	entity  domain.Entity
	latest  bool // only its last event matters
	expect  bool // expected not to exist: version 0 is worth a try
	exists  bool // only whether it exists matters; expected to
	version domain.Seq
	state   domain.State   // nil for an entity that is only a version
	records []ports.Record // of an entity that is only a version, since version 0
	command ports.CommandRecord
	epoch   uint64 // of the cache when the slot was filled
	quiet   bool   // loading it requests no snapshot
}

// unreadable is an event that only a newer program can read.
type unreadable struct {
	ports.NewerVersionError

	newer bool // its type is known
}

func unreadableOf(seq domain.Seq, e domain.Unknown) *unreadable {
	return &unreadable{ports.NewerVersionError{Chat: e.Chat, Seq: seq, Type: e.Type, Version: e.Version}, e.Newer}
}

// blank is the slot as it was before anything was known.
func (s slot) blank() slot { return slot{entity: s.entity, latest: s.latest, quiet: s.quiet} }

// cached fills the slots from the cache, as far as that has them, and reports whether all are filled.
func (e *Entities) cached(chat domain.ChatID, slots []slot) bool {
	all := true
	epoch := e.cache.now()
	for i := range slots {
		s := &slots[i]
		s.epoch = epoch
		switch {
		case s.expect, s.exists:
			s.version, s.state, s.records, s.command = 0, nil, nil, ports.CommandRecord{}
		case s.latest || !e.cache.get(entityKey{chat, s.entity}, s):
			all = false
		}
	}
	return all
}

// seed fills the slots of messages that are not cached with the events that sent them, so that a load need not return these again.
func (e *Entities) seed(chat domain.ChatID, slots []slot, sends []ports.Record) {
	if e.until > 0 { // a load as of a seq begins with the first event
		return
	}
	seqs := make(map[domain.Entity]ports.Record, len(sends))
	for _, r := range sends {
		if sent, ok := r.Event.(domain.MessageNew); ok {
			seqs[domain.MessageEntity(sent.Message)] = r
		}
	}
	for i := range slots {
		s := &slots[i]
		if r, sent := seqs[s.entity]; sent && s.state == nil {
			s.state, s.version = domain.NewState(chat, s.entity), r.Seq
			s.state.Apply(r.Seq, r.Event)
		}
	}
}

// load brings the slots up to date, for a decision: an entity that an event moved which only a newer program can read is [ports.ErrNewerVersion].
// head is the chat's last seq.
func (e *Entities) load(ctx context.Context, chat domain.ChatID, slots []slot) (head domain.Seq, err error) {
	head, unread, err := e.fill(ctx, chat, slots)
	for _, u := range unread {
		return 0, &u.NewerVersionError
	}
	return head, err
}

// fill brings the slots up to date as far as events can be read. unread has, by the place of the slot, an event that moved the entity and that only a
// newer program can read: one in a later version or, if there is none, one of an unknown type. The state is then that of the other events.
func (e *Entities) fill(ctx context.Context, chat domain.ChatID, slots []slot) (head domain.Seq, unread map[int]*unreadable, err error) {
	for {
		wants := e.wantsOf(slots)
		loaded, err := e.log.Load(ctx, chat, wants...)
		if err != nil {
			return 0, nil, err
		}
		if head, unread, again, err := e.take(chat, slots, wants, loaded); !again {
			return head, unread, err
		}
	}
}

// chatSlots are the entities of one chat that a load of many chats fills.
type chatSlots struct {
	chat   domain.ChatID
	slots  []slot
	head   domain.Seq          // the chat's last seq, 0 if there is no such chat
	unread map[int]*unreadable // as fill returns it
}

// newer returns an error if an event in a newer version moved an entity of the slots from a place on.
func (c chatSlots) newer(from int) error {
	for place, u := range c.unread {
		if place >= from && u.newer {
			return &u.NewerVersionError
		}
	}
	return nil
}

// fillChats is fill of many chats, in a few round trips.
func (e *Entities) fillChats(ctx context.Context, log ports.BulkReader, chats []chatSlots) error {
	loads := make([]ports.ChatLoad, len(chats))
	for i, c := range chats {
		loads[i] = ports.ChatLoad{Chat: c.chat, Wants: e.wantsOf(c.slots)}
	}
	loaded, err := log.LoadChats(ctx, loads...)
	if err != nil {
		return err
	}
	for i := range chats {
		c, again := &chats[i], false
		if c.head, c.unread, again, err = e.take(c.chat, c.slots, loads[i].Wants, loaded[i]); again {
			c.head, c.unread, err = e.fill(ctx, c.chat, c.slots)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wantsOf returns the requests of a load of the slots.
func (e *Entities) wantsOf(slots []slot) []ports.LoadRequest {
	wants := make([]ports.LoadRequest, len(slots))
	for i, s := range slots {
		wants[i] = ports.LoadRequest{Entity: s.entity, After: s.version, Latest: s.latest, Until: e.until, Net: s.entity.Kind == domain.KindReactions && !s.latest}
		if s.latest || s.state == nil {
			wants[i].After = 0
		}
	}
	return wants
}

// take folds the result of a load into the slots. If the log may have lost events that the slots contain, take empties them and reports that they
// must be loaded again.
func (e *Entities) take(
	chat domain.ChatID, slots []slot, wants []ports.LoadRequest, loaded ports.Loaded,
) (head domain.Seq, unread map[int]*unreadable, again bool, err error) {
	if e.lost(slots, loaded, wants) {
		for i := range slots {
			e.cache.drop(entityKey{chat, slots[i].entity})
			slots[i] = slots[i].blank()
			slots[i].epoch = e.cache.now()
		}
		return 0, nil, true, nil
	}
	for i := range slots {
		if slots[i].entity == domain.ChatEntity() && loaded.Entities[i].Version == 0 && loaded.Head > 0 {
			return 0, nil, false, &ports.CorruptError{Chat: chat, Cause: errors.New("the chat has events, and none of them created it")}
		}
		if u := e.fold(chat, &slots[i], loaded.Entities[i]); u != nil {
			if unread == nil {
				unread = make(map[int]*unreadable)
			}
			unread[i] = u
		}
	}
	head = loaded.Head
	if e.until > 0 {
		head = min(head, e.until)
	}
	return head, unread, false, nil
}

// lost reports whether the log may have lost events that the slots contain: its versions are lower, or the cache was dropped meanwhile.
func (e *Entities) lost(slots []slot, loaded ports.Loaded, wants []ports.LoadRequest) bool {
	for i, s := range slots {
		if wants[i].After > 0 && (loaded.Entities[i].Version < wants[i].After || s.epoch != e.cache.now()) {
			return true
		}
	}
	return false
}

// manyEvents is so many that loading them once more would cost more than to keep a snapshot.
const manyEvents = 512

func (e *Entities) fold(chat domain.ChatID, s *slot, h ports.EntityHistory) *unreadable {
	unchanged := s.state != nil && !s.latest && s.version == h.Version
	unread := firstUnreadable(h.Events)
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
		return nil
	case base == nil:
		base = domain.NewState(chat, s.entity)
	default:
		base = base.Clone()
	}
	if s.state = base; base == nil {
		s.records, s.command = h.Events, h.Command
		return unread
	}
	for _, r := range h.Events {
		s.state.Apply(r.Seq, r.Event)
	}
	if s.latest || s.version == 0 || e.until > 0 || unread != nil {
		return unread
	}
	e.cache.put(entityKey{chat, s.entity}, *s)
	if len(h.Events)+h.Undone >= manyEvents && !s.quiet {
		loaded := *s
		e.requestSnapshot(chat, s.entity, &loaded)
	}
	return nil
}

// firstUnreadable returns the first event in a version that is not known, or else the first of an unknown type, or nil.
func firstUnreadable(records []ports.Record) (found *unreadable) {
	for _, r := range records {
		if e, ok := r.Event.(domain.Unknown); ok && (found == nil || e.Newer && !found.newer) {
			found = unreadableOf(r.Seq, e)
		}
	}
	return found
}

// learn applies an append to an entity that was one of its conditions.
func (e *Entities) learn(chat domain.ChatID, s *slot, seq domain.Seq, event domain.Durable) {
	s.state = s.state.Clone()
	s.state.Apply(seq, event)
	s.version = seq
	e.cache.put(entityKey{chat, s.entity}, *s)
}

// forget drops the cached state of an entity that has moved to an unknown state.
func (e *Entities) forget(chat domain.ChatID, entity domain.Entity) {
	e.cache.drop(entityKey{chat, entity})
}

// requestSnapshot has a snapshot of an entity written in the background: of the loaded state or, if that is nil, of the state then.
//
//nolint:contextcheck // the worker outlives its callers
func (e *Entities) requestSnapshot(chat domain.ChatID, entity domain.Entity, loaded *slot) {
	if e.worker != nil && domain.NewState(chat, entity) != nil {
		e.worker.request(entityKey{chat, entity}, loaded)
	}
}

// snapshot writes the state of an entity, which it loads if loaded is nil. It is worth a try only: without a snapshot, the next load of the
// entity takes longer.
func (e *Entities) snapshot(ctx context.Context, key entityKey, loaded *slot) {
	if loaded == nil {
		slots := []slot{{entity: key.entity, quiet: true}}
		e.cached(key.chat, slots)
		if _, err := e.load(ctx, key.chat, slots); err != nil {
			return
		}
		loaded = &slots[0]
	}
	if loaded.epoch == e.cache.now() { // otherwise the log may have lost events of the state
		_ = e.snapshots.SaveSnapshot(ctx, key.chat, loaded.entity, loaded.version, loaded.state) // counted by the store
	}
}
