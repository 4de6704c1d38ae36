package pubsub

import (
	"context"
	"strings"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

const (
	windowSize     = 2048                   // entries of a partition that may be read and not passed
	chatShare      = windowSize / 4         // of one chat; further events wait in the log
	queuesKept     = 8192                   // chat queues that a partition keeps for further events; checkpoints of other chats are read again
	maxBackfilling = 256                    // chats of a partition that catch up at the same time
	held           = 250 * time.Millisecond // a handler that takes longer does not block the position of a full window
)

// ownedPartition is the state of a partition during one owner's lease. The member's mutex guards all of it. It is discarded when the lease is over;
// outcomes of handlers that still run then do not count.
type ownedPartition struct {
	sub       *member
	partition Partition
	stop      context.CancelFunc // of its reading

	epoch         uint64
	deadline      time.Time     // when dispatching stops unless the lease was renewed
	lapse         *time.Timer   // calls recall at the deadline
	end           streamID      // last entry that an earlier owner may have read, once overlap is 0
	overlap       time.Duration // for which an earlier owner could still start handlers when it began; 0 once it cannot
	hadOwner      bool          // the partition had an owner before
	over          bool
	draining      bool
	inFlightCount int            // records in flight
	earlier       map[string]int // shared with the assignment

	window window
	queues map[string]*chatQueue
	others *chatQueue // of other programs' entries

	evictions int // of chat queues

	lagging      map[string]string       // marks of chats left to the log, without a chat queue
	names        []string                // those of them that are behind and not opened yet
	failing      map[string]failure      // of chats without a chat queue
	redeliveries map[string]struct{}     // dead letters that are redelivered out of order, until a commit records the outcome
	ordered      map[string]orderedRetry // by chat: dead letters that are redelivered in order

	backfilling []*chatQueue // queues that need more of the log
	behind      int          // chat queues that catch up
	loaded      int          // events of the log in chat queues
	walking     bool
	anew        bool // the walk restarts when it is over
	walked      int  // chats
	chats       int  // about how many chats the partition has
	scan        headScan

	read            streamID   // last entry that was read
	seen            []streamID // last entry of each read since the last commit, and of the one before: if one is gone, Redis has lost records that were read
	cutOff          streamID   // the stream has no entries before it
	position        streamID
	dirty           []*chatQueue
	changed         bool // there are changes besides those of chat queues
	letters         []deadLetter
	resolved        []any
	deadLetterCount int // dead letters as of the last reply
	progress        string

	pending  *commit // the commit under way
	commits  uint64
	acked    uint64
	sent     time.Time // when the last commit with a reply was sent
	revision string
	arranged []*chatQueue // queues whose next start waits for the commit under way
	stalled  []*chatQueue // queues that became ready after the deadline or while the partition drains

	room *signal // for follow: the window has room
	more *signal // for backfillLoop: there is something to do
}

// signal wakes a waiting goroutine.
type signal struct{ c chan struct{} }

func newSignal() *signal { return &signal{make(chan struct{}, 1)} }

func (s *signal) wake() {
	select {
	case s.c <- struct{}{}:
	default:
	}
}

func newOwnedPartition(s *member, partition *assignment, found *lease, deadline time.Time, stop context.CancelFunc) *ownedPartition {
	t := &ownedPartition{
		sub: s, partition: partition.Partition, stop: stop, earlier: partition.earlier,
		epoch: found.epoch, deadline: deadline, end: found.end, hadOwner: found.hadOwner, overlap: found.overlap,
		queues: make(map[string]*chatQueue), lagging: found.lagging, failing: found.failing, redeliveries: make(map[string]struct{}),
		walking: found.walk, position: found.position, revision: found.revision, sent: time.Now(), deadLetterCount: found.deadLetters,
		room: newSignal(), more: newSignal(),
	}
	t.lapse = time.AfterFunc(time.Until(deadline), s.reclaimUndispatched)
	t.others = &chatQueue{owned: t, key: ""}
	if _, known := t.failing[""]; known { // of an earlier owner
		delete(t.failing, "")
		t.others.failed = true
		t.markDirty(t.others)
	}
	if len(t.retries(found.redeliveries)) > 0 {
		t.revision = "" // they are read after the first commit
	}
	for chat, as := range found.lagging {
		if as == chatBehind {
			t.names = append(t.names, chat)
		}
	}
	return t
}

// markDirty includes a chat queue in the next commit.
func (t *ownedPartition) markDirty(l *chatQueue) {
	if !l.dirty {
		l.dirty = true
		t.dirty = append(t.dirty, l)
	}
	t.sub.commits.wake()
}

// requestCommit includes the other changes in the next commit.
func (t *ownedPartition) requestCommit() {
	t.changed = true
	t.sub.commits.wake()
}

// open returns a chat's queue. It creates it with the checkpoint if there is none.
func (t *ownedPartition) open(chat string, checkpoint domain.Seq) *chatQueue {
	if l := t.queues[chat]; l != nil {
		return l
	}
	chat = strings.Clone(chat) // chat may share the memory of a whole reply
	l := &chatQueue{owned: t, chat: chat, key: chat, ackedSeq: checkpoint, committedSeq: uint64(checkpoint), queuedSeq: checkpoint, savedState: t.lagging[chat]}
	t.queues[chat] = l
	delete(t.lagging, chat)
	switch l.savedState {
	case leftParked:
		l.mode = parked
	case chatBehind:
		l.skipped = true
		t.fallBehind(l, checkpoint)
	}
	return l
}

// evict removes idle chat queues if there are queuesKept, until three quarters are left.
func (t *ownedPartition) evict() {
	if len(t.queues) < queuesKept {
		return
	}
	t.evictions++
	for chat, l := range t.queues {
		if l.idle(t.acked) {
			delete(t.queues, chat)
		}
		if len(t.queues) < queuesKept*3/4 {
			return
		}
	}
}

// fallBehind makes a chat read from the log until it has caught up at least with a seq.
func (t *ownedPartition) fallBehind(l *chatQueue, seen domain.Seq) {
	l.knownHead = max(l.knownHead, seen)
	if l.mode == tailing {
		l.mode = backfilling
		t.behind++
		l.cut()
	}
	t.feed(l)
}

// walk starts a check of every chat of the partition.
func (t *ownedPartition) walk() {
	t.anew = t.walking
	if !t.walking {
		t.walking, t.walked, t.progress = true, 0, "0"
		t.requestCommit()
	}
	t.more.wake()
}

// observe records the last entry of a read. All of these must exist: a later one may have been read from another server.
func (t *ownedPartition) observe(id streamID) {
	if n := len(t.seen); !id.isZero() && (n == 0 || t.seen[n-1] != id) {
		t.seen = append(t.seen, id)
	}
}

// truncated starts a check of every chat because the stream was cut off before first. A position before first would count as another loss.
func (t *ownedPartition) truncated(first streamID) {
	if first.isZero() {
		first = streamID{t.read.ms, t.read.n + 1}
	}
	t.cutOff = first
	t.walk()
}

// feed requests more of the log if a chat queue that is behind runs low.
func (t *ownedPartition) feed(l *chatQueue) {
	const low = 16
	if l.mode == backfilling && !l.filling && l.queued < low {
		l.filling = true
		t.backfilling = append(t.backfilling, l)
		t.more.wake()
	}
}

// fill adds a page of the log to a chat queue, and makes the chat live again once nothing is missing. seen is the seq that was known to exist when
// the page was requested: the page lacks later events.
func (t *ownedPartition) fill(l *chatQueue, page ports.EncodedPage, from, seen domain.Seq) {
	l.filling = false
	if l.mode != backfilling || from != l.queuedSeq+1 { // parked or moved meanwhile
		t.feed(l)
		return
	}
	if len(page.Events) > 0 {
		parcels := make([]record, len(page.Events))
		for i := range parcels {
			parcels[i] = record{payload: page.Events[i], seq: from + domain.Seq(i), redelivered: t.hadOwner} //nolint:gosec // an index
			t.enqueue(l, &parcels[i])
		}
		l.knownHead = max(l.knownHead, l.queuedSeq) // the chat stays left behind until all passed events are finished
		t.sub.counters.Backfilled.Add(uint64(len(parcels)))
	}
	if (l.queuedSeq >= page.Head || len(page.Events) == 0) && l.knownHead <= max(l.queuedSeq, seen) {
		if l.knownHead > l.queuedSeq {
			t.sub.counters.PhantomEntries.Add(uint64(l.knownHead - l.queuedSeq)) // the stream has entries of events that the log does not have
			l.knownHead = l.queuedSeq
			t.window.free(l, l.queuedSeq)
			t.requestCommit()
		}
		l.mode = tailing
		t.behind--
		t.more.wake()
		if l.savedState != "" || l.skipped {
			t.markDirty(l)
		}
	}
	t.feed(l)
	t.show(l)
}

// enqueue adds the next event of a chat.
func (t *ownedPartition) enqueue(l *chatQueue, p *record) {
	if f, failed := t.failing[l.chat]; failed && f.seq == p.seq {
		p.attempts, p.reserved, l.failed = f.starts, f.epoch, true
		delete(t.failing, l.chat)
		t.inherit(l, f)
	}
	if r, retried := t.ordered[l.chat]; retried && r.seq == p.seq {
		p.ordered, p.earlier, p.redelivered = r.id, r.attempts, true
	}
	l.push(p)
}

// show makes a chat queue ready if its next event can begin.
func (t *ownedPartition) show(l *chatQueue) {
	if l.head != nil && !l.inFlight && !l.waiting && !l.ready && !t.over {
		l.ready = true
		t.sub.ready.push(l)
	}
}

// ingest adds an entry that was read from the stream.
func (t *ownedPartition) ingest(e *entry, checkpoints map[string]domain.Seq, p *record) {
	if e.seq == 0 || !t.partition.logged() {
		t.ingestForeign(e, p)
		return
	}
	if t.lagging[e.chat] == leftParked && t.queues[e.chat] == nil {
		t.window.push(slot{id: e.id})
		return
	}
	l := t.open(e.chat, checkpoints[e.chat])
	if e.seq <= l.ackedSeq {
		t.window.push(slot{id: e.id})
		return
	}
	t.window.push(slot{id: e.id, queue: l, seq: e.seq})
	switch {
	case l.mode == parked:
	case l.mode == backfilling:
		l.knownHead = max(l.knownHead, e.seq)
		t.passBy(l)
		t.feed(l)
	case e.seq <= l.queuedSeq: // twice on the stream
	case e.seq > l.queuedSeq+1 || l.queued >= chatShare:
		t.fallBehind(l, e.seq)
		t.passBy(l)
	default:
		p.redelivered = t.mayHaveBegun(e.id)
		t.enqueue(l, p)
		t.show(l)
	}
}

func (t *ownedPartition) ingestForeign(e *entry, p *record) {
	l := t.others
	if t.sub.config.Unordered {
		l = &chatQueue{owned: t}
	}
	p.seq, p.redelivered = 0, t.mayHaveBegun(e.id)
	if e.half && t.partition.logged() {
		p.broken = "the entry has half of chat and seq"
	}
	t.window.push(slot{id: e.id, queue: l, parcel: p})
	l.push(p)
	t.show(l)
}

// mayHaveBegun reports whether an earlier owner may have started a handler for an entry.
func (t *ownedPartition) mayHaveBegun(id streamID) bool {
	return t.hadOwner && (t.overlap > 0 || id.compare(t.end) <= 0)
}

// passBy lets the position pass the entries of a chat queue: they wait in the log.
func (t *ownedPartition) passBy(l *chatQueue) {
	if !l.skipped {
		l.skipped = true
		t.markDirty(l)
	}
}

// skipSlowHead lets the position of a full window pass a chat whose head has blocked it for long. Entries of other programs are in no log and cannot be
// passed.
func (t *ownedPartition) skipSlowHead(now time.Time) {
	s := t.window.head()
	if s == nil || s.queue == nil || s.parcel != nil || s.passable() {
		return
	}
	l := s.queue
	if l.waiting || l.inFlight && now.Sub(l.dispatchedAt) > held {
		t.fallBehind(l, l.queuedSeq)
		t.passBy(l)
	}
}

// full reports whether the window has no room.
func (t *ownedPartition) full() bool { return t.window.size() >= windowSize }
