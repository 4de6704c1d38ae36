package pubsub

import (
	"slices"
	"time"
)

// members are the members of a group at a moment.
type members struct {
	living   []string
	declined map[string][]string // stream → members that offer it to others for a while
}

// owner returns the member that a partition is assigned to. It is one that does not decline the partition, if there is one.
func (m members) owner(l Partition) string {
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

// offer offers a partition to the other members because it has an event that this program cannot read. If all members decline it, the member that it
// is assigned to acquires it again, so that its other chats continue. The member's mutex is held.
func (s *member) offer(t *ownedPartition, l *chatQueue, cause error) {
	partition, now := s.partitionOf(t), time.Now()
	if now.Before(partition.declinedUntil) {
		return
	}
	partition.declinedUntil, partition.declines = now.Add(s.config.CoolDown), true
	s.counters.Offered.Add(1)
	s.config.Logger.Warn("event of a later version of the program: its chat waits, and the partition is offered to other members",
		"group", s.group, "stream", partition.Stream, "chat", l.chat, "seq", uint64(l.head.seq), "cool_down", s.config.CoolDown, "error", cause)
	s.assignments.wake()
}

// declines returns the streams to decline with the next heartbeat.
func (s *member) declines() (streams []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.partitions {
		if l.declines {
			streams = append(streams, l.Stream)
		}
	}
	return streams
}

// declined records that the other members know of the declined streams.
func (s *member) declined(streams []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.partitions {
		if slices.Contains(streams, l.Stream) {
			l.declines = false
		}
	}
}

// unreserve records that the last reserved start of a chat queue's next event is no attempt: it did not begin, or failed transiently, under a lease
// that has ended. Redis counts the start until a commit corrects it. The member's mutex is held.
func (s *member) unreserve(l *chatQueue) {
	p := l.next()
	if p == nil || p.attempts == 0 || l.foreign() {
		return
	}
	partition, f := s.partitionOf(l.owned), failure{seq: p.seq, starts: p.attempts, epoch: l.owned.epoch}
	if t := partition.owned; t != nil && t != l.owned {
		t.restore(l.chat, f)
		return
	}
	partition.unreserved[l.chat] = f
}

// restore resets the attempts of a chat's next event if the last one is the start that f shows to be none.
func (t *ownedPartition) restore(chat string, f failure) {
	if known, ok := t.failing[chat]; ok && known.seq == f.seq && known.epoch == f.epoch {
		known.starts, known.epoch = f.starts, 0
		t.failing[chat] = known
		return
	}
	l := t.queues[chat]
	if l == nil {
		return
	}
	if p := l.next(); p != nil && p.seq == f.seq && p.reserved == f.epoch && p.attempts == f.starts+1 {
		p.attempts, p.reserved = f.starts, 0
		t.markDirty(l)
	}
}
