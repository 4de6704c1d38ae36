package delivery

import (
	"cmp"
	"slices"
	"strconv"

	"chatcore/domain"
	"chatcore/ports/groups"
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

// chat is the state of one chat under a lease. All entries of other programs on a stream are one chat too, whose id is "".
type chat struct {
	p  *Partition
	id string

	ackedSeq     domain.Seq // every event up to it is finished
	committedSeq domain.Seq // the checkpoint in the store, or in the commit under way
	queuedSeq    domain.Seq // last seq that is queued or finished
	knownHead    domain.Seq // seq that is known to exist, while the chat is behind
	done         seqSet     // finished events beyond ackedSeq
	mode         mode
	parkedFor    domain.Seq // event whose dead letter the chat was last parked for under this lease, 0 if for none

	only        queue             // of a group that is ordered by chat
	byKey       map[string]*queue // of a group that is ordered by key
	first, last *queue            // all queues that have a record, or the only one
	held        readyQueue        // ready queues that wait because the chat has too many in flight, or waiting
	heldBack    bool              // among the partition's chats that are held back
	queued      int               // records
	running     int               // queues in flight
	waiting     int               // queues that wait for their next attempt
	retried     int               // queues whose head is tried again, if it has several queues

	stored    groups.Progress  // what the store has of records that are not queued yet
	savedMark groups.ChatState // its mark in the store, or in the commit under way
	savedDone bool             // the store has finished events beyond the checkpoint, or will with the commit under way
	failed    bool             // the store has progress of it, or will with the commit under way

	skipped bool   // the position passes its entries up to knownHead although they are not finished: it has to be marked as behind
	dirty   bool   // the next commit includes it
	filling bool   // more of the log was requested
	hole    bool   // its next events cannot be read from the log
	arrived bool   // an entry of it was read after the page that was requested last
	slots   int    // number of its slots in the window
	commit  uint64 // number of the last commit that included it

	prev, next *chat // in the partition
}

func (c *chat) foreign() bool { return c.id == "" }

// queueOf returns the queue of a record, and creates it if there is none.
func (c *chat) queueOf(r *Record) *queue {
	switch c.p.m.config.Order {
	case ByKey:
		if q := c.byKey[r.Key]; q != nil {
			return q
		}
		q := c.addQueue(&queue{key: r.Key})
		if c.byKey == nil {
			c.byKey = make(map[string]*queue)
		}
		c.byKey[r.Key] = q
		return q
	case Unordered:
		return c.addQueue(&queue{seq: r.Seq})
	case ByChat:
	}
	return &c.only
}

func (c *chat) addQueue(q *queue) *queue {
	q.chat, q.before = c, c.last
	if c.last == nil {
		c.first = q
	} else {
		c.last.after = q
	}
	c.last = q
	return q
}

// dropQueue forgets a queue without records.
func (c *chat) dropQueue(q *queue) {
	if q == &c.only || q.head != nil || q.before == nil && c.first != q {
		return
	}
	if q.before == nil {
		c.first = q.after
	} else {
		q.before.after = q.after
	}
	if q.after == nil {
		c.last = q.before
	} else {
		q.after.before = q.before
	}
	if c.byKey[q.key] == q {
		delete(c.byKey, q.key)
	}
}

// count adds a record to the events of the log in the partition's queues, which are bounded.
func (c *chat) count(r *Record) {
	if !r.counted {
		r.counted = true
		c.p.loaded++
	}
}

func (c *chat) uncount(r *Record) {
	if r.counted {
		r.counted = false
		c.p.loaded--
	}
}

// cut drops the events that no handler has: they can be read from the log. It keeps dead letters, an event whose starts the store counts, and one
// whose handler failed transiently. Read back from the log, that one would look as if it had never been delivered. A chat with several queues keeps
// all of its events: they are few, and count among the events of the log from then on.
func (c *chat) cut() {
	if c.p.m.config.Order != ByChat {
		for q := c.first; q != nil; q = q.after {
			for r := q.head; r != nil; r = r.next {
				if r.letter == "" {
					c.count(r)
				}
			}
		}
		return
	}
	q := &c.only
	kept, begun := q.head, q.begun()
	c.queued -= q.queued
	q.head, q.tail, q.queued, c.queuedSeq = nil, nil, 0, c.ackedSeq
	for first := true; kept != nil; first = false {
		next := kept.next
		kept.next = nil
		c.uncount(kept)
		if first && begun || kept.inFlight || kept.letter != "" || kept.attempts > 0 || kept.tried {
			q.link(kept) // its handler may still use it
		}
		kept = next
	}
}

// idle reports whether the chat has no state that the store lacks.
func (c *chat) idle(acked uint64) bool {
	return c.queued == 0 && c.running == 0 && c.waiting == 0 && !c.dirty && c.slots == 0 && c.mode == tailing && !c.filling && !c.hole &&
		len(c.done) == 0 && c.savedMark == groups.Streamed && c.commit <= acked
}

// finished records that an event is finished.
func (c *chat) finished(seq domain.Seq) {
	if c.p.m.config.Order == ByChat || seq == c.ackedSeq+1 {
		c.ackedSeq = c.done.passTo(max(seq, c.ackedSeq))
		c.queuedSeq = max(c.queuedSeq, c.ackedSeq)
		return
	}
	c.done.add(seq)
}

// isFinished reports whether an event is finished.
func (c *chat) isFinished(seq domain.Seq) bool { return seq <= c.ackedSeq || c.done.contains(seq) }

// mark returns the mark that the chat should have.
func (c *chat) mark() groups.ChatState {
	switch {
	case c.mode == parked:
		return groups.Parked
	case c.skipped && (c.mode == backfilling || c.ackedSeq < c.knownHead):
		return groups.Behind
	}
	return groups.Streamed
}

// recall gives a record what the store has of its earlier starts.
func (c *chat) recall(r *Record) {
	s := &c.stored
	if s.Failure != (groups.Failure{}) && s.Seq == r.Seq {
		f := s.Failure
		s.Failure = groups.Failure{}
		r.attempts, r.reserved, c.failed = f.Starts, f.Epoch, true
		c.inherit(r.queue, f)
	}
	if i := slices.IndexFunc(s.Others, func(f groups.EventFailure) bool { return f.Seq == r.Seq }); i >= 0 {
		r.attempts, r.reserved, c.failed = s.Others[i].Starts, s.Others[i].Epoch, true
		s.Others = slices.Delete(s.Others, i, i+1)
	}
	if r.attempts > 0 && r.queue.head == r {
		r.queue.beginRetries()
	}
}

// progress returns what the store should have of the chat beyond its checkpoint.
func (c *chat) progress() (g groups.Progress) {
	if c.mode == parked {
		return g
	}
	for q := c.first; q != nil; q = q.after {
		r := q.nextEvent()
		if r == nil {
			continue
		}
		if f := q.failure(r); f.Starts > 0 && !c.foreign() {
			if c.p.m.config.Order == ByChat {
				g.EventFailure = f
			} else {
				g.Others = append(g.Others, f)
			}
		}
		if b := q.blocked; b != nil && b.reported && r == q.head && g.Reason == "" {
			g.Seq, g.Since, g.Reason, g.Cause = r.Seq, b.since, b.reason, b.cause
		}
	}
	if g.Failure == (groups.Failure{}) && c.stored.Seq > c.ackedSeq {
		g.Failure = c.stored.Failure
	}
	for _, f := range c.stored.Others {
		if f.Seq > c.ackedSeq {
			g.Others = append(g.Others, f)
		}
	}
	slices.SortFunc(g.Others, func(a, b groups.EventFailure) int { return cmp.Compare(a.Seq, b.Seq) })
	if len(c.done) > 0 && (c.waiting > 0 || g.Reason != "" || c.failed || c.savedDone || c.p.draining || c.p.m.stopped) {
		g.Done = slices.Clone(c.done)
	}
	return g
}

// failure returns the handler starts of a record: the next one counts if it is reserved, in case no process records its end.
func (q *queue) failure(r *Record) groups.EventFailure {
	f := groups.EventFailure{Seq: r.Seq, Starts: r.attempts}
	if q.reserved && r == q.head {
		f.Starts++
		f.Epoch = q.chat.p.epoch
	}
	return f
}
