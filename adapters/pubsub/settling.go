package pubsub

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"chatcore/domain"
)

// finish removes the head of a chat queue as finished.
func (t *term) finish(l *line) {
	p := l.head
	t.unblock(l)
	if l.pop(); t.loaded == windowSize-1 {
		t.more.wake()
	}
	switch {
	case p.letter != "":
		if !p.settled {
			t.settled = append(t.settled, p.letter)
		}
		t.note()
	case l.foreign():
		p.settled = true
		t.note()
		if l.failed {
			t.touch(l)
		}
	default:
		if p.ordered != "" {
			delete(t.ordered, l.chat)
			if !p.settled {
				t.settled = append(t.settled, p.ordered)
				t.note()
			}
		}
		l.finished = p.seq
		t.feed(l)
		t.touch(l)
	}
	t.sub.finished++
}

// fail decides about the head of a chat queue whose handler has failed. Only a failure that may be the event's fault counts as an attempt.
func (t *term) fail(l *line, cause error) {
	switch {
	case isNewer(cause):
		t.wait(l, BlockedNewer, cause)
		t.sub.offer(t, l, cause)
		return
	case IsTransient(cause):
		t.sub.counters.Transient.Add(1)
		t.wait(l, BlockedTransient, cause)
		return
	}
	p := l.head
	p.starts++
	t.unblock(l)
	p.reserved = 0
	policy := t.sub.config.Retry
	if IsPermanent(cause) || p.starts >= policy.Attempts {
		t.setAside(l, cause)
		return
	}
	l.waiting, l.arranged = true, false
	if p.letter == "" && !l.foreign() {
		l.failed = true
		t.touch(l)
	}
	l.timer = time.AfterFunc(policy.delay(p.starts), func() { t.sub.retry(t, l) })
}

// setAside makes a dead letter of the head of a chat queue. The same commit finishes the head or parks its chat.
func (t *term) setAside(l *line, cause error) {
	p, s := l.head, t.sub
	t.unblock(l)
	if p.letter == "" && p.ordered == "" && t.deadLettersFull() {
		t.hold(l, cause)
		return
	}
	d := letter{
		Reason: cause.Error(), Attempts: p.earlier + p.starts, UUID: p.uuid, Metadata: p.metadata, Payload: p.payload, Chat: l.chat, Seq: p.seq,
	}
	if p.metadata == "" && p.broken == "" {
		if metadata, err := p.unpack(s.config.Codec); err == nil {
			d.UUID, d.Metadata = p.uuid, packMetadata(metadata)
		}
	}
	d.Parked = s.config.OnPoison == Park && !l.foreign() && p.letter == ""
	if l.foreign() && p.letter == "" && errors.Is(cause, ErrBroken) {
		if s.config.Ephemeral { // its dead letters are deleted with it, and other groups meet the entry too
			t.finish(l)
			return
		}
		d.ofEntry(p.id)
	} else {
		s.counters.DeadLetters.Add(1) // the reply to the commit counts the others
	}
	if d.Of = cmp.Or(p.letter, p.ordered); d.Of != "" {
		p.settled, d.InOrder = true, p.ordered != "" // the letter remains
		d.Mark = retryMark{state: retryFailed, attempts: d.Attempts, parked: d.Parked, seq: p.seq, chat: l.chat, reason: d.Reason}
	}
	t.letters = append(t.letters, d)
	s.config.Logger.Warn("delivery became a dead letter",
		"group", s.group, "stream", t.lane.Stream, "chat", l.chat, "seq", uint64(p.seq), "event_id", d.UUID, "attempts", p.starts, "parked", d.Parked, "error", cause)
	if !d.Parked {
		t.finish(l)
		return
	}
	t.closeHole(l)
	if l.mode == behind {
		t.behind--
	}
	delete(t.ordered, l.chat)
	l.mode = parked
	l.pop()
	l.cut()
	l.last = l.finished
	t.touch(l)
	t.more.wake()
}

// resume continues a parked chat after a checkpoint.
func (t *term) resume(l *line, checkpoint domain.Seq) {
	if l.mode != parked {
		return
	}
	l.finished, l.saved, l.last = checkpoint, uint64(checkpoint), checkpoint
	l.mode, l.mark, l.passed, l.failed = live, leftBehind, true, false
	t.fallBehind(l, checkpoint)
}

