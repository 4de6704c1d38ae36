package delivery

import "time"

// Deliver fills into with records whose handlers may start now, one of each lane, and returns their number. It calls none that could not be reported
// by [Member.Completed]. There may be more if into is full.
func (m *Member) Deliver(now time.Time, into []*Record) int {
	n := 0
	for n < len(into) && m.inFlight < m.config.Concurrency && !m.stopped {
		l := m.ready.pop()
		if l == nil {
			break
		}
		l.ready = false
		if r := m.start(l, now); r != nil {
			into[n] = r
			n++
		}
	}
	return n
}

// start starts the head of a ready lane, if it may start.
func (m *Member) start(l *lane, now time.Time) *Record {
	c, r := l.chat, l.head
	p := c.p
	switch {
	case p.over || r == nil || l.inFlight || l.waiting:
		return nil
	// stalled until the partition is kept after all, the lease is renewed, or the lane's handler under an earlier lease has ended
	case p.draining || !now.Before(p.deadline) || p.assignment.earlier[l.id()] > 0:
		p.stalled = append(p.stalled, l)
		return nil
	case m.config.Order != ByChat && c.mustHold(r):
		c.held.push(l)
		if p.retried >= m.limits.waiting && !c.heldBack {
			c.heldBack = true
			p.heldBack = append(p.heldBack, c)
		}
		return nil
	case r.attempts >= m.config.Retry.Attempts && r.letter == "":
		p.addDeadLetter(l, Outcome{Kind: Failed, Cause: unended}, now)
		p.show(l)
		c.dropLane(l)
		return nil
	}
	l.inFlight, l.startedAt, r.inFlight = true, now, true
	m.flights.push(l)
	r.starts++
	c.running++
	p.running++
	m.inFlight++
	return r
}

// unended is the failure of a last attempt whose process ended before the handler.
const unended = "the last attempt did not end: its process was gone"

// mustHold reports whether a record of a chat with several lanes has to wait because of the chat's others. Records that have been tried before may
// start: they are those that others wait for.
func (c *chat) mustHold(r *Record) bool {
	config := &c.p.m.config
	if config.ChatConcurrency > 0 && c.running >= config.ChatConcurrency {
		return true
	}
	fresh := r.attempts == 0 && !r.tried && r.letter == ""
	return fresh && (c.retried >= c.p.m.limits.chatWaiting || c.p.retried >= c.p.m.limits.waiting)
}

// releaseHeld makes the held lanes of a chat ready: each is held again if it has to be.
func (c *chat) releaseHeld() {
	for l := c.held.pop(); l != nil; l = c.held.pop() {
		c.p.show(l)
	}
}

// DeliverBatches returns the records of lanes that may start now: of each the first one, which [Member.CompletedBatch] reports, and those that follow it
// without a gap, at most events. It returns at most lanes of them.
func (m *Member) DeliverBatches(now time.Time, lanes, events int) [][]*Record {
	heads := make([]*Record, lanes)
	n := m.Deliver(now, heads)
	batches := make([][]*Record, n)
	for i, r := range heads[:n] {
		batch := []*Record{r}
		for r.Seq > 0 && r.letter == "" && len(batch) < events {
			next := r.next
			if next == nil || next.letter != "" || next.Seq != r.Seq+1 {
				break
			}
			batch, r = append(batch, next), next
			r.inFlight = true
		}
		batches[i] = batch
	}
	return batches
}

// MayBegin reports whether the handler of a delivered record may still be called: the member still owns the partition.
func (m *Member) MayBegin(r *Record, now time.Time) bool {
	p := r.lane.chat.p
	return !m.stopped && !p.over && !p.draining && now.Before(p.deadline)
}
