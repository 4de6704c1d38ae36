package pubsub

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"chatcore/domain"
)

// finish removes the head of a chat queue as finished.
func (t *ownedPartition) finish(l *chatQueue) {
	p := l.head
	t.unblock(l)
	if l.pop(); t.loaded == windowSize-1 {
		t.more.wake()
	}
	switch {
	case p.letter != "":
		if !p.resolved {
			t.resolved = append(t.resolved, p.letter)
		}
		t.requestCommit()
	case l.foreign():
		p.resolved = true
		t.requestCommit()
		if l.failed {
			t.markDirty(l)
		}
	default:
		if p.ordered != "" {
			delete(t.ordered, l.chat)
			if !p.resolved {
				t.resolved = append(t.resolved, p.ordered)
				t.requestCommit()
			}
		}
		l.ackedSeq = p.seq
		t.feed(l)
		t.markDirty(l)
	}
	t.sub.ackedCount++
}

// fail decides about the head of a chat queue whose handler has failed. Only a failure that may be the event's fault counts as an attempt.
func (t *ownedPartition) fail(l *chatQueue, cause error) {
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
	p.attempts++
	t.unblock(l)
	p.reserved = 0
	policy := t.sub.config.Retry
	if IsPermanent(cause) || p.attempts >= policy.Attempts {
		t.addDeadLetter(l, cause)
		return
	}
	l.waiting, l.attemptReserved = true, false
	if p.letter == "" && !l.foreign() {
		l.failed = true
		t.markDirty(l)
	}
	l.timer = time.AfterFunc(policy.delay(p.attempts), func() { t.sub.retry(t, l) })
}

// addDeadLetter makes a dead letter of the head of a chat queue. The same commit finishes the head or parks its chat.
func (t *ownedPartition) addDeadLetter(l *chatQueue, cause error) {
	p, s := l.head, t.sub
	t.unblock(l)
	if p.letter == "" && p.ordered == "" && t.deadLettersFull() {
		t.hold(l, cause)
		return
	}
	d := deadLetter{
		Reason: cause.Error(), Attempts: p.earlier + p.attempts, UUID: p.uuid, Metadata: p.metadata, Payload: p.payload, Chat: l.chat, Seq: p.seq,
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
		p.resolved, d.InOrder = true, p.ordered != "" // the letter remains
		d.Mark = retryMark{state: retryFailed, attempts: d.Attempts, parked: d.Parked, seq: p.seq, chat: l.chat, reason: d.Reason}
	}
	t.letters = append(t.letters, d)
	s.config.Logger.Warn("delivery became a dead letter",
		"group", s.group, "stream", t.partition.Stream, "chat", l.chat, "seq", uint64(p.seq), "event_id", d.UUID, "attempts", p.attempts, "parked", d.Parked, "error", cause)
	if !d.Parked {
		t.finish(l)
		return
	}
	t.closeHole(l)
	if l.mode == backfilling {
		t.behind--
	}
	delete(t.ordered, l.chat)
	l.mode = parked
	l.pop()
	l.cut()
	l.queuedSeq = l.ackedSeq
	t.markDirty(l)
	t.more.wake()
}

// resume continues a parked chat after a checkpoint.
func (t *ownedPartition) resume(l *chatQueue, checkpoint domain.Seq) {
	if l.mode != parked {
		return
	}
	l.ackedSeq, l.committedSeq, l.queuedSeq = checkpoint, uint64(checkpoint), checkpoint
	l.mode, l.savedState, l.skipped, l.failed = tailing, chatBehind, true, false
	t.fallBehind(l, checkpoint)
}

// build returns the next commit with the changes since the last one. It returns nil if there are none and the lease needs no renewal.
func (t *ownedPartition) build(now time.Time, renewal time.Duration) *commit {
	if len(t.dirty) == 0 && !t.changed && len(t.letters) == 0 && now.Sub(t.sent) < renewal {
		return nil
	}
	t.commits++
	c := &commit{number: t.commits, letters: t.letters, resolved: t.resolved, walk: t.progress, seen: t.seen}
	t.letters, t.resolved, t.progress, t.changed = nil, nil, "", false
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
func (t *ownedPartition) save(l *chatQueue, c *commit) {
	if l.foreign() {
		t.saveFailure(l, c)
		return
	}
	if finished := uint64(l.ackedSeq); finished != l.committedSeq {
		l.committedSeq = finished // the commit has a pointer to it, and only one commit is unanswered at a time
		c.chats = append(c.chats, l.key, &l.committedSeq)
	}
	if l.mode == tailing && l.ackedSeq >= l.knownHead {
		l.skipped = false
	}
	if wanted := l.targetState(); wanted != l.savedState {
		c.lagging = append(c.lagging, l.key, wanted)
		l.savedState = wanted
	}
	t.saveFailure(l, c)
	if l.waiting && l.attemptReserved {
		t.arranged = append(t.arranged, l)
	}
}

// saveFailure adds the failed starts of a chat's next event, and a blockage of the chat.
func (t *ownedPartition) saveFailure(l *chatQueue, c *commit) {
	p := l.next()
	f := failure{}
	switch {
	case l.mode == parked || p == nil || l.foreign() && l != t.others:
	case p.attempts > 0 && !l.foreign():
		f = failure{seq: p.seq, starts: p.attempts}
		if l.attemptReserved { // the next start counts, in case no process records its end
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
func (t *ownedPartition) rewind() {
	for _, l := range t.queues {
		if !l.inFlight {
			t.unreserveAttempt(l)
		}
	}
}

// unreserveAttempt cancels the recorded next start of a chat queue.
func (t *ownedPartition) unreserveAttempt(l *chatQueue) {
	if l.attemptReserved {
		l.waiting, l.attemptReserved = true, false
		l.timer.Reset(held) // in case the partition is kept
		t.markDirty(l)
	}
}

// answered applies the reply to the commit under way.
func (t *ownedPartition) answered(sent time.Time, lease time.Duration) {
	for _, d := range t.pending.letters {
		delete(t.redeliveries, d.Of) // from now on another retry may begin
	}
	t.acked, t.pending, t.sent = t.pending.number, nil, sent
	t.deadline = sent.Add(lease - margin(lease))
	t.lapse.Reset(time.Until(t.deadline))
	for _, l := range t.arranged {
		if l.attemptReserved {
			l.waiting = false
			t.show(l)
		}
	}
	t.arranged = t.arranged[:0]
	if !t.draining {
		t.resumeStalled()
	}
}

// resumeStalled makes the chat queues ready that could not be dispatched.
func (t *ownedPartition) resumeStalled() {
	for _, l := range t.stalled {
		t.show(l)
	}
	t.stalled = t.stalled[:0]
}

// margin returns how long before the end of its lease an owner stops by itself.
func margin(lease time.Duration) time.Duration { return lease / 6 }

// quiet reports whether every change is committed and no handler runs.
func (t *ownedPartition) quiet() bool { return t.inFlightCount == 0 && t.quietButFlights() }

func (t *ownedPartition) quietButFlights() bool {
	return t.pending == nil && len(t.dirty) == 0 && !t.changed && len(t.letters) == 0
}

// close ends the lease. Its handlers may still run.
func (t *ownedPartition) close() {
	t.over = true
	t.closeBlocked()
	t.sub.counters.Holes.removeAll(t)
	t.stop()
	t.lapse.Stop()
	for _, l := range t.queues {
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

func (t *ownedPartition) String() string {
	return fmt.Sprintf("%s under epoch %d", t.partition.Stream, t.epoch)
}
