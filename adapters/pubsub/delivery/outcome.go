package delivery

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// OutcomeKind is what became of a handler start.
type OutcomeKind uint8

// The kinds of outcomes.
const (
	Succeeded         OutcomeKind = iota
	NotBegun                      // the handler did not begin, or was canceled: no attempt
	Failed                        // a failed attempt
	FailedForGood                 // a failed attempt that no retry fixes
	FailedTransiently             // no attempt: the handler is started again for as long as it fails so
	FailedAsNewer                 // no attempt: only a later version of the program can read the event
	Postponed                     // no attempt: the handler cannot handle the event now
)

// String returns the kind in words.
func (k OutcomeKind) String() string {
	names := [...]string{"succeeded", "not begun", "failed", "failed for good", "failed transiently", "failed as newer", "postponed"}
	if int(k) < len(names) {
		return names[k]
	}
	return "OutcomeKind(" + strconv.Itoa(int(k)) + ")"
}

// counts reports whether the outcome is an attempt.
func (k OutcomeKind) counts() bool { return k == Failed || k == FailedForGood }

// Outcome is the outcome of a handler start.
type Outcome struct {
	Kind       OutcomeKind
	Cause      string        // of a failure
	After      time.Duration // pause before the next start of a failed or postponed record; 0: as the retry policy says
	Unreadable bool          // the entry cannot be read as an event
}

// Completed applies the outcome of a delivered record's start. It reports whether the outcome counts: only the first one of a start does, under a lease that
// has not ended.
func (m *Member) Completed(r *Record, start int, o Outcome, now time.Time) bool {
	q := m.landed(r, start)
	if q == nil {
		return false
	}
	c := q.chat
	p := c.p
	switch {
	case p.over:
		if !o.Kind.counts() && o.Kind != Succeeded {
			m.unreserve(q)
		}
		m.endEarlier(q)
		return false
	case o.Kind == Succeeded:
		p.finish(q)
	case o.Kind == NotBegun:
		p.rewindQueue(q, now)
		p.unblockSlow(q)
	default:
		p.fail(q, o, now)
	}
	p.landedIn(q)
	return true
}

// landed ends the flight of a record. It returns nil if the record is not in flight with that start.
func (m *Member) landed(r *Record, start int) *queue {
	if !r.inFlight || r.starts != start {
		return nil
	}
	q := r.queue
	r.inFlight, q.inFlight = false, false
	m.flights.remove(q)
	m.inFlight--
	q.chat.running--
	q.chat.p.running--
	return q
}

// landedIn continues a queue after the outcome of its head.
func (p *Partition) landedIn(q *queue) {
	p.show(q)
	q.chat.dropQueue(q)
	q.chat.releaseHeld()
	if p.draining && p.running == 0 {
		p.m.signals.Assign = true
	}
}

// CompletedBatch applies the outcome of a call with several records of a queue, of which the first done are finished. o is the outcome of the next one.
// With later, and without a failure, that one is delivered again after this time, together with later records.
func (m *Member) CompletedBatch(batch []*Record, start, done int, o Outcome, later time.Duration, now time.Time) {
	q := m.landed(batch[0], start)
	if q == nil {
		return
	}
	for _, r := range batch[1:] {
		r.inFlight = false
	}
	p := q.chat.p
	if p.over {
		if done == 0 && o.Kind != Succeeded && !o.Kind.counts() {
			m.unreserve(q)
		}
		m.endEarlier(q)
		return
	}
	var letters []*Record
	if done > 0 {
		letters = p.finishTo(q, batch[done-1])
	}
	if done < len(batch) {
		p.unblockSlow(q)
		switch {
		case o.Kind == NotBegun:
			p.rewindQueue(q, now)
		case o.Kind != Succeeded:
			p.fail(q, o, now)
		case later > 0:
			q.wait(true)
			p.retryAt(q, now.Add(later))
		}
	}
	for _, r := range slices.Backward(letters) {
		q.linkBehindHead(r)
	}
	p.landedIn(q)
}

// endEarlier continues a queue whose handler under an earlier lease has ended.
func (m *Member) endEarlier(q *queue) {
	a := q.chat.p.assignment
	if q.tracked() {
		if a.earlier[q.id()]--; a.earlier[q.id()] <= 0 {
			delete(a.earlier, q.id())
		}
	}
	if a.owned != nil {
		if now := m.successor(q); now != nil {
			a.owned.unblockSlow(now)
		}
		a.owned.resumeStalled()
	}
}

