package delivery

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"chatcore/domain"
	"chatcore/ports/groups"
)

const heldFor = 250 * time.Millisecond // a handler that takes longer does not block the position of a full window

// limits bounds what a partition keeps in memory. Tests of the package use small ones.
type limits struct {
	window      int // entries that may be read and not passed
	share       int // of one chat; further events wait in the log
	chats       int // chats that are kept for further events; checkpoints of other chats are read again
	behind      int // chats that catch up at the same time
	waiting     int // records that are tried again, if chats have several queues; then no other starts
	chatWaiting int // of one chat
	pageChats   int // chats whose events are read together
	pageEvents  int // events of a page
	low         int // a chat that is behind and has fewer events queued needs another page
}

func defaultLimits() limits {
	return limits{window: 2048, share: 512, chats: 8192, behind: 256, waiting: 1024, chatWaiting: 128, pageChats: 32, pageEvents: 64, low: 16}
}

// Partition is the state of a partition during one owner's lease. It is discarded when the lease is over; outcomes of handlers that still run then do
// not count.
type Partition struct {
	groups.Partition
	Data any // the caller's

	m          *Member
	assignment *assignment

	epoch    uint64
	deadline time.Time       // when no handler is started any more unless the lease was renewed
	end      groups.StreamID // last entry that an earlier owner may have read, once overlap is 0
	overlap  time.Duration   // for which an earlier owner could still start handlers when it began; 0 once it cannot
	hadOwner bool            // the partition had an owner before
	over     bool
	draining bool
	running  int     // records in flight
	waiting  int     // queues that wait for their next attempt
	retried  int     // queues whose head is tried again, if chats have several queues
	heldBack []*chat // chats with held queues, because retried was too high

	window      window
	chats       map[string]*chat
	first, last *chat // in the order in which they were opened
	others      *chat // of other programs' entries
	evictions   int   // of chats

	left     map[string]groups.ChatState // marks of chats that are not open
	names    []string                    // those of them that are behind
	failing  map[string]groups.Progress  // of chats that are not open
	retrying map[string]struct{}         // dead letters that are redelivered out of order, until a commit records the outcome
	ordered  map[string]orderedRetry     // by chat: dead letters that are redelivered in order

	backfilling []*chat // chats that need more of the log
	behind      int     // chats that catch up
	loaded      int     // events of the log in queues
	walking     bool
	again       bool // the walk restarts when it is over
	walked      int  // chats
	cursor      uint64
	scan        headScan

	read        groups.StreamID   // last entry that was read
	seen        []groups.StreamID // last entry of each read since the last commit, and of the one before: if one is gone, the store has lost records that were read
	cutOff      groups.StreamID   // the stream has no entries before it
	position    groups.StreamID
	dirty       []*chat
	changed     bool // there are changes besides those of chats
	letters     []groups.Letter
	resolved    []string
	deadLetters int // as of the last reply
	walk        groups.Walk

	pending  *groups.Commit // the commit under way
	spare    *groups.Commit // its slices are used again
	commits  uint64
	acked    uint64
	sent     time.Time // when the last commit with a reply was sent
	revision string
	arranged []*queue // queues whose next start waits for the commit under way
	stalled  []*queue // queues that became ready after the deadline or while the partition drains
	paused   []*queue // queues whose next start is to be recorded once the concurrency is above 0

	lapsing     bool // a timer waits for the deadline
	wakes       bool // among the member's woken partitions
	room, steps bool // why
}

// Epoch returns the epoch of the lease.
func (p *Partition) Epoch() uint64 { return p.epoch }

// Position returns the position from which the stream is to be read.
func (p *Partition) Position() groups.StreamID { return p.position }

// Overlap returns for how long an earlier owner may still start handlers. After that the caller reads the stream's last entry and calls OverlapEnded.
func (p *Partition) Overlap() time.Duration { return p.overlap }

// Over reports whether the lease is over.
func (p *Partition) Over() bool { return p.over }

// String returns the stream and the epoch.
func (p *Partition) String() string { return fmt.Sprintf("%s under epoch %d", p.Stream, p.epoch) }

