package entity

import (
	"context"
	"errors"
	"fmt"

	"chatcore/domain"
	"chatcore/ports"
)

// Loader loads the states of entities: from its cache and later events, and from snapshots of entities with many events. A state from the cache
// alone may be stale; the log checks its version with every append.
type Loader struct {
	log       ports.EventLog
	snapshots ports.Snapshots
	cache     *stateCache
	moves     *recentChanges
	sends     *recentSends    // nil as of a seq
	worker    *snapshotWorker // nil without snapshots
	until     domain.Seq      // as of this seq; 0: as of now
}

// CacheBytes is about how much memory a cache may take.
type CacheBytes int

// NewLoader loads from a log. Without snapshots (nil) an entity is folded from all of its events, unless it is cached.
func NewLoader(log ports.EventLog, snapshots ports.Snapshots, size CacheBytes) *Loader {
	e := &Loader{log: log, snapshots: snapshots, cache: newStateCache(int(size)), moves: &recentChanges{}, sends: &recentSends{}}
	if snapshots != nil {
		e.worker = newSnapshotWorker(e.snapshot)
	}
	return e
}

// Close ends the writing of snapshots and waits for it. Entities can still be loaded afterwards.
func (e *Loader) Close() {
	if e.worker != nil {
		e.worker.close()
	}
}

// Invalidate drops all cached states: for when the log may have lost acknowledged events, and versions may name others.
func (e *Loader) Invalidate() {
	e.cache.clear()
	e.moves.clear()
	e.sends.clear() // after the epoch
}

// Epoch counts the calls of Invalidate.
func (e *Loader) Epoch() uint64 { return e.cache.now() }

// CacheStats are counts since the start.
type CacheStats struct {
	Hits, Misses     uint64 // wanted entities that were in the cache, or not
	SnapshotsPending int    // snapshots that are queued or being written now
	SnapshotsSkipped uint64 // snapshots that were due and not written, because too many were queued or the entities were closed
}

// Stats returns the counts.
func (e *Loader) Stats() CacheStats {
	s := e.cache.stats()
	if e.worker != nil {
		s.SnapshotsPending, s.SnapshotsSkipped = e.worker.counts()
	}
	return s
}

// At returns a loader of entities as of a seq. It caches nothing.
func (e *Loader) At(seq domain.Seq) *Loader {
	return &Loader{log: e.log, snapshots: nil, moves: e.moves, until: seq}
}

// Cached fills the entities from the cache and from the recent sends of this process, as far as these have them, and reports whether all are filled.
func (e *Loader) Cached(chat domain.ChatID, entities []Versioned) bool {
	all := true
	epoch := e.cache.now()
	for i := range entities {
		s := &entities[i]
		s.Epoch = epoch
		switch {
		case s.Expect, s.Exists:
			s.Version, s.State, s.Records, s.Command = 0, nil, nil, ports.CommandRecord{}
		case s.Latest || !e.cache.get(entityKey{chat, s.Entity}, s) && !e.sends.get(chat, s):
			all = false
		}
	}
	return all
}

// TakeNewer sets the state of an entity to the cached one if that is newer. It returns the seq up to which the log is known to have events of the entity,
// or 0 if the entity is not cached. The entity must have been through [Loader.Cached].
//
// Invariant: a cached state has no event that the log lacks, unless the log has lost events. A state is stored only as loaded from the log, or with an
// append that had it as a condition. When the log may have lost events, [Loader.Invalidate] begins an epoch. Cached states and entities of different
// epochs never mix, and an append of another epoch is refused.
func (e *Loader) TakeNewer(chat domain.ChatID, s *Versioned) (moved domain.Seq) {
	if s.Expect || s.Exists || s.Latest {
		return 0
	}
	return e.cache.newer(entityKey{chat, s.Entity}, s)
}

// Seed fills the entities of messages that are not cached with the events that sent them, so that a load need not return these again.
func (e *Loader) Seed(chat domain.ChatID, entities []Versioned, sends []ports.Record) {
	if e.until > 0 { // a load as of a seq begins with the first event
		return
	}
	seqs := make(map[domain.Entity]ports.Record, len(sends))
	for _, r := range sends {
		if sent, ok := r.Event.(domain.MessageNew); ok {
			seqs[domain.MessageEntity(sent.Message)] = r
		}
	}
	for i := range entities {
		s := &entities[i]
		if r, sent := seqs[s.Entity]; sent && s.State == nil {
			s.State, s.Version = domain.NewState(chat, s.Entity), r.Seq
			s.State.Apply(r.Seq, r.Event)
		}
	}
}

