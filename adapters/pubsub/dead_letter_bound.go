package pubsub

import "time"

// deadLettersFull reports whether the group has as many dead letters on the partition as the bound allows.
func (t *ownedPartition) deadLettersFull() bool {
	n := t.deadLetterCount + len(t.letters)
	if t.pending != nil {
		n += len(t.pending.letters)
	}
	return n >= t.sub.config.DeadLetterBound
}

// hold schedules a retry of a chat queue's head that cannot become a dead letter for want of room. Its chat waits meanwhile: an event is neither lost
// nor passed.
func (t *ownedPartition) hold(l *chatQueue, cause error) {
	p, s := l.head, t.sub
	p.attempts = max(s.config.Retry.Attempts-1, 0)
	l.waiting, l.attemptReserved = true, false
	if !l.foreign() {
		l.failed = true
		t.markDirty(l)
	}
	s.counters.Held.Add(1)
	s.config.Logger.Warn("delivery held: the group has as many dead letters as its bound allows",
		"group", s.group, "stream", t.partition.Stream, "chat", l.chat, "seq", uint64(p.seq), "dead_letters", t.deadLetterCount, "error", cause)
	l.timer = time.AfterFunc(s.config.Retry.Max, func() { s.retry(t, l) })
}
