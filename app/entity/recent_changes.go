package entity

import (
	"sync"
	"sync/atomic"

	"chatcore/domain"
)

// MessageKey identifies a message. A message's id alone is unique in its chat only.
type MessageKey struct {
	Chat domain.ChatID
	ID   domain.MessageID
}

// TrackChanges has later changes of messages remembered for [Loader.LastChange]. Before it is called none are.
func (e *Loader) TrackChanges() { e.moves.on.Store(true) }

// NoteChange remembers that this process appended an event with a seq. Only edits, deletions and reactions of messages are remembered.
func (e *Loader) NoteChange(event domain.Durable, seq domain.Seq) { e.moves.note(event, seq) }

// LastChange returns the seq of the last remembered change of a message, or 0 if there is none.
func (e *Loader) LastChange(key MessageKey) domain.Seq { return e.moves.of(key) }

// recentChanges hold the messages that this process changed last, so that callers see their own changes.
type recentChanges struct {
	on     atomic.Bool // whether anybody asks
	mu     sync.Mutex
	latest map[MessageKey]domain.Seq
	order  [4096]MessageKey // the last ones; older ones are in the caches by then, or out of them
	next   int
}

func (m *recentChanges) of(key MessageKey) domain.Seq {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.latest[key]
}

// clear is for when the seqs may mean something else.
func (m *recentChanges) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.latest)
	clear(m.order[:])
	m.next = 0
}

func (m *recentChanges) note(e domain.Durable, seq domain.Seq) {
	var key MessageKey
	switch e := e.(type) {
	case domain.MessageEdit:
		key = MessageKey{e.Chat, e.Message}
	case domain.MessageDelete:
		key = MessageKey{e.Chat, e.Message}
	case domain.MessageErased:
		key = MessageKey{e.Chat, e.Message}
	case domain.MessagePin:
		key = MessageKey{e.Chat, e.Message}
	case domain.MessageReaction:
		key = MessageKey{e.Chat, e.Message}
	default:
		return
	}
	if !m.on.Load() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.latest == nil {
		m.latest = make(map[MessageKey]domain.Seq)
	}
	if _, known := m.latest[key]; !known {
		delete(m.latest, m.order[m.next])
		m.order[m.next] = key
		m.next = (m.next + 1) % len(m.order)
	}
	m.latest[key] = max(m.latest[key], seq)
}