// OverlapEnded records that no earlier owner can start handlers any more. Every entry up to end may have been with one of these.
func (p *Partition) OverlapEnded(end groups.StreamID) {
	p.overlap = 0
	if end.Compare(p.end) > 0 {
		p.end = end
	}
}

func newPartition(m *Member, a *assignment, found *groups.Lease, deadline, now time.Time) *Partition {
	p := &Partition{
		Partition: a.Partition, m: m, assignment: a,
		epoch: found.Epoch, deadline: deadline, end: found.End, hadOwner: found.HadOwner, overlap: found.Overlap,
		chats: make(map[string]*chat), left: found.Left, failing: found.Failing, retrying: make(map[string]struct{}),
		walking: found.Walk, position: found.Position, revision: found.Revision, sent: now, deadLetters: found.DeadLetters,
	}
	p.others = p.newChat("", 0)
	if _, known := p.failing[""]; known { // of an earlier owner
		delete(p.failing, "")
		p.others.failed = true
		p.markDirty(p.others)
	}
	if len(p.retries(found.Retries)) > 0 {
		p.revision = "" // they are read after the first commit
	}
	for chat, mark := range found.Left {
		if mark == groups.Behind {
			p.names = append(p.names, chat)
		}
	}
	slices.Sort(p.names)
	p.watchDeadline()
	return p
}

// watchDeadline has the member's caller look for records that no handler has received when the deadline has passed.
func (p *Partition) watchDeadline() {
	if p.lapsing {
		return
	}
	p.lapsing = true
	p.m.after(p.deadline, func(now time.Time) {
		p.lapsing = false
		switch {
		case p.over:
		case now.Before(p.deadline):
			p.watchDeadline()
		default:
			p.m.signals.Reclaim = true
		}
	})
}

func (p *Partition) newChat(id string, checkpoint domain.Seq) *chat {
	c := &chat{p: p, id: id, ackedSeq: checkpoint, committedSeq: checkpoint, queuedSeq: checkpoint}
	if p.m.config.Order == ByChat {
		c.only.chat = c
		c.first, c.last = &c.only, &c.only
	}
	return c
}

// markDirty includes a chat in the next commit.
func (p *Partition) markDirty(c *chat) {
	if !c.dirty {
		c.dirty = true
		p.dirty = append(p.dirty, c)
	}
	p.m.signals.Commit = true
}

// requestCommit includes the other changes in the next commit.
func (p *Partition) requestCommit() {
	p.changed = true
	p.m.signals.Commit = true
}

// wake has the caller ask for room in the window, or for the next step.
func (p *Partition) wake(room, steps bool) {
	p.room, p.steps = p.room || room, p.steps || steps
	if !p.wakes {
		p.wakes = true
		p.m.signals.Partitions = append(p.m.signals.Partitions, p)
	}
}

// TakeWakes reports, for a partition of [Signals], whether its window may have room, and whether there may be a step of the log. It reports each once.
func (p *Partition) TakeWakes() (room, steps bool) {
	room, steps = p.room, p.steps
	p.room, p.steps, p.wakes = false, false, false
	return room, steps
}

// open returns a chat. It creates it with the checkpoint if it is not open.
func (p *Partition) open(id string, checkpoint domain.Seq) *chat {
	if c := p.chats[id]; c != nil {
		return c
	}
	id = strings.Clone(id) // it may share the memory of a whole reply
	c := p.newChat(id, checkpoint)
	c.savedMark = p.left[id]
	delete(p.left, id)
	p.chats[id] = c
	if c.prev = p.last; p.last == nil {
		p.first = c
	} else {
		p.last.next = c
	}
	p.last = c
	if stored, some := p.failing[id]; some {
		delete(p.failing, id)
		c.adopt(stored)
	}
	switch c.savedMark {
	case groups.Parked:
		c.mode = parked
	case groups.Behind:
		c.skipped = true
		p.fallBehind(c, checkpoint)
	case groups.Streamed:
	}
	return c
}

