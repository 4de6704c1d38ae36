package pubsub

import (
	"slices"
	"time"
)

// members are the members of a group at a moment.
type members struct {
	living   []string
	declined map[string][]string // stream → members that offer it to others, for a while
}

// owner returns the member that a lane is assigned to: one that does not decline it, if there is one.
func (m members) owner(l Lane) string {
	declined := m.declined[l.Stream]
	if len(declined) == 0 {
		return assigned(l, m.living)
	}
	willing := slices.DeleteFunc(slices.Clone(m.living), func(member string) bool { return slices.Contains(declined, member) })
	if len(willing) == 0 {
		willing = m.living
	}
	return assigned(l, willing)
}

// offer has a lane offered to the other members because it has an event that this program cannot read. Where all members decline it, it goes
// back to the one it is assigned to, so that its other chats flow. The subscription's lock is held.
func (s *subscription) offer(t *term, l *line, cause error) {
	lane, now := s.laneOf(t), time.Now()
	if now.Before(lane.declinedUntil) {
		return
	}
	lane.declinedUntil, lane.declines = now.Add(s.config.CoolDown), true
	s.counters.Offered.Add(1)
	s.config.Logger.Warn("event of a later version of the program: its chat waits, and the partition is offered to other members",
		"group", s.group, "stream", lane.Stream, "chat", l.chat, "seq", uint64(l.head.seq), "cool_down", s.config.CoolDown, "error", cause)
	s.rules.wake()
}

// declines returns the streams to decline with the next heartbeat.
func (s *subscription) declines() (streams []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lanes {
		if l.declines {
			streams = append(streams, l.Stream)
		}
	}
	return streams
}

// declined is called when the members know.
func (s *subscription) declined(streams []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lanes {
		if slices.Contains(streams, l.Stream) {
			l.declines = false
		}
	}
}

// unreserve remembers that the last recorded start of a line's next event, made under a lease that has ended, is no attempt: it did not
// begin, or failed transiently. Redis counts it as long as nobody says so. The subscription's lock is held.
func (s *subscription) unreserve(l *line) {
	p := l.next()
	if p == nil || p.starts == 0 || l.foreign() {
		return
	}
	lane, f := s.laneOf(l.term), failure{seq: p.seq, starts: p.starts, epoch: l.term.epoch}
	if t := lane.term; t != nil && t != l.term {
		t.restore(l.chat, f)
		return
	}
	lane.unreserved[l.chat] = f
}

// restore sets the attempts of a chat's next event back, if the last one is the start that is known to be none.
func (t *term) restore(chat string, f failure) {
	if known, ok := t.failing[chat]; ok && known.seq == f.seq && known.epoch == f.epoch {
		known.starts, known.epoch = f.starts, 0
		t.failing[chat] = known
		return
	}
	l := t.lines[chat]
	if l == nil {
		return
	}
	if p := l.next(); p != nil && p.seq == f.seq && p.reserved == f.epoch && p.starts == f.starts+1 {
		p.starts, p.reserved = f.starts, 0
		t.touch(l)
	}
}
