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

	acked     domain.Seq // every event up to it is finished
	committed domain.Seq // the checkpoint in the store, or in the commit under way
	queuedSeq domain.Seq // last seq that is queued or finished
	knownHead domain.Seq // seq that is known to exist, while the chat is behind
	done      seqSet     // finished events beyond acked
	mode      mode
	parkedFor domain.Seq // event whose dead letter the chat was last parked for under this lease, 0 if for none

	only        lane             // of a group that is ordered by chat
	byKey       map[string]*lane // of a group that is ordered by key
	first, last *lane            // all lanes that have a record, or the only one
	held        laneQueue        // ready lanes that wait because the chat has too many in flight, or waiting
	heldBack    bool             // among the partition's chats that are held back
	queued      int              // records
	running     int              // lanes in flight
	waiting     int              // lanes that wait for their next attempt
	retried     int              // lanes whose head is tried again, if it has several lanes

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

// laneOf returns the lane of a record, and creates it if there is none.
func (c *chat) laneOf(r *Record) *lane {
	switch c.p.m.config.Order {
	case ByKey:
		if l := c.byKey[r.Key]; l != nil {
			return l
		}
		l := c.addLane(&lane{key: r.Key})
		if c.byKey == nil {
			c.byKey = make(map[string]*lane)
		}
		c.byKey[r.Key] = l
		return l
	case Unordered:
		return c.addLane(&lane{seq: r.Seq})
	case ByChat:
	}
	return &c.only
}

func (c *chat) addLane(l *lane) *lane {
	l.chat, l.before = c, c.last
	if c.last == nil {
		c.first = l
	} else {
		c.last.after = l
	}
	c.last = l
	return l
}

// dropLane forgets a lane without records.
func (c *chat) dropLane(l *lane) {
	if l == &c.only || l.head != nil || l.before == nil && c.first != l {
		return
	}
	if l.before == nil {
		c.first = l.after
	} else {
		l.before.after = l.after
	}
	if l.after == nil {
		c.last = l.before
	} else {
		l.after.before = l.before
	}
	if c.byKey[l.key] == l {
		delete(c.byKey, l.key)
	}
}

// count adds a record to the events of the log in the partition's lanes, which are bounded.
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
// whose handler failed transiently. Read back from the log, that one would look as if it had never been delivered. A chat with several lanes keeps
// all of its events: they are few, and count among the events of the log from then on.
func (c *chat) cut() {
	if c.p.m.config.Order != ByChat {
		for l := c.first; l != nil; l = l.after {
			for r := l.head; r != nil; r = r.next {
				if r.letter == "" {
					c.count(r)
				}
			}
		}
		return
	}
	l := &c.only
	kept, begun := l.head, l.begun()
	c.queued -= l.queued
	l.head, l.tail, l.queued, c.queuedSeq = nil, nil, 0, c.acked
	for first := true; kept != nil; first = false {
		next := kept.next
		kept.next = nil
		c.uncount(kept)
		if first && begun || kept.inFlight || kept.letter != "" || kept.attempts > 0 || kept.tried {
			l.link(kept) // its handler may still use it
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
	if c.p.m.config.Order == ByChat || seq == c.acked+1 {
		c.acked = c.done.passTo(max(seq, c.acked))
		c.queuedSeq = max(c.queuedSeq, c.acked)
		return
	}
	c.done.add(seq)
}

// isFinished reports whether an event is finished.
func (c *chat) isFinished(seq domain.Seq) bool { return seq <= c.acked || c.done.contains(seq) }

// mark returns the mark that the chat should have.
func (c *chat) mark() groups.ChatState {
	switch {
	case c.mode == parked:
		return groups.Parked
	case c.skipped && (c.mode == backfilling || c.acked < c.knownHead):
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
		c.inherit(r.lane, f)
	}
	if i := slices.IndexFunc(s.Others, func(f groups.EventFailure) bool { return f.Seq == r.Seq }); i >= 0 {
		r.attempts, r.reserved, c.failed = s.Others[i].Starts, s.Others[i].Epoch, true
		s.Others = slices.Delete(s.Others, i, i+1)
	}
	if r.attempts > 0 && r.lane.head == r {
		r.lane.beginRetries()
	}
}

// progress returns what the store should have of the chat beyond its checkpoint.
func (c *chat) progress() (g groups.Progress) {
	if c.mode == parked {
		return g
	}
	for l := c.first; l != nil; l = l.after {
		r := l.nextEvent()
		if r == nil {
			continue
		}
		if f := l.failure(r); f.Starts > 0 && !c.foreign() {
			if c.p.m.config.Order == ByChat {
				g.EventFailure = f
			} else {
				g.Others = append(g.Others, f)
			}
		}
		if b := l.blocked; b != nil && b.reported && r == l.head && g.Reason == "" {
			g.Seq, g.Since, g.Reason, g.Cause = r.Seq, b.since, b.reason, b.cause
		}
	}
	if g.Failure == (groups.Failure{}) && c.stored.Seq > c.acked {
		g.Failure = c.stored.Failure
	}
	for _, f := range c.stored.Others {
		if f.Seq > c.acked {
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
func (l *lane) failure(r *Record) groups.EventFailure {
	f := groups.EventFailure{Seq: r.Seq, Starts: r.attempts}
	if l.reserved && r == l.head {
		f.Starts++
		f.Epoch = l.chat.p.epoch
	}
	return f
}
