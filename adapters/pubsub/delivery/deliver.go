package delivery

import "time"

// Deliver fills into with records whose handlers may start now, one of each queue, and returns their number. It calls none that could not be reported
// by [Member.Completed]. There may be more if into is full.
func (m *Member) Deliver(now time.Time, into []*Record) int {
	n := 0
	for n < len(into) && m.inFlight < m.config.Concurrency && !m.stopped {
		q := m.ready.pop()
		if q == nil {
			break
		}
		q.ready = false
		if r := m.start(q, now); r != nil {
			into[n] = r
			n++
		}
	}
	return n
}

// SetConcurrency changes the most records in flight, from 0: those beyond it end first. The caller then calls Deliver.
//
// With 0 no start is recorded beforehand, and recorded ones are canceled: if the process crashed meanwhile, they would count as attempts although no handler
// has begun.
func (m *Member) SetConcurrency(n int, now time.Time) {
	m.config.Concurrency = max(n, 0)
	for _, a := range m.assignments {
		p := a.owned
		switch {
		case p == nil:
		case n <= 0:
			p.rewind(now)
		default:
			paused := p.paused
			p.paused = nil
			for _, q := range paused {
				p.retry(q, now)
			}
		}
	}
}

// start starts the head of a ready queue, if it may start.
func (m *Member) start(q *queue, now time.Time) *Record {
	c, r := q.chat, q.head
	p := c.p
	switch {
	case p.over || r == nil || q.waiting:
		return nil
	// stalled until the partition is kept after all, the lease is renewed, or the queue's handler under an earlier lease has ended
	case p.draining || !now.Before(p.deadline) || p.assignment.earlier[q.id()] > 0:
		p.stalled = append(p.stalled, q)
		return nil
	case m.config.Order != ByChat && c.mustHold(r):
		c.held.push(q)
		if p.retried >= m.limits.waiting && !c.heldBack {
			c.heldBack = true
			p.heldBack = append(p.heldBack, c)
		}
		return nil
	case r.attempts >= m.config.Retry.Attempts:
		p.addDeadLetter(q, Outcome{Kind: Failed, Cause: unended}, now)
		p.show(q)
		c.dropQueue(q)
		c.releaseHeld()
		return nil
	}
	q.inFlight, q.startedAt, r.inFlight = true, now, true
	m.flights.push(q)
	r.starts++
	c.running++
	p.running++
	m.inFlight++
	return r
}

// unended is the failure of a last attempt whose process ended before the handler.
const unended = "the last attempt did not end: its process was gone"

// mustHold reports whether a record of a chat with several queues has to wait because of the chat's others. Records that have been tried before may
// start: they are those that others wait for.
func (c *chat) mustHold(r *Record) bool {
	config := &c.p.m.config
	if config.ChatConcurrency > 0 && c.running >= config.ChatConcurrency {
		return true
	}
	fresh := r.attempts == 0 && !r.tried && r.letter == ""
	return fresh && (c.retried >= c.p.m.limits.chatWaiting || c.p.retried >= c.p.m.limits.waiting)
}

// releaseHeld makes held queues of a chat ready, as many as may start: a chat with many of them would otherwise try all with each delivery that ends.
// Each is held again if it has to be. A queue that got a record while it was held may be held twice: the second time it takes the place of no other one.
func (c *chat) releaseHeld() {
	m, n := c.p.m, c.held.size()
	if most := m.config.ChatConcurrency; most > 0 && c.retried < m.limits.chatWaiting && c.p.retried < m.limits.waiting {
		n = min(n, max(most-c.running, 0))
	}
	for n > 0 && c.held.size() > 0 {
		if c.p.show(c.held.pop()) {
			n--
		}
	}
}

// DeliverBatches returns the records of queues that may start now: of each the first one, which [Member.CompletedBatch] reports, and those that follow it
// without a gap, at most events. It returns at most queues of them.
func (m *Member) DeliverBatches(now time.Time, queues, events int) [][]*Record {
	heads := make([]*Record, queues)
	n := m.Deliver(now, heads)
	batches := make([][]*Record, n)
	for i, r := range heads[:n] {
		batch := []*Record{r}
		for r.letter == "" && len(batch) < events {
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
	p := r.queue.chat.p
	return !m.stopped && !p.over && !p.draining && now.Before(p.deadline)
}
