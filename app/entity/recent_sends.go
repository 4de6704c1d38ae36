package entity

import (
	"sync"

	"chatcore/domain"
	"chatcore/ports"
)

// NoteSend remembers an event that this process appended in an epoch, if it sent a message. A command on one of the last messages then needs no load, as if the state
// were cached, and an erasure knows the event.
func (e *Loader) NoteSend(sent ports.Record, epoch uint64) {
	if e.cache != nil {
		e.sends.note(sent, epoch, e.cache.now)
	}
}

// recentSends holds the messages that this process sent last. They have a place of their own, because most are never used again: in the cache they would drop
// states that are.
type recentSends struct {
	mu     sync.Mutex
	places map[MessageKey]int // in last
	last   []recentSend
	next   int // the place of the oldest, once there are rememberedSends
}

// recentSend is a message as it was sent.
type recentSend struct {
	key   MessageKey
	event ports.Record
	epoch uint64 // of the cache when the command was validated

	// Of the entity, nil until it is asked for. They are never changed.
	state domain.State
	sent  *ports.Record
}

// Bounds of recentSends, which take at most about 6 MiB.
const (
	rememberedSends = 4096
	rememberedBytes = 1 << 10 // of content and client metadata of a message
)

// note remembers a send. now returns the present epoch: it is asked with the mutex held, so that no event of an earlier one is remembered after clear.
func (s *recentSends) note(event ports.Record, epoch uint64, now func() uint64) {
	sent, ok := event.Event.(domain.MessageNew)
	if !ok || len(sent.Content)+len(sent.ClientMeta) > rememberedBytes || len(sent.Attachments)+len(sent.Mentions) > 0 {
		return
	}
	key := MessageKey{sent.Chat, sent.Message}
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch != now() {
		return
	}
	if s.places == nil {
		s.places = make(map[MessageKey]int)
	}
	place := s.next
	if len(s.last) < rememberedSends {
		place = len(s.last)
		s.last = append(s.last, recentSend{})
	} else {
		s.next = (s.next + 1) % rememberedSends
		delete(s.places, s.last[place].key)
	}
	s.last[place] = recentSend{key: key, event: event, epoch: epoch}
	s.places[key] = place
}

// get fills the entity of a message with the state as it was sent, if that is remembered and of the entity's epoch.
func (s *recentSends) get(chat domain.ChatID, into *Versioned) bool {
	if s == nil || into.Entity.Kind != domain.KindMessage {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	place, there := s.places[MessageKey{chat, domain.MessageID(into.Entity.ID)}]
	if !there || s.last[place].epoch != into.Epoch {
		return false
	}
	sent := &s.last[place]
	if sent.state == nil {
		event := sent.event // that of the next send in this place is another one
		sent.state, sent.sent = domain.NewState(chat, into.Entity), &event
		sent.state.Apply(event.Seq, event.Event)
	}
	into.Version, into.State, into.Records, into.sent = sent.event.Seq, sent.state, nil, sent.sent
	return true
}

// clear is for when the seqs may mean something else.
func (s *recentSends) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.places, s.last, s.next = nil, nil, 0
}