// finish removes the head of a queue as finished.
func (p *Partition) finish(q *queue) {
	c := q.chat
	p.unblock(q)
	full := p.loaded >= p.m.limits.window
	r := q.pop()
	if full && p.loaded < p.m.limits.window {
		p.wake(false, true)
	}
	switch {
	case r.letter != "":
		if !r.resolved {
			p.resolved = append(p.resolved, r.letter)
		}
		p.feed(c)
		p.requestCommit()
	case c.foreign():
		r.resolved = true
		p.requestCommit()
	default:
		if r.ordered != "" {
			delete(p.ordered, c.id)
			if !r.resolved {
				p.resolved = append(p.resolved, r.ordered)
			}
		}
		c.finished(r.Seq)
		p.feed(c)
		p.markDirty(c)
	}
	p.m.finished++
}

// finishTo finishes a queue's events up to the last one that was handled. It returns the dead letters that were queued between them and before the next
// event, which are no longer in the queue: the outcome of that event comes first.
func (p *Partition) finishTo(q *queue, last *Record) (letters []*Record) {
	if last.Seq == 0 || last.letter != "" {
		p.finish(q)
		return nil
	}
	for q.head != nil && (q.head.letter != "" || q.head.Seq <= last.Seq) {
		if q.head.letter != "" {
			letters = append(letters, q.pop())
			continue
		}
		p.finish(q)
	}
	return letters
}

// fail decides about the head of a queue whose handler has failed. Only a failure that may be the event's fault counts as an attempt.
func (p *Partition) fail(q *queue, o Outcome, now time.Time) {
	switch o.Kind {
	case FailedAsNewer:
		p.hold(q, groups.BlockedNewer, o, now)
		p.m.offer(q, o.Cause, now)
		return
	case FailedTransiently:
		p.m.event(Event{Kind: TransientFailure, Partition: p})
		p.hold(q, groups.BlockedTransient, o, now)
		return
	case Postponed:
		p.hold(q, groups.BlockedPostponed, o, now)
		return
	case Succeeded, NotBegun, Failed, FailedForGood:
	}
	r := q.head
	r.attempts++
	r.reserved = 0
	p.unblock(q)
	policy := p.m.config.Retry
	if o.Kind == FailedForGood || r.attempts >= policy.Attempts {
		p.addDeadLetter(q, o, now)
		return
	}
	p.waitForAttempt(q, now.Add(cmp.Or(o.After, p.m.pause(r.attempts, policy.Max))))
}

// waitForAttempt makes the head of a queue wait for its next attempt.
func (p *Partition) waitForAttempt(q *queue, at time.Time) {
	q.wait(true)
	q.reserved = false
	if !q.chat.foreign() && q.head.letter == "" {
		q.chat.failed = true
		p.markDirty(q.chat)
	}
	p.retryAt(q, at)
}

// retryAt has the head of a queue start again at a time. Of each queue one such timer waits at most: it is set when a flight or a recorded start has ended.
func (p *Partition) retryAt(q *queue, at time.Time) {
	p.m.after(at, func(now time.Time) { p.retry(q, now) })
}

// retry begins the next start of a queue's head. The next commit records the start first, unless it is the first one.
func (p *Partition) retry(q *queue, now time.Time) {
	switch {
	case p.over || p.m.stopped:
	case p.draining: // the partition may be kept after all
		p.retryAt(q, now.Add(heldFor))
	case q.chat.foreign() || q.head.letter != "" || q.head.attempts == 0: // a first start is not recorded beforehand
		q.wait(false)
		p.show(q)
	case p.m.config.Concurrency == 0:
		p.paused = append(p.paused, q)
	default:
		q.reserved = true
		p.markDirty(q.chat)
	}
}

// rewind cancels recorded starts that have not begun, because no more handlers start. The commit has the events that are finished beyond the
// checkpoints: the next owner does not deliver them again.
func (p *Partition) rewind(now time.Time) {
	for c := p.first; c != nil; c = c.next {
		if len(c.done) > 0 && !c.savedDone {
			p.markDirty(c)
		}
		for q := c.first; q != nil; q = q.after {
			if !q.inFlight {
				p.rewindQueue(q, now)
			}
		}
	}
}

// rewindQueue cancels the recorded next start of a queue.
func (p *Partition) rewindQueue(q *queue, now time.Time) {
	if !q.reserved {
		return
	}
	q.reserved = false
	q.wait(true)
	p.retryAt(q, now.Add(heldFor)) // in case the partition is kept
	p.markDirty(q.chat)
}

