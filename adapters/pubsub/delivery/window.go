package delivery

import (
	"chatcore/domain"
	"chatcore/ports/groups"
)

// slot is an entry of the stream after the position that was read.
type slot struct {
	id     groups.StreamID
	chat   *chat // nil if there is nothing to wait for
	seq    domain.Seq
	record *Record // of another program's entry
}

func (s *slot) passable() bool {
	switch {
	case s.chat == nil:
		return true
	case s.record != nil:
		return s.record.resolved
	}
	return s.chat.isFinished(s.seq) || s.chat.mode == parked || s.chat.skipped && s.seq <= s.chat.knownHead
}

// window is the entries of a stream that were read and not passed, in the stream's order.
type window struct {
	slots []slot
	first int
}

func (w *window) size() int { return len(w.slots) - w.first }

func (w *window) push(s slot) {
	if s.chat != nil {
		s.chat.slots++
	}
	w.slots = append(w.slots, s)
}

func (w *window) head() *slot {
	if w.size() == 0 {
		return nil
	}
	return &w.slots[w.first]
}

// free lets the position pass a chat's slots above a seq: their events do not exist.
func (w *window) free(c *chat, above domain.Seq) {
	for i := w.first; i < len(w.slots); i++ {
		if s := &w.slots[i]; s.chat == c && s.seq > above {
			*s = slot{id: s.id}
			c.slots--
		}
	}
}

// pass removes the slots that may be passed from the beginning. It returns their number and the id of the last one.
func (w *window) pass() (n int, last groups.StreamID) {
	for w.first < len(w.slots) && w.slots[w.first].passable() {
		s := &w.slots[w.first]
		if s.chat != nil {
			s.chat.slots--
		}
		last = s.id
		*s = slot{}
		w.first++
		n++
	}
	if w.first == len(w.slots) {
		w.slots, w.first = w.slots[:0], 0
	} else if w.first > 1024 && w.first > len(w.slots)/2 {
		w.slots = w.slots[:copy(w.slots, w.slots[w.first:])]
		w.first = 0
	}
	return n, last
}
