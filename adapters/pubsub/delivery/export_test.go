package delivery

import (
	"slices"
	"time"
)

// SetLimit changes a bound of a member before it acquires a partition. It reports whether the bound exists.
func (m *Member) SetLimit(name string, n int) bool {
	l := &m.limits
	bound := map[string]*int{
		"window": &l.window, "share": &l.share, "chats": &l.chats, "behind": &l.behind, "waiting": &l.waiting, "chat-waiting": &l.chatWaiting,
		"page-chats": &l.pageChats, "page-events": &l.pageEvents, "low": &l.low,
	}[name]
	if bound != nil {
		*bound = n
	}
	return bound != nil
}

// States calls fn with the state of each lease of the member, of its chats with their marks, and of their records. The machines are those of
// docs/architecture.md. of identifies a lease or a record by its pointer, and a chat by its lease and its id.
func (m *Member) States(now time.Time, fn func(machine string, of any, state string)) {
	for _, a := range m.assignments {
		p := a.owned
		if p == nil {
			continue
		}
		fn("lease", p, p.state(now))
		for c := p.first; c != nil; c = c.next {
			fn("chat", [2]any{p, c.id}, c.mode.String())
			fn("mark", [2]any{p, c.id}, c.savedMark.String())
			c.states(fn)
		}
		p.others.states(fn)
	}
}

func (p *Partition) state(now time.Time) string {
	switch {
	case p.over:
		return "over"
	case p.draining:
		return "draining"
	case !now.Before(p.deadline):
		return "lapsed"
	}
	return "owned"
}

func (c *chat) states(fn func(machine string, of any, state string)) {
	for l := c.first; l != nil; l = l.after {
		for r := l.head; r != nil; r = r.next {
			fn("record", r, l.state(r))
		}
	}
}

func (l *queue) state(r *Record) string {
	p := l.chat.p
	switch {
	case r.inFlight:
		return "in flight"
	case r != l.head:
		return "queued"
	case l.waiting && l.reserved:
		return "reserved"
	case l.waiting:
		return "waiting"
	case slices.Contains(l.chat.held.items[l.chat.held.first:], l):
		return "held"
	case slices.Contains(p.stalled, l):
		return "stalled"
	case l.ready:
		return "ready"
	}
	return "lost"
}

// EndState returns the state of a lease that is over, of a chat that is not open any more, or of a record that is in no queue.
func EndState(of any) string {
	r, ok := of.(*Record)
	if !ok {
		return "over"
	}
	c := r.queue.chat
	switch {
	case c.p.over:
		return "over"
	case r.letter != "" || c.foreign() || c.isFinished(r.Seq):
		return "finished"
	case c.mode == parked && r.Seq == c.parkedFor:
		return "dead letter"
	}
	return "left to the log"
}
