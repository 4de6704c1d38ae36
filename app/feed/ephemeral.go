package feed

import (
	"sync"

	"chatcore/domain"
	"chatcore/ports"
)

// maxStatuses is how many users with a new status wait for the look-up of their chats.
const maxStatuses = 1024

// statuses are the statuses that wait for the look-up of their users' chats, one user at a time.
type statuses struct {
	mu      sync.Mutex // mu guards the fields below
	pending map[domain.UserID]ports.EphemeralNotice
	order   []domain.UserID // of pending
	running bool
	number  uint64 // of the present one
}

// hearEphemeral takes a notice of the tail.
func (h *Hub) hearEphemeral(n ports.EphemeralNotice) {
	if n.Chat == "" {
		h.hearStatus(n)
		return
	}
	p := h.partitionOf(n.Chat)
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.chats[n.Chat]
	if c == nil {
		return
	}
	var e *Ephemeral
	for _, s := range c.followers {
		if !s.hearsEphemeral() || s.feed.user != "" && s.feed.user == n.User {
			continue
		}
		if e == nil {
			if e = h.decodeEphemeral(n); e == nil {
				return
			}
		}
		s.feed.queueEphemeral(s, e)
	}
}

// hearsEphemeral reports whether the feed gives ephemeral events of the chat now. Only a live follower is known to be that of a member still. The caller
// holds part.mu.
func (s *follower) hearsEphemeral() bool { return s.live && s.until == 0 && !s.feed.durableOnly }

func (h *Hub) decodeEphemeral(n ports.EphemeralNotice) *Ephemeral {
	e, meta, err := h.d.Tail.DecodeEphemeral(n)
	if err != nil {
		h.counts.malformed.Add(1)
		return nil
	}
	return &Ephemeral{Event: e, Meta: meta}
}

// hearStatus has the chats of a user looked up, whose status is new. A status that still waits is replaced.
func (h *Hub) hearStatus(n ports.EphemeralNotice) {
	q := &h.statuses
	q.mu.Lock()
	_, replaced := q.pending[n.User]
	switch {
	case replaced:
	case len(q.order) >= maxStatuses:
		q.mu.Unlock()
		h.counts.ephemeralsDropped.Add(1)
		return
	default:
		q.order = append(q.order, n.User)
	}
	q.pending[n.User] = n
	begins := !q.running
	q.running = true
	q.mu.Unlock()
	if begins && !h.spawn(h.giveStatuses) {
		q.mu.Lock()
		q.running = false
		q.mu.Unlock()
	}
}

// giveStatuses gives the statuses that wait.
func (h *Hub) giveStatuses() {
	for {
		n, number, ok := h.statuses.next(h.ctx.Err() == nil)
		if !ok {
			return
		}
		h.giveStatus(n, number)
	}
}

func (q *statuses) next(goOn bool) (n ports.EphemeralNotice, number uint64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.order) == 0 || !goOn {
		q.running, q.order = false, nil
		return n, 0, false
	}
	n = q.pending[q.order[0]]
	delete(q.pending, q.order[0])
	q.order = q.order[1:]
	q.number++
	return n, q.number, true
}

// giveStatus queues a status for each feed that follows a chat of the user.
func (h *Hub) giveStatus(n ports.EphemeralNotice, number uint64) {
	e := h.decodeEphemeral(n)
	if e == nil {
		return
	}
	chats, err := h.d.Queries.ChatsOf(h.ctx, n.User)
	if err != nil {
		h.counts.ephemeralsDropped.Add(1)
		return
	}
	for _, id := range chats {
		p := h.partitionOf(id)
		p.mu.Lock()
		if c := p.chats[id]; c != nil {
			for _, s := range c.followers {
				if s.hearsEphemeral() && s.feed.takesStatus(number) {
					s.feed.queueEphemeral(nil, e)
				}
			}
		}
		p.mu.Unlock()
	}
}

// takesStatus reports whether the feed has not been given a status yet: it may follow several chats of the user.
func (f *Feed) takesStatus(number uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.status == number {
		return false
	}
	f.status = number
	return true
}
