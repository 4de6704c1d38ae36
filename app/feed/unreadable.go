package feed

import (
	"errors"

	"chatcore/domain"
	"chatcore/ports"
)

// isUnreadable reports whether an error says that one chat cannot be read, however often: its log is corrupt, or only a newer program can read it.
func isUnreadable(err error) bool {
	return errors.Is(err, ports.ErrCorrupt) || errors.Is(err, ports.ErrNewerVersion)
}

// unreadableBound is the number of unreadable chats that a hub remembers.
const unreadableBound = 10_000

// noteUnreadable counts and logs a chat that feeds cannot follow: once for each chat.
func (h *Hub) noteUnreadable(chat domain.ChatID, err error) {
	h.mu.Lock()
	_, known := h.unreadable[chat]
	if !known {
		if len(h.unreadable) >= unreadableBound {
			clear(h.unreadable)
		}
		h.unreadable[chat] = struct{}{}
	}
	h.mu.Unlock()
	if !known {
		h.counts.unreadable.Add(1)
		h.d.Logger.ErrorContext(h.ctx, "a chat cannot be read, feeds of all chats go on without it", "chat", chat, "error", err)
	}
}

// parkOpening leaves a chat out of a feed of all chats, because it cannot be read. The next comparison of the user's chats opens it again.
func (f *Feed) parkOpening(o *opening) {
	f.hub.noteUnreadable(o.Chat, o.err)
	if o.named || o.Head {
		f.mu.Lock()
		f.keepParked(o)
		f.mu.Unlock()
	}
}

// park is parkOpening for a chat that the feed follows. The follower stays, so that it learns of events that the log loses meanwhile. A chat that the reader
// does not know of yet is joined anew.
func (f *Feed) park(s *follower, err error) {
	f.hub.noteUnreadable(s.chat.id, err)
	if s.has(flagJoined) {
		f.drop(s)
		return
	}
	s.flags |= flagBeginning | flagCaughtUp
	f.dropWork(s)
	f.mu.Lock()
	s.parked = true
	f.mu.Unlock()
}

// unpark has the reader advance a parked follower.
func (f *Feed) unpark(s *follower) {
	f.mu.Lock()
	s.parked = false
	f.mu.Unlock()
	f.addWork(s)
}

// keepParked keeps what the next opening of a parked chat needs. The caller holds mu.
func (f *Feed) keepParked(o *opening) {
	if f.parked == nil {
		f.parked = make(map[domain.ChatID]opening, 1)
	}
	f.parked[o.Chat] = opening{Position: o.Position, named: o.named, joined: !o.named}
}

// forgetParked forgets a parked chat of which the user is no member.
func (f *Feed) forgetParked(chat domain.ChatID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.parked, chat)
}