// deadLettersFull reports whether the group has as many dead letters on the partition as the bound allows.
func (p *Partition) deadLettersFull() bool {
	n := p.deadLetters + len(p.letters)
	if p.pending != nil {
		n += len(p.pending.Letters)
	}
	return n >= p.m.config.DeadLetterBound
}

// addDeadLetter makes a dead letter of the head of a queue. The same commit finishes the head or parks its chat.
func (p *Partition) addDeadLetter(q *queue, o Outcome, now time.Time) {
	r, c := q.head, q.chat
	p.unblock(q)
	if r.letter == "" && r.ordered == "" && p.deadLettersFull() {
		p.holdForBound(q, o, now)
		return
	}
	d := groups.Letter{
		Reason: o.Cause, Attempts: r.earlier + r.attempts, UUID: r.UUID, Metadata: r.Metadata, Payload: r.Payload, Chat: c.id, Seq: r.Seq,
		Parked: p.m.config.OnPoison == Park && !c.foreign() && r.letter == "",
	}
	shared := c.foreign() && r.letter == "" && o.Unreadable
	if shared {
		if p.m.config.Ephemeral { // its dead letters are deleted with it, and other groups meet the entry too
			p.finish(q)
			return
		}
		ofEntry(&d, r.ID)
	}
	if d.Of = cmp.Or(r.letter, r.ordered); d.Of != "" {
		r.resolved, d.InOrder = true, r.ordered != "" // the letter remains
		d.Mark = groups.RetryMark{State: groups.RetryFailed, Attempts: d.Attempts, Parked: d.Parked, Seq: r.Seq, Chat: c.id, Reason: d.Reason}
	}
	p.letters = append(p.letters, d)
	if p.m.config.Order != ByChat && !c.foreign() {
		c.failed = true // the commit records that the event is finished, even beyond the checkpoint
	}
	p.m.event(Event{Kind: DeadLettered, Partition: p, Chat: c.id, Seq: r.Seq, Record: r, Attempts: r.attempts, Parked: d.Parked, Shared: shared, Cause: o.Cause})
	if !d.Parked {
		p.finish(q)
		return
	}
	p.park(q)
}

// letterBytes bounds a field of a dead letter of another program's entry: of a longer field the beginning is kept.
const letterBytes = 64 << 10

// ofEntry makes a letter one of an unreadable entry of another program.
func ofEntry(l *groups.Letter, id groups.StreamID) {
	l.Entry = id
	if len(l.Payload) > letterBytes {
		l.Payload, l.Cut = l.Payload[:letterBytes], true
	}
	for _, field := range [...]*string{&l.UUID, &l.Metadata} {
		if len(*field) > letterBytes {
			*field, l.Cut = (*field)[:letterBytes], true
		}
	}
}

// park makes a chat wait for a decision about the dead letter of its head.
func (p *Partition) park(q *queue) {
	c := q.chat
	p.closeHole(c)
	if c.mode == backfilling {
		p.behind--
	}
	delete(p.ordered, c.id)
	c.mode = parked
	c.parkedFor = q.pop().Seq
	c.cut()
	c.queuedSeq = c.ackedSeq
	p.markDirty(c)
	p.wake(false, true)
}

// holdForBound schedules another start of a queue's head that cannot become a dead letter for want of room. An event is neither lost nor passed.
func (p *Partition) holdForBound(q *queue, o Outcome, now time.Time) {
	q.head.attempts = max(p.m.config.Retry.Attempts-1, 0)
	q.head.redelivered, q.head.tried = true, true
	p.m.event(Event{Kind: DeadLetterHeld, Partition: p, Chat: q.chat.id, Seq: q.head.Seq, Count: p.deadLetters, Cause: o.Cause})
	p.waitForAttempt(q, now.Add(p.m.config.Retry.Max))
}

// resume continues a parked chat after a checkpoint.
func (p *Partition) resume(c *chat, checkpoint domain.Seq) {
	if c.mode != parked {
		return
	}
	c.ackedSeq, c.committedSeq, c.stored = c.done.passTo(checkpoint), checkpoint, groups.Progress{}
	c.queuedSeq = c.ackedSeq
	c.mode, c.savedMark, c.skipped, c.failed = tailing, groups.Behind, true, false
	p.fallBehind(c, checkpoint)
}
