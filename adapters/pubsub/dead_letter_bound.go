package pubsub

import "time"

// deadLettersFull reports whether the group has as many dead letters on the partition as the bound allows.
func (t *term) deadLettersFull() bool {
	n := t.kept + len(t.letters)
	if t.pending != nil {
		n += len(t.pending.letters)
	}
	return n >= t.sub.config.DeadLetterBound
}

// hold schedules a retry of a chat queue's head that cannot become a dead letter for want of room. Its chat waits meanwhile: an event is neither lost
// nor passed.
func (t *term) hold(l *line, cause error) {
	p, s := l.head, t.sub
	p.starts = max(s.config.Retry.Attempts-1, 0)
	l.waiting, l.arranged = true, false
	if !l.foreign() {
		l.failed = true
		t.touch(l)
	}
	s.counters.Held.Add(1)
	s.config.Logger.Warn("delivery held: the group has as many dead letters as its bound allows",
		"group", s.group, "stream", t.lane.Stream, "chat", l.chat, "seq", uint64(p.seq), "dead_letters", t.kept, "error", cause)
	l.timer = time.AfterFunc(s.config.Retry.Max, func() { s.retry(t, l) })
}