// Load brings the entities up to date, for a decision: an entity that an event moved which only a newer program can read is [ports.ErrNewerVersion].
// head is the chat's last seq.
func (e *Loader) Load(ctx context.Context, chat domain.ChatID, entities []Versioned) (head domain.Seq, err error) {
	head, unread, err := e.Fill(ctx, chat, entities)
	for _, u := range unread {
		return 0, &u.NewerVersionError
	}
	return head, err
}

// Fill brings the entities up to date as far as events can be read. unread has, by the place of the entity, an event that moved the entity and that only a
// newer program can read: one in a later version or, if there is none, one of an unknown type. The state is then that of the other events.
func (e *Loader) Fill(ctx context.Context, chat domain.ChatID, entities []Versioned) (head domain.Seq, unread map[int]*Unreadable, err error) {
	for {
		wants := e.wantsOf(entities)
		loaded, err := e.log.Load(ctx, chat, wants...)
		if err != nil {
			return 0, nil, err
		}
		if head, unread, again, err := e.take(chat, entities, wants, loaded); !again {
			return head, unread, err
		}
	}
}

// FillFound is Fill of entities that it takes from the cache first. It returns [domain.ErrChatNotFound] if there is no such chat.
func (e *Loader) FillFound(ctx context.Context, chat domain.ChatID, entities []Versioned) (head domain.Seq, unread map[int]*Unreadable, err error) {
	e.Cached(chat, entities)
	head, unread, err = e.Fill(ctx, chat, entities)
	if err == nil {
		err = Found(chat, head)
	}
	return head, unread, err
}

// Read is FillFound for a query: an entity that an event in a newer version moved is [ports.ErrNewerVersion]; events of unknown types are additions,
// and are left out.
func (e *Loader) Read(ctx context.Context, chat domain.ChatID, entities []Versioned) (domain.Seq, error) {
	head, unread, err := e.FillFound(ctx, chat, entities)
	for _, u := range unread {
		if u.Newer && err == nil {
			err = &u.NewerVersionError
		}
	}
	return head, err
}

// Found returns [domain.ErrChatNotFound] if the last seq of a chat is 0.
func Found(chat domain.ChatID, head domain.Seq) error {
	if head == 0 {
		return &domain.Refusal{Reason: domain.ErrChatNotFound, Detail: fmt.Sprintf("chat %q was never created", chat)}
	}
	return nil
}

