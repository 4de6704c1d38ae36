package delivery

import (
	"time"

	"chatcore/domain"
)

// queue is a row of records that are delivered one after another: those of a chat, those of a chat with the same key, or a single one, as the group's
// [Order] says. All entries of other programs are one chat.
type queue struct {
	chat *chat
	key  string
	seq  domain.Seq // of its only record in an unordered group; 0 otherwise

	head, tail *Record
	queued     int
	inFlight   bool      // the head is in flight
	startedAt  time.Time // when it was delivered
	waiting    bool      // the head waits for its next attempt
	retried    bool      // the head counts among the records that are tried again
	ready      bool      // among the member's ready queues
	reserved   bool      // the head's next start is recorded, or will be: it counts although its end is not known
	blocked    *blockage // nil while it makes progress

	before, after          *queue // in its chat
	prevFlight, nextFlight *queue // in the member's flights
}

// queueID names a queue in all leases of a member.
type queueID struct {
	chat, key string
	seq       domain.Seq
}

func (q *queue) id() queueID { return queueID{q.chat.id, q.key, q.seq} }

// tracked reports whether a later lease of the same member can identify the queue.
func (q *queue) tracked() bool { return !q.chat.foreign() || q.chat.p.m.config.Order != Unordered }

// link adds a record at the end. It does not write the queue of a record that is in it already: a handler may read that meanwhile.
func (q *queue) link(r *Record) {
	if r.queue != q {
		r.queue = q
	}
	if q.tail == nil {
		q.head = r
	} else {
		q.tail.next = r
	}
	q.tail = r
	q.queued++
	q.chat.queued++
	if r.FromLog() {
		q.chat.count(r)
	}
	q.chat.queuedSeq = max(q.chat.queuedSeq, r.Seq)
}

// linkBehindHead adds a record before all records that have not begun.
func (q *queue) linkBehindHead(r *Record) {
	r.queue = q
	if !q.begun() {
		r.next = q.head
		q.head = r
		if q.tail == nil {
			q.tail = r
		}
	} else {
		r.next = q.head.next
		q.head.next = r
		if q.tail == q.head {
			q.tail = r
		}
	}
	q.queued++
	q.chat.queued++
}

// begun reports whether the head keeps its place.
func (q *queue) begun() bool { return q.head != nil && (q.inFlight || q.waiting || q.reserved) }

// nextEvent returns the first record that is no dead letter.
func (q *queue) nextEvent() *Record {
	r := q.head
	for r != nil && r.letter != "" {
		r = r.next
	}
	return r
}

// pop removes the head.
func (q *queue) pop() *Record {
	r := q.head
	q.chat.uncount(r)
	q.head, q.reserved = r.next, false
	q.endRetries()
	if q.head == nil {
		q.tail = nil
	}
	q.queued--
	q.chat.queued--
	return r
}

// wait makes the head wait for its next start, or ends the wait.
func (q *queue) wait(waiting bool) {
	if q.waiting == waiting {
		return
	}
	q.waiting = waiting
	c, p := q.chat, q.chat.p
	if !waiting {
		c.waiting--
		p.waiting--
		return
	}
	c.waiting++
	p.waiting++
	q.beginRetries()
}

// beginRetries counts the head among the records that are tried again, unless it is or chats have a single queue.
func (q *queue) beginRetries() {
	if q.retried || q.chat.p.m.config.Order == ByChat {
		return
	}
	q.retried = true
	q.chat.retried++
	q.chat.p.retried++
}

// endRetries is called when the head is finished: another record may be started for the first time.
func (q *queue) endRetries() {
	if !q.retried {
		return
	}
	q.retried = false
	q.chat.retried--
	p := q.chat.p
	if p.retried--; p.retried == p.m.limits.waiting-1 {
		for _, c := range p.heldBack {
			c.heldBack = false
			c.releaseHeld()
		}
		p.heldBack = p.heldBack[:0]
	}
}

// readyQueue is a FIFO queue of queues.
type readyQueue struct {
	items []*queue
	first int
}

func (ready *readyQueue) size() int { return len(ready.items) - ready.first }

func (ready *readyQueue) push(q *queue) { ready.items = append(ready.items, q) }

func (ready *readyQueue) pop() *queue {
	if ready.first == len(ready.items) {
		return nil
	}
	q := ready.items[ready.first]
	ready.items[ready.first] = nil
	ready.first++
	if ready.first == len(ready.items) {
		ready.items, ready.first = ready.items[:0], 0
	} else if ready.first >= 1024 {
		ready.items = ready.items[:copy(ready.items, ready.items[ready.first:])]
		ready.first = 0
	}
	return q
}

// flights is a list of the queues whose heads are in flight, the longest running first.
type flights struct{ first, last *queue }

func (f *flights) push(q *queue) {
	q.prevFlight, q.nextFlight = f.last, nil
	if f.last == nil {
		f.first = q
	} else {
		f.last.nextFlight = q
	}
	f.last = q
}

func (f *flights) remove(q *queue) {
	if q.prevFlight == nil {
		f.first = q.nextFlight
	} else {
		q.prevFlight.nextFlight = q.nextFlight
	}
	if q.nextFlight == nil {
		f.last = q.prevFlight
	} else {
		q.nextFlight.prevFlight = q.prevFlight
	}
	q.prevFlight, q.nextFlight = nil, nil
}