// build returns the next commit with the changes since the last one. It returns nil if there are none and the lease needs no renewal.
func (t *term) build(now time.Time, renewal time.Duration) *change {
	if len(t.dirty) == 0 && !t.changed && len(t.letters) == 0 && now.Sub(t.sent) < renewal {
		return nil
	}
	t.commits++
	c := &change{number: t.commits, letters: t.letters, settled: t.settled, walk: t.progress, seen: t.seen}
	t.letters, t.settled, t.progress, t.changed = nil, nil, "", false
	if n := len(t.seen); n > 0 {
		t.seen = []streamID{t.seen[n-1]}
	}
	for _, l := range t.dirty {
		l.dirty, l.commit = false, t.commits
		t.save(l, c)
	}
	t.dirty = t.dirty[:0]
	n, last := t.window.pass()
	if n > 0 {
		c.passed = n
		if t.position = last; last.compare(t.cutOff) >= 0 {
			c.position = last
		}
		t.room.wake()
	}
	t.pending = c
	return c
}

// save adds the changes of a chat queue to a commit.
func (t *term) save(l *line, c *change) {
	if l.foreign() {
		t.saveFailure(l, c)
		return
	}
	if finished := uint64(l.finished); finished != l.saved {
		l.saved = finished // the commit has a pointer to it, and only one commit is unanswered at a time
		c.chats = append(c.chats, l.key, &l.saved)
	}
	if l.mode == live && l.finished >= l.seen {
		l.passed = false
	}
	if wanted := l.wanted(); wanted != l.mark {
		c.left = append(c.left, l.key, wanted)
		l.mark = wanted
	}
	t.saveFailure(l, c)
	if l.waiting && l.arranged {
		t.arranged = append(t.arranged, l)
	}
}

// saveFailure adds the failed starts of a chat's next event, and a blockage of the chat.
func (t *term) saveFailure(l *line, c *change) {
	p := l.next()
	f := failure{}
	switch {
	case l.mode == parked || p == nil || l.foreign() && l != t.others:
	case p.starts > 0 && !l.foreign():
		f = failure{seq: p.seq, starts: p.starts}
		if l.arranged { // the next start counts, in case no process records its end
			f.starts++
			f.epoch = t.epoch
		}
	}
	if b := l.blocked; b != nil && b.reported && p != nil && p == l.head {
		f.seq, f.since, f.reason, f.cause = p.seq, b.since.UnixMilli(), b.reason, b.cause
	}
	switch {
	case f != failure{}:
		c.failing = append(c.failing, l.key, f.String())
		l.failed = true
	case l.failed:
		c.failing = append(c.failing, l.key, "")
		l.failed = false
	}
}

// rewind cancels recorded starts that have not begun.
func (t *term) rewind() {
	for _, l := range t.lines {
		if !l.flying {
			t.unarrange(l)
		}
	}
}

// unarrange cancels the recorded next start of a chat queue.
func (t *term) unarrange(l *line) {
	if l.arranged {
		l.waiting, l.arranged = true, false
		l.timer.Reset(held) // in case the partition is kept
		t.touch(l)
	}
}

// answered applies the reply to the commit under way.
func (t *term) answered(sent time.Time, lease time.Duration) {
	for _, d := range t.pending.letters {
		delete(t.again, d.Of) // from now on another retry may begin
	}
	t.acked, t.pending, t.sent = t.pending.number, nil, sent
	t.deadline = sent.Add(lease - margin(lease))
	t.lapse.Reset(time.Until(t.deadline))
	for _, l := range t.arranged {
		if l.arranged {
			l.waiting = false
			t.show(l)
		}
	}
	t.arranged = t.arranged[:0]
	if !t.draining {
		t.unstall()
	}
}

// unstall makes the chat queues ready that could not be dispatched.
func (t *term) unstall() {
	for _, l := range t.stalled {
		t.show(l)
	}
	t.stalled = t.stalled[:0]
}

// margin returns how long before the end of its lease an owner stops by itself.
func margin(lease time.Duration) time.Duration { return lease / 6 }

// quiet reports whether every change is committed and no handler runs.
func (t *term) quiet() bool { return t.flights == 0 && t.quietButFlights() }

func (t *term) quietButFlights() bool {
	return t.pending == nil && len(t.dirty) == 0 && !t.changed && len(t.letters) == 0
}

// close ends the term. Its handlers may still run.
func (t *term) close() {
	t.over = true
	t.closeBlocked()
	t.sub.counters.Holes.removeAll(t)
	t.stop()
	t.lapse.Stop()
	for _, l := range t.lines {
		if l.timer != nil {
			l.timer.Stop()
		}
	}
	if l := t.others; l.timer != nil {
		l.timer.Stop()
	}
}

// errUnsettled is the failure of a message that was nacked.
var errUnsettled = errors.New("the message was nacked")

func (t *term) String() string { return fmt.Sprintf("%s under epoch %d", t.lane.Stream, t.epoch) }
