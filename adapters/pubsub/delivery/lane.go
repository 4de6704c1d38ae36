package delivery

import (
	"time"

	"chatcore/domain"
)

// lane is a row of records that are delivered one after another: those of a chat, those of a chat with the same key, or a single one, as the group's
// [Order] says. All entries of other programs are one chat.
type lane struct {
	chat *chat
	key  string
	seq  domain.Seq // of its only record in an unordered group; 0 otherwise

	head, tail *Record
	queued     int
	inFlight   bool      // the head is in flight
	startedAt  time.Time // when it was delivered
	waiting    bool      // the head waits for its next attempt
	retried    bool      // the head counts among the records that are tried again
	timer      uint64    // of the wait: an older one does nothing
	ready      bool      // among the member's ready lanes
	reserved   bool      // the head's next start is recorded, or will be: it counts although its end is not known
	blocked    *blockage // nil while it makes progress

	before, after          *lane // in its chat
	prevFlight, nextFlight *lane // in the member's flights
}

// laneID names a lane in all leases of a member.
type laneID struct {
	chat, key string
	seq       domain.Seq
}

func (l *lane) id() laneID { return laneID{l.chat.id, l.key, l.seq} }

// tracked reports whether a later lease of the same member can identify the lane.
func (l *lane) tracked() bool { return !l.chat.foreign() || l.chat.p.m.config.Order != Unordered }

// link adds a record at the end. It does not write the lane of a record that is in it already: a handler may read that meanwhile.
func (l *lane) link(r *Record) {
	if r.lane != l {
		r.lane = l
	}
	if l.tail == nil {
		l.head = r
	} else {
		l.tail.next = r
	}
	l.tail = r
	l.queued++
	l.chat.queued++
	if r.FromLog() {
		l.chat.count(r)
	}
	l.chat.queuedSeq = max(l.chat.queuedSeq, r.Seq)
}

// linkBehindHead adds a record before all records that have not begun.
func (l *lane) linkBehindHead(r *Record) {
	r.lane = l
	if !l.begun() {
		r.next = l.head
		l.head = r
		if l.tail == nil {
			l.tail = r
		}
	} else {
		r.next = l.head.next
		l.head.next = r
		if l.tail == l.head {
			l.tail = r
		}
	}
	l.queued++
	l.chat.queued++
}

// begun reports whether the head keeps its place.
func (l *lane) begun() bool { return l.head != nil && (l.inFlight || l.waiting || l.reserved) }

// nextEvent returns the first record that is no dead letter.
func (l *lane) nextEvent() *Record {
	r := l.head
	for r != nil && r.letter != "" {
		r = r.next
	}
	return r
}

// pop removes the head.
func (l *lane) pop() *Record {
	r := l.head
	l.chat.uncount(r)
	l.head, l.reserved = r.next, false
	l.endRetries()
	if l.head == nil {
		l.tail = nil
	}
	l.queued--
	l.chat.queued--
	return r
}

// wait makes the head wait for its next start, or ends the wait.
func (l *lane) wait(waiting bool) {
	if l.waiting == waiting {
		return
	}
	l.waiting = waiting
	c, p := l.chat, l.chat.p
	if !waiting {
		c.waiting--
		p.waiting--
		return
	}
	c.waiting++
	p.waiting++
	l.beginRetries()
}

// beginRetries counts the head among the records that are tried again, unless it is or chats have a single lane.
func (l *lane) beginRetries() {
	if l.retried || l.chat.p.m.config.Order == ByChat {
		return
	}
	l.retried = true
	l.chat.retried++
	l.chat.p.retried++
}

// endRetries is called when the head is finished: another record may be started for the first time.
func (l *lane) endRetries() {
	if !l.retried {
		return
	}
	l.retried = false
	l.chat.retried--
	p := l.chat.p
	if p.retried--; p.retried == p.m.limits.waiting-1 {
		for _, c := range p.heldBack {
			c.heldBack = false
			c.releaseHeld()
		}
		p.heldBack = p.heldBack[:0]
	}
}

// laneQueue is a FIFO queue of lanes.
type laneQueue struct {
	items []*lane
	first int
}

func (q *laneQueue) push(l *lane) { q.items = append(q.items, l) }

func (q *laneQueue) pop() *lane {
	if q.first == len(q.items) {
		return nil
	}
	l := q.items[q.first]
	q.items[q.first] = nil
	q.first++
	if q.first == len(q.items) {
		q.items, q.first = q.items[:0], 0
	} else if q.first >= 1024 {
		q.items = q.items[:copy(q.items, q.items[q.first:])]
		q.first = 0
	}
	return l
}

// flights is a list of the lanes whose heads are in flight, the longest running first.
type flights struct{ first, last *lane }

func (f *flights) push(l *lane) {
	l.prevFlight, l.nextFlight = f.last, nil
	if f.last == nil {
		f.first = l
	} else {
		f.last.nextFlight = l
	}
	f.last = l
}

func (f *flights) remove(l *lane) {
	if l.prevFlight == nil {
		f.first = l.nextFlight
	} else {
		l.prevFlight.nextFlight = l.nextFlight
	}
	if l.nextFlight == nil {
		f.last = l.prevFlight
	} else {
		l.nextFlight.prevFlight = l.prevFlight
	}
	l.prevFlight, l.nextFlight = nil, nil
}
