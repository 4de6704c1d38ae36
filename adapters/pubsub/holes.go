package pubsub

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// holePause is the pause between two attempts to read a missing part of the log. An operator has to repair the log meanwhile.
const holePause = 2 * time.Second

// maxHoles bounds how many holes are listed.
const maxHoles = 1000

// Hole is a part of the log that a group has to read and cannot, because data is missing. The group retries until it can.
type Hole struct {
	Group string
	Chat  domain.ChatID // "" for the list of a partition's chats
	Err   error         // a [*ports.CorruptError]
}

// Holes is the list of the holes that the subscribers of a process have found and that still exist. The zero value is an empty list. All methods are
// safe for concurrent use.
type Holes struct {
	mu  sync.Mutex
	all map[holeKey]Hole // mu guards all
}

// holeKey identifies a hole. A hole ends with the lease that found it.
type holeKey struct {
	owned *ownedPartition
	chat  domain.ChatID
}

// List returns the holes sorted by group and chat, at most a thousand.
func (h *Holes) List() []Hole {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Hole, 0, len(h.all))
	for _, hole := range h.all {
		list = append(list, hole)
	}
	slices.SortFunc(list, func(a, b Hole) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(string(a.Chat), string(b.Chat)))
	})
	return list
}

// add adds a hole, and reports whether it was not listed yet.
func (h *Holes) add(t *ownedPartition, chat domain.ChatID, err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := holeKey{t, chat}
	_, known := h.all[key]
	if !known && len(h.all) >= maxHoles {
		return true
	}
	if h.all == nil {
		h.all = make(map[holeKey]Hole)
	}
	h.all[key] = Hole{Group: t.sub.group, Chat: chat, Err: err}
	return !known
}

func (h *Holes) remove(t *ownedPartition, chat domain.ChatID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, holeKey{t, chat})
}

// removeAll removes the holes of a lease that is over.
func (h *Holes) removeAll(t *ownedPartition) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key := range h.all {
		if key.owned == t {
			delete(h.all, key)
		}
	}
}

// hole lists and logs a part of the log that cannot be read. The caller retries after [holePause].
func (s *member) hole(t *ownedPartition, chat domain.ChatID, err error) {
	if s.counters.Holes.add(t, chat, err) {
		s.config.Logger.Error("the log has a hole, trying until it is repaired", "partition", t.String(), "group", s.group, "chat", chat, "error", err)
	}
}

// feedLater schedules, after a pause, another read of the log for a chat queue whose next events cannot be read. The queue does not count among those
// that catch up: queues with holes would exclude others. The member's mutex is held.
func (t *ownedPartition) feedLater(l *chatQueue) {
	if l.mode == backfilling && !l.hole {
		l.hole = true
		t.behind--
		t.more.wake()
	}
	time.AfterFunc(holePause, func() {
		t.sub.mu.Lock()
		defer t.sub.mu.Unlock()
		if l.filling = false; !t.over {
			t.feed(l)
		}
	})
}

// closeHole ends a chat queue's hole. The member's mutex is held.
func (t *ownedPartition) closeHole(l *chatQueue) {
	if !l.hole {
		return
	}
	l.hole = false
	t.sub.counters.Holes.remove(t, domain.ChatID(l.chat))
	if l.mode == backfilling {
		t.behind++
	}
}

func isCorrupt(err error) bool { return errors.Is(err, ports.ErrCorrupt) }