// adopt takes over what the store has of a chat beyond its checkpoint.
func (c *chat) adopt(stored groups.Progress) {
	c.done = seqSet(stored.Done)
	c.savedDone = len(c.done) > 0
	c.failed = c.savedDone || len(stored.Others) > 0
	stored.Done = nil
	c.stored = stored
	if c.savedDone {
		if acked := c.done.passTo(c.ackedSeq); acked > c.ackedSeq {
			c.ackedSeq = acked
			c.queuedSeq = max(c.queuedSeq, acked)
			c.p.markDirty(c)
		}
	}
}

// evict removes idle chats if there are as many as the limit, until fewer than three quarters of it are left.
func (p *Partition) evict() {
	kept := p.m.limits.chats
	if len(p.chats) < kept {
		return
	}
	p.evictions++
	for c := p.first; c != nil && len(p.chats) >= kept*3/4; c = c.next {
		if !c.idle(p.acked) {
			continue
		}
		delete(p.chats, c.id)
		if !c.stored.IsZero() {
			p.failing[c.id] = c.stored
		}
		if c.prev == nil {
			p.first = c.next
		} else {
			c.prev.next = c.next
		}
		if c.next == nil {
			p.last = c.prev
		} else {
			c.next.prev = c.prev
		}
	}
}

// fallBehind makes a chat read from the log until it has caught up at least with a seq.
func (p *Partition) fallBehind(c *chat, seen domain.Seq) {
	c.knownHead = max(c.knownHead, seen)
	if c.mode == tailing {
		c.mode = backfilling
		p.behind++
		c.cut()
	}
	p.feed(c)
}

// passBy lets the position pass the entries of a chat: they wait in the log.
func (p *Partition) passBy(c *chat) {
	if !c.skipped {
		c.skipped = true
		p.markDirty(c)
	}
}

// enqueue adds the next event of a chat.
func (p *Partition) enqueue(c *chat, r *Record) {
	if c.isFinished(r.Seq) { // beyond the checkpoint
		c.queuedSeq = max(c.queuedSeq, r.Seq)
		return
	}
	q := c.queueOf(r)
	q.link(r)
	c.recall(r)
	r.redelivered = r.redelivered || r.Seq <= c.parkedFor
	if retried, some := p.ordered[c.id]; some && retried.Seq == r.Seq {
		r.ordered, r.earlier, r.redelivered = retried.id, retried.Attempts, true
	}
	p.show(q)
}

// show makes a queue ready if its head can begin. It reports whether the queue was not ready before.
func (p *Partition) show(q *queue) bool {
	if q.head == nil || q.inFlight || q.waiting || q.ready || p.over {
		return false
	}
	q.ready = true
	p.m.ready.push(q)
	return true
}

// mayHaveBegun reports whether an earlier owner may have started a handler for an entry.
func (p *Partition) mayHaveBegun(id groups.StreamID) bool {
	return p.hadOwner && (p.overlap > 0 || id.Compare(p.end) <= 0)
}

// observe records the last entry of a read. All of these must exist: a later one may have been read from another server.
func (p *Partition) observe(id groups.StreamID) {
	if n := len(p.seen); !id.IsZero() && (n == 0 || p.seen[n-1] != id) {
		p.seen = append(p.seen, id)
	}
}

// Truncated starts a check of every chat because the stream was cut off before first, its first entry. A position before first would count as another
// loss.
func (p *Partition) Truncated(first groups.StreamID) {
	if p.over {
		return
	}
	if first.IsZero() {
		first = groups.StreamID{Milliseconds: p.read.Milliseconds, Number: p.read.Number + 1}
	}
	p.cutOff = first
	p.startWalk()
}

// close ends the lease. Its handlers may still run.
func (p *Partition) close() {
	p.over = true
	for c := p.first; c != nil; c = c.next {
		p.closeBlockages(c)
	}
	p.closeBlockages(p.others)
	p.m.event(Event{Kind: LeaseEnded, Partition: p})
	p.assignment.owned = nil
}

func (p *Partition) closeBlockages(c *chat) {
	for q := c.first; q != nil; q = q.after {
		if b := q.blocked; b != nil && b.reported {
			p.m.event(Event{Kind: BlockedCount, Reason: b.reason, Count: -1})
		}
		q.blocked = nil
	}
}
