package pubsub

import (
	"strconv"
	"time"

	"chatcore/domain"
)

// mode is the source of a chat's events.
type mode uint8

const (
	tailing     mode = iota // from the stream
	backfilling             // from the log, until it has caught up; the position passes its entries in the stream
	parked                  // from nowhere, until its dead letter is retried or dropped
)

// String returns "tailing", "backfilling" or "parked".
func (m mode) String() string {
	switch m {
	case tailing:
		return "tailing"
	case backfilling:
		return "backfilling"
	case parked:
		return "parked"
	}
	return "mode(" + strconv.Itoa(int(m)) + ")"
}

// chatQueue is the queue of one chat: its events in order, one of them in flight at a time. All entries of other programs on a stream are one queue too.
type chatQueue struct {
	owned *ownedPartition
	chat  string // "" for other programs' entries
	key   any    // the chat as a script argument

	ackedSeq     domain.Seq // last finished seq
	committedSeq uint64     // the checkpoint in Redis, or in the commit under way
	queuedSeq    domain.Seq // last seq that is queued or finished
	knownHead    domain.Seq // seq that is known to exist, while the chat is behind
	mode         mode

	head, tail   *record
	queued       int
	inFlight     bool      // the head is in flight
	dispatchedAt time.Time // when it was dispatched
	waiting      bool      // the head waits for its next attempt
	timer        *time.Timer

	skipped         bool   // the position passes its entries up to seen although they are not finished: it has to be marked as left
	savedState      string // its mark in Redis, or in the commit under way
	failed          bool   // Redis has failed starts of it, or will with the commit under way
	dirty           bool   // the next commit includes it
	filling         bool   // more of the log was requested
	hole            bool   // its next events cannot be read from the log
	ready           bool   // in the queue of ready chat queues
	slots           int    // number of its slots in the window
	commit          uint64 // number of the last commit that included it
	attemptReserved bool   // the head's next start is recorded, or will be: it counts although its end is not known

	blocked                *blockage  // nil while it makes progress
	prevFlight, nextFlight *chatQueue // in the member's flightList
}

func (l *chatQueue) foreign() bool { return l.chat == "" }

func (l *chatQueue) push(p *record) {
	p.queue, p.owned = l, l.owned
	l.link(p)
}

func (l *chatQueue) link(p *record) {
	if l.tail == nil {
		l.head = p
	} else {
		l.tail.next = p
	}
	l.tail = p
	l.queued++
	l.count(p, 1)
	if p.seq > l.queuedSeq {
		l.queuedSeq = p.seq
	}
}

// pushBehindHead queues a record before all records that have not begun.
func (l *chatQueue) pushBehindHead(p *record) {
	if !l.begun() {
		p.queue, p.owned, p.next = l, l.owned, l.head
		l.head = p
		if l.tail == nil {
			l.tail = p
		}
	} else {
		p.queue, p.owned, p.next = l, l.owned, l.head.next
		l.head.next = p
		if l.tail == l.head {
			l.tail = p
		}
	}
	l.queued++
}

// begun reports whether the head keeps its place.
func (l *chatQueue) begun() bool {
	return l.head != nil && (l.inFlight || l.waiting || l.attemptReserved)
}

// next returns the first event that is no dead letter.
func (l *chatQueue) next() *record {
	p := l.head
	for p != nil && p.letter != "" {
		p = p.next
	}
	return p
}

// count updates the number of events of the log in the partition's chat queues.
func (l *chatQueue) count(p *record, n int) {
	if p.ofLog() {
		l.owned.loaded += n
	}
}

func (l *chatQueue) pop() {
	l.count(l.head, -1)
	l.head, l.attemptReserved = l.head.next, false
	if l.head == nil {
		l.tail = nil
	}
	l.queued--
}

// cut drops the events that no handler has begun: they can be read from the log. It keeps dead letters, an event whose starts Redis counts, and one
// whose handler failed transiently. Read back from the log, that one would look as if it had never been delivered.
func (l *chatQueue) cut() {
	kept, begun := l.head, l.begun()
	l.head, l.tail, l.queued, l.queuedSeq = nil, nil, 0, l.ackedSeq
	for first := true; kept != nil; first = false {
		next := kept.next
		kept.next = nil
		l.count(kept, -1)
		if first && begun || kept.letter != "" || kept.attempts > 0 || kept.tried {
			l.link(kept) // its handler may still use it
		}
		kept = next
	}
}

// idle reports whether the chat queue has no state that Redis lacks.
func (l *chatQueue) idle(acked uint64) bool {
	return l.head == nil && !l.inFlight && !l.waiting && !l.dirty && l.slots == 0 && l.mode == tailing && !l.filling && !l.hole && l.savedState == "" && l.commit <= acked
}

// targetState returns the mark that the chat should have.
func (l *chatQueue) targetState() string {
	switch {
	case l.mode == parked:
		return leftParked
	case l.skipped && (l.mode == backfilling || l.ackedSeq < l.knownHead):
		return chatBehind
	}
	return ""
}

// slot is an entry of the stream after the position that was read.
type slot struct {
	id     streamID
	queue  *chatQueue // nil if there is nothing to wait for
	seq    domain.Seq
	parcel *record // of another program's entry
}

func (s slot) passable() bool {
	switch {
	case s.queue == nil:
		return true
	case s.parcel != nil:
		return s.parcel.resolved
	}
	return s.seq <= s.queue.ackedSeq || s.queue.mode == parked || s.queue.skipped && s.seq <= s.queue.knownHead
}

// window is the entries of a stream that were read and not passed, in the stream's order.
type window struct {
	slots []slot
	first int
}

func (w *window) size() int { return len(w.slots) - w.first }

func (w *window) push(s slot) {
	if s.queue != nil {
		s.queue.slots++
	}
	w.slots = append(w.slots, s)
}

func (w *window) head() *slot {
	if w.size() == 0 {
		return nil
	}
	return &w.slots[w.first]
}

// free lets the position pass a chat queue's slots above a seq: their events do not exist.
func (w *window) free(l *chatQueue, above domain.Seq) {
	for i := w.first; i < len(w.slots); i++ {
		if s := &w.slots[i]; s.queue == l && s.seq > above {
			*s = slot{id: s.id}
			l.slots--
		}
	}
}

// pass removes the slots that may be passed from the beginning. It returns their number and the id of the last one.
func (w *window) pass() (n int, last streamID) {
	for w.first < len(w.slots) && w.slots[w.first].passable() {
		s := &w.slots[w.first]
		if s.queue != nil {
			s.queue.slots--
		}
		last = s.id
		*s = slot{}
		w.first++
		n++
	}
	if w.first == len(w.slots) {
		w.slots, w.first = w.slots[:0], 0
	} else if w.first > 1024 && w.first > len(w.slots)/2 {
		w.slots = w.slots[:copy(w.slots, w.slots[w.first:])]
		w.first = 0
	}
	return n, last
}
