package memory

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

var (
	_ ports.EventLog       = (*Log)(nil)
	_ ports.ChatIndex      = (*Log)(nil)
	_ ports.MessageCounter = (*Log)(nil)
	_ ports.MemberCounter  = (*Log)(nil)
	_ ports.EventSearch    = (*Log)(nil)
	_ ports.BatchAppender  = (*Log)(nil)
	_ ports.LimitTaker     = (*Log)(nil)
	_ ports.Snapshots      = (*Log)(nil)
	_ ports.Eraser         = (*Log)(nil)
	_ ports.Feed           = (*Log)(nil)
)

// Log is an event log in memory. Appends to all chats are linearizable.
type Log struct {
	id       string
	codec    *wireformat.Codec
	typing   *Typing
	limiter  *Limiter
	announce func(typ string, payload []byte)
	closed   atomic.Bool

	announcing sync.Mutex             // held during an append and its notifications, acquired before mu: notifications are in the order of appends
	observers  []func([]ports.Notice) // announcing guards observers

	mu    sync.Mutex
	chats map[domain.ChatID]*chat
	rules rules
	feed  []ports.Record // of all chats, in the order of their appends
	grown chan struct{}  // closed when feed has grown
}

// New makes an empty log. Its codec says which events are too large, its clock when typing marks end.
//
// announce, unless nil, is called with each event that was appended, its type and its JSON: in the order of the appends, one at a time, once the events can be read and before the append returns. It may read
// the log and change typing marks, but must not append, and should be quick.
func New(codec *wireformat.Codec, clock ports.Clock, announce func(typ string, payload []byte)) *Log {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return &Log{
		id:       hex.EncodeToString(id[:]),
		codec:    codec,
		typing:   NewTyping(clock),
		limiter:  NewLimiter(clock),
		announce: announce,
		chats:    make(map[domain.ChatID]*chat),
		rules:    newRules(),
		grown:    make(chan struct{}),
	}
}

// Close ends the log: calls return [ports.ErrClosed] from then on. Deliveries of events that were appended before continue.
func (l *Log) Close() { l.closed.Store(true) }

// observe has fn called with the events of each batch that was appended, as announce is.
func (l *Log) observe(fn func([]ports.Notice)) {
	l.announcing.Lock()
	defer l.announcing.Unlock()
	l.observers = append(l.observers, fn)
}

// usable returns why a call may not begin or go on, or nil.
func (l *Log) usable(ctx context.Context) error {
	if l.closed.Load() {
		return ports.ErrClosed
	}
	return ctx.Err()
}

// ID is the log's own random id.
func (l *Log) ID() string { return l.id }

// Typing is the typing marks that the log's appends remove.
func (l *Log) Typing() *Typing { return l.typing }

// Limiter is the limiter that the log's appends take from.
func (l *Log) Limiter() *Limiter { return l.limiter }

// TakesFrom implements [ports.LimitTaker]: of [Log.Limiter].
func (l *Log) TakesFrom(limiter ports.Limiter) bool { return limiter == ports.Limiter(l.limiter) }

// Load implements [ports.EventLog].
func (l *Log) Load(ctx context.Context, id domain.ChatID, wants ...ports.LoadRequest) (ports.Loaded, error) {
	if err := l.usable(ctx); err != nil {
		return ports.Loaded{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.chats[id]
	loaded := ports.Loaded{Head: c.head(), Entities: make([]ports.EntityHistory, len(wants))}
	for i, w := range wants {
		loaded.Entities[i] = c.history(w)
	}
	return loaded, nil
}

// SaveSnapshot implements [ports.Snapshots].
func (l *Log) SaveSnapshot(ctx context.Context, id domain.ChatID, e domain.Entity, version domain.Seq, s domain.State) error {
	if err := l.usable(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.chats[id]; c != nil && version <= c.version(e) && version > c.snapshots[e].Version && version >= c.erasedAt(e) {
		c.snapshots[e] = ports.Snapshot{Version: version, State: s}
	}
	return nil
}

// Read implements [ports.EventLog].
func (l *Log) Read(ctx context.Context, id domain.ChatID, r ports.Range) (ports.Page, error) {
	if err := l.usable(ctx); err != nil {
		return ports.Page{}, err
	}
	if err := r.Check(); err != nil {
		return ports.Page{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.chats[id]
	return ports.Page{Records: c.page(r, nil), Head: c.head()}, nil
}

// Search implements [ports.EventSearch].
func (l *Log) Search(ctx context.Context, id domain.ChatID, f ports.Filter, r ports.Range) (ports.Page, error) {
	if err := l.usable(ctx); err != nil {
		return ports.Page{}, err
	}
	if err := f.Check(); err != nil {
		return ports.Page{}, err
	}
	if err := r.Check(); err != nil {
		return ports.Page{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.chats[id]
	return ports.Page{Records: c.search(f, r), Head: c.head()}, nil
}

// Members implements [ports.EventLog]. It yields the members as of when the iteration began.
func (l *Log) Members(ctx context.Context, id domain.ChatID) iter.Seq2[domain.UserID, error] {
	return each(ctx, l.usable, func() []domain.UserID {
		l.mu.Lock()
		defer l.mu.Unlock()
		if c := l.chats[id]; c != nil {
			return slices.Clone(c.members)
		}
		return nil
	})
}

// Chats implements [ports.ChatIndex]. It yields the chats as of when the iteration began, in the order of their ids.
func (l *Log) Chats(ctx context.Context) iter.Seq2[domain.ChatID, error] {
	return each(ctx, l.usable, func() []domain.ChatID {
		l.mu.Lock()
		defer l.mu.Unlock()
		return slices.Sorted(maps.Keys(l.chats))
	})
}

// each yields the items of list while the log is usable. No lock is held meanwhile.
func each[ID any](ctx context.Context, usable func(context.Context) error, list func() []ID) iter.Seq2[ID, error] {
	return func(yield func(ID, error) bool) {
		var none ID
		if err := usable(ctx); err != nil {
			yield(none, err)
			return
		}
		for _, id := range list() {
			if err := usable(ctx); err != nil {
				yield(none, err)
				return
			}
			if !yield(id, nil) {
				return
			}
		}
	}
}

// Count implements [ports.MessageCounter].
func (l *Log) Count(ctx context.Context, id domain.ChatID, after ...domain.Seq) ([]ports.MessageCount, error) {
	if err := l.usable(ctx); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := make([]ports.MessageCount, len(after))
	for i, seq := range after {
		counts[i] = l.chats[id].count(seq)
	}
	return counts, nil
}

// CountMembers implements [ports.MemberCounter].
func (l *Log) CountMembers(ctx context.Context, requests ...ports.CountRequest) ([]ports.MemberCounts, error) {
	if err := l.usable(ctx); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := make([]ports.MemberCounts, len(requests))
	for i, r := range requests {
		if err := r.Check(); err != nil {
			return nil, err
		}
		counts[i] = l.chats[r.Chat].countMembers(r)
	}
	return counts, nil
}