// FillChats is fill of many chats, in a few round trips.
func (e *Loader) FillChats(ctx context.Context, log ports.BulkReader, chats []ChatEntities) error {
	loads := make([]ports.ChatLoad, len(chats))
	for i, c := range chats {
		loads[i] = ports.ChatLoad{Chat: c.Chat, Wants: e.wantsOf(c.Entities)}
	}
	loaded, err := log.LoadChats(ctx, loads...)
	if err != nil {
		return err
	}
	for i := range chats {
		c, again := &chats[i], false
		if c.Head, c.Unread, again, err = e.take(c.Chat, c.Entities, loads[i].Wants, loaded[i]); again {
			c.Head, c.Unread, err = e.Fill(ctx, c.Chat, c.Entities)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wantsOf returns the requests of a load of the entities.
func (e *Loader) wantsOf(entities []Versioned) []ports.LoadRequest {
	wants := make([]ports.LoadRequest, len(entities))
	for i, s := range entities {
		wants[i] = ports.LoadRequest{Entity: s.Entity, After: s.Version, Latest: s.Latest, Until: e.until, Net: s.Entity.Kind == domain.KindReactions && !s.Latest}
		if s.Latest || s.State == nil {
			wants[i].After = 0
		}
		if s.Entity.Kind == domain.KindMentions && !s.Latest {
			wants[i].Last = domain.MaxMentionEvents
		}
	}
	return wants
}

// take folds the result of a load into the entities. If the log may have lost events that the entities contain, take empties them and reports that they
// must be loaded again.
func (e *Loader) take(
	chat domain.ChatID, entities []Versioned, wants []ports.LoadRequest, loaded ports.Loaded,
) (head domain.Seq, unread map[int]*Unreadable, again bool, err error) {
	if e.lost(entities, loaded, wants) {
		for i := range entities {
			e.cache.drop(entityKey{chat, entities[i].Entity})
			entities[i] = entities[i].blank()
			entities[i].Epoch = e.cache.now()
		}
		return 0, nil, true, nil
	}
	for i := range entities {
		if entities[i].Entity == domain.ChatEntity() && loaded.Entities[i].Version == 0 && loaded.Head > 0 {
			return 0, nil, false, &ports.CorruptError{Chat: chat, Cause: errors.New("the chat has events, and none of them created it")}
		}
		if u := e.fold(chat, &entities[i], loaded.Entities[i]); u != nil {
			if unread == nil {
				unread = make(map[int]*Unreadable)
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

// lost reports whether the log may have lost events that the entities contain: its versions are lower, or the cache was dropped meanwhile.
func (e *Loader) lost(entities []Versioned, loaded ports.Loaded, wants []ports.LoadRequest) bool {
	for i, s := range entities {
		if wants[i].After > 0 && (loaded.Entities[i].Version < wants[i].After || s.Epoch != e.cache.now()) {
			return true
		}
	}
	return false
}

// manyEvents is so many that loading them once more would cost more than to keep a snapshot.
const manyEvents = 512

func (e *Loader) fold(chat domain.ChatID, s *Versioned, h ports.EntityHistory) *Unreadable {
	unchanged := s.State != nil && !s.Latest && s.Version == h.Version
	unread := FirstUnreadable(h.Events)
	s.Version, s.Records = h.Version, nil
	base := s.State
	if base == nil && !s.Latest && h.Snapshot.State == nil && h.Older == 0 {
		s.Records = h.Events
	}
	switch {
	case s.Latest:
		base = nil
	case h.Snapshot.State != nil:
		base = h.Snapshot.State
	case h.Older > 0: // the newest events alone, which are more than the caller lacked
		base = nil
	}
	switch {
	case unchanged && s.Version > 0:
		return nil
	case base == nil:
		base = domain.NewState(chat, s.Entity)
	default:
		base = base.Clone()
	}
	if s.State = base; base == nil {
		s.Records, s.Command = h.Events, h.Command
		return unread
	}
	if mentions, ok := s.State.(*domain.Mentions); ok && h.Older > 0 {
		mentions.StartAt(h.Events[0].Seq)
	}
	for _, r := range h.Events {
		s.State.Apply(r.Seq, r.Event)
	}
	if s.Latest || s.Version == 0 || e.until > 0 || unread != nil {
		return unread
	}
	e.cache.put(entityKey{chat, s.Entity}, *s)
	if len(h.Events)+h.Undone >= manyEvents && !s.quiet {
		loaded := *s
		e.RequestSnapshot(chat, s.Entity, &loaded)
	}
	return nil
}

// Learn applies an append to an entity that was one of its conditions.
func (e *Loader) Learn(chat domain.ChatID, s *Versioned, seq domain.Seq, event domain.Durable) {
	s.State = s.State.Clone()
	s.State.Apply(seq, event)
	s.Version, s.Records = seq, nil
	e.cache.put(entityKey{chat, s.Entity}, *s)
}

// NoteMove notes that an append moved an entity that was none of its conditions. The cached state stays: it may lack that event and others before it,
// and is where the next load begins. [Loader.TakeNewer] returns the event's seq.
func (e *Loader) NoteMove(chat domain.ChatID, entity domain.Entity, seq domain.Seq) {
	e.cache.noteMove(entityKey{chat, entity}, seq)
}

// RequestSnapshot has a snapshot of an entity written in the background: of the loaded state or, if that is nil, of the state then. Mentions need none: they are folded from
// their newest events alone.
//
//nolint:contextcheck // the worker outlives its callers
func (e *Loader) RequestSnapshot(chat domain.ChatID, entity domain.Entity, loaded *Versioned) {
	if e.worker != nil && entity.Kind != domain.KindMentions && domain.NewState(chat, entity) != nil {
		e.worker.request(entityKey{chat, entity}, loaded)
	}
}

// snapshot writes the state of an entity, which it loads if loaded is nil. It is worth a try only: without a snapshot, the next load of the
// entity takes longer.
func (e *Loader) snapshot(ctx context.Context, key entityKey, loaded *Versioned) {
	if loaded == nil {
		entities := []Versioned{{Entity: key.entity, quiet: true}}
		e.Cached(key.chat, entities)
		if _, err := e.Load(ctx, key.chat, entities); err != nil {
			return
		}
		loaded = &entities[0]
	}
	if loaded.Epoch == e.cache.now() { // otherwise the log may have lost events of the state
		_ = e.snapshots.SaveSnapshot(ctx, key.chat, loaded.Entity, loaded.Version, loaded.State) // counted by the store
	}
}
