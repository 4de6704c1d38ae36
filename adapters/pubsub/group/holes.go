package group

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/domain"
)

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
	lease *delivery.Partition
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
func (h *Holes) add(group string, p *delivery.Partition, chat domain.ChatID, err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := holeKey{p, chat}
	_, known := h.all[key]
	if !known && len(h.all) >= maxHoles {
		return true
	}
	if h.all == nil {
		h.all = make(map[holeKey]Hole)
	}
	h.all[key] = Hole{Group: group, Chat: chat, Err: err}
	return !known
}

func (h *Holes) remove(p *delivery.Partition, chat domain.ChatID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, holeKey{p, chat})
}

// removeAll removes the holes of a lease that is over.
func (h *Holes) removeAll(p *delivery.Partition) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key := range h.all {
		if key.lease == p {
			delete(h.all, key)
		}
	}
}
