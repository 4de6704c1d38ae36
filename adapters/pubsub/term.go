package pubsub

import (
	"context"
	"strings"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

const (
	windowSize  = 2048                   // entries of a partition that may be read and not passed
	lineShare   = windowSize / 4         // of one chat; further events wait in the log
	linesKept   = 8192                   // chat queues that a partition keeps for further events; checkpoints of other chats are read again
	behindAtMax = 256                    // chats of a partition that catch up at the same time
	held        = 250 * time.Millisecond // a handler that takes longer does not block the position of a full window
)

// term is the state of a partition during one owner's lease. The subscription's mutex guards all of it. It is discarded when the term is over;
// outcomes of handlers that still run then do not count.
type term struct {
	sub  *subscription
	lane Lane
	stop context.CancelFunc // of its reading

	epoch    uint64
	deadline time.Time     // when dispatching stops unless the lease was renewed
	lapse    *time.Timer   // calls recall at the deadline
	end      streamID      // last entry that an earlier owner may have read, once overlap is 0
	overlap  time.Duration // for which an earlier owner could still start handlers when it began; 0 once it cannot
	before   bool          // the partition had an owner before
	over     bool
	draining bool
	flights  int            // parcels in flight
	earlier  map[string]int // shared with the laneState

	window window
	lines  map[string]*line
	others *line // of other programs' entries

	evictions int // of chat queues

	left    map[string]string       // marks of chats left to the log, without a chat queue
	names   []string                // those of them that are behind and not opened yet
	failing map[string]failure      // of chats without a chat queue
	again   map[string]struct{}     // dead letters that are redelivered out of order, until a commit records the outcome
	ordered map[string]orderedRetry // by chat: dead letters that are redelivered in order

	catchup []*line // queues that need more of the log
	behind  int     // chat queues that catch up
	loaded  int     // events of the log in chat queues
	walking bool
	anew    bool // the walk restarts when it is over
	walked  int  // chats
	chats   int  // about how many chats the partition has
	scan    headScan

	read     streamID   // last entry that was read
	seen     []streamID // last entry of each read since the last commit, and of the one before: if one is gone, Redis has lost records that were read
	cutOff   streamID   // the stream has no entries before it
	position streamID
	dirty    []*line
	changed  bool // there are changes besides those of chat queues
	letters  []letter
	settled  []any
	kept     int // dead letters as of the last reply
	progress string

	pending  *change // the commit under way
	commits  uint64
	acked    uint64
	sent     time.Time // when the last commit with a reply was sent
	revision string
	arranged []*line // queues whose next start waits for the commit under way
	stalled  []*line // queues that became ready after the deadline or while the partition drains

	room *signal // for follow: the window has room
	more *signal // for catchUp: there is something to do
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

func newTerm(s *subscription, lane *laneState, found *tenure, deadline time.Time, stop context.CancelFunc) *term {
	t := &term{
		sub: s, lane: lane.Lane, stop: stop, earlier: lane.earlier,
		epoch: found.epoch, deadline: deadline, end: found.end, before: found.before, overlap: found.overlap,
		lines: make(map[string]*line), left: found.left, failing: found.failing, again: make(map[string]struct{}),
		walking: found.walk, position: found.position, revision: found.revision, sent: time.Now(), kept: found.deadLetters,
		room: newSignal(), more: newSignal(),
	}
	t.lapse = time.AfterFunc(time.Until(deadline), s.recall)
	t.others = &line{term: t, key: ""}
	if _, known := t.failing[""]; known { // of an earlier owner
		delete(t.failing, "")
		t.others.failed = true
		t.touch(t.others)
	}
	if len(t.retries(found.again)) > 0 {
		t.revision = "" // they are read after the first commit
	}
	for chat, as := range found.left {
		if as == leftBehind {
			t.names = append(t.names, chat)
		}
	}
	return t
}

// touch includes a chat queue in the next commit.
func (t *term) touch(l *line) {
	if !l.dirty {
		l.dirty = true
		t.dirty = append(t.dirty, l)
	}
	t.sub.commits.wake()
}

// note includes the other changes in the next commit.
func (t *term) note() {
	t.changed = true
	t.sub.commits.wake()
}

// open returns a chat's queue. It creates it with the checkpoint if there is none.
func (t *term) open(chat string, checkpoint domain.Seq) *line {
	if l := t.lines[chat]; l != nil {
		return l
	}
	chat = strings.Clone(chat) // chat may share the memory of a whole reply
	l := &line{term: t, chat: chat, key: chat, finished: checkpoint, saved: uint64(checkpoint), last: checkpoint, mark: t.left[chat]}
	t.lines[chat] = l
	delete(t.left, chat)
	switch l.mark {
	case leftParked:
		l.mode = parked
	case leftBehind:
		l.passed = true
		t.fallBehind(l, checkpoint)
	}
	return l
}

// evict removes idle chat queues if there are linesKept, until three quarters are left.
func (t *term) evict() {
	if len(t.lines) < linesKept {
		return
	}
	t.evictions++
	for chat, l := range t.lines {
		if l.idle(t.acked) {
			delete(t.lines, chat)
		}
		if len(t.lines) < linesKept*3/4 {
			return
		}
	}
}

// fallBehind makes a chat read from the log until it has caught up at least with a seq.
func (t *term) fallBehind(l *line, seen domain.Seq) {
	l.seen = max(l.seen, seen)
	if l.mode == live {
		l.mode = behind
		t.behind++
		l.cut()
	}
	t.feed(l)
}

// walk starts a check of every chat of the partition.
func (t *term) walk() {
	t.anew = t.walking
	if !t.walking {
		t.walking, t.walked, t.progress = true, 0, "0"
		t.note()
	}
	t.more.wake()
}

// saw records the last entry of a read. All of these must exist: a later one may have been read from another server.
func (t *term) saw(id streamID) {
	if n := len(t.seen); !id.isZero() && (n == 0 || t.seen[n-1] != id) {
		t.seen = append(t.seen, id)
	}
}

// truncated starts a check of every chat because the stream was cut off before first. A position before first would count as another loss.
func (t *term) truncated(first streamID) {
	if first.isZero() {
		first = streamID{t.read.ms, t.read.n + 1}
	}
	t.cutOff = first
	t.walk()
}

// feed requests more of the log if a chat queue that is behind runs low.
func (t *term) feed(l *line) {
	const low = 16
	if l.mode == behind && !l.filling && l.queued < low {
		l.filling = true
		t.catchup = append(t.catchup, l)
		t.more.wake()
	}
}

// fill adds a page of the log to a chat queue, and makes the chat live again once nothing is missing. seen is the seq that was known to exist when
// the page was requested: the page lacks later events.
func (t *term) fill(l *line, page ports.EncodedPage, from, seen domain.Seq) {
	l.filling = false
	if l.mode != behind || from != l.last+1 { // parked or moved meanwhile
		t.feed(l)
		return
	}
	if len(page.Events) > 0 {
		parcels := make([]parcel, len(page.Events))
		for i := range parcels {
			parcels[i] = parcel{payload: page.Events[i], seq: from + domain.Seq(i), again: t.before} //nolint:gosec // an index
			t.enqueue(l, &parcels[i])
		}
		l.seen = max(l.seen, l.last) // the chat stays left behind until all passed events are finished
		t.sub.counters.CaughtUp.Add(uint64(len(parcels)))
	}
	if (l.last >= page.Head || len(page.Events) == 0) && l.seen <= max(l.last, seen) {
		if l.seen > l.last {
			t.sub.counters.Ghosts.Add(uint64(l.seen - l.last)) // the stream has entries of events that the log does not have
			l.seen = l.last
			t.window.free(l, l.last)
			t.note()
		}
		l.mode = live
		t.behind--
		t.more.wake()
		if l.mark != "" || l.passed {
			t.touch(l)
		}
	}
	t.feed(l)
	t.show(l)
}

// enqueue adds the next event of a chat.
func (t *term) enqueue(l *line, p *parcel) {
	if f, failed := t.failing[l.chat]; failed && f.seq == p.seq {
		p.starts, p.reserved, l.failed = f.starts, f.epoch, true
		delete(t.failing, l.chat)
		t.inherit(l, f)
	}
	if r, retried := t.ordered[l.chat]; retried && r.seq == p.seq {
		p.ordered, p.earlier, p.again = r.id, r.attempts, true
	}
	l.push(p)
}

// show makes a chat queue ready if its next event can begin.
func (t *term) show(l *line) {
	if l.head != nil && !l.flying && !l.waiting && !l.ready && !t.over {
		l.ready = true
		t.sub.ready.push(l)
	}
}

// admit adds an entry that was read from the stream.
func (t *term) admit(e *entry, checkpoints map[string]domain.Seq, p *parcel) {
	if e.seq == 0 || !t.lane.logged() {
		t.admitForeign(e, p)
		return
	}
	if t.left[e.chat] == leftParked && t.lines[e.chat] == nil {
		t.window.push(slot{id: e.id})
		return
	}
	l := t.open(e.chat, checkpoints[e.chat])
	if e.seq <= l.finished {
		t.window.push(slot{id: e.id})
		return
	}
	t.window.push(slot{id: e.id, line: l, seq: e.seq})
	switch {
	case l.mode == parked:
	case l.mode == behind:
		l.seen = max(l.seen, e.seq)
		t.passBy(l)
		t.feed(l)
	case e.seq <= l.last: // twice on the stream
	case e.seq > l.last+1 || l.queued >= lineShare:
		t.fallBehind(l, e.seq)
		t.passBy(l)
	default:
		p.again = t.mayHaveBegun(e.id)
		t.enqueue(l, p)
		t.show(l)
	}
}

func (t *term) admitForeign(e *entry, p *parcel) {
	l := t.others
	if t.sub.config.Unordered {
		l = &line{term: t}
	}
	p.seq, p.again = 0, t.mayHaveBegun(e.id)
	if e.half && t.lane.logged() {
		p.broken = "the entry has half of chat and seq"
	}
	t.window.push(slot{id: e.id, line: l, parcel: p})
	l.push(p)
	t.show(l)
}

// mayHaveBegun reports whether an earlier owner may have started a handler for an entry.
func (t *term) mayHaveBegun(id streamID) bool {
	return t.before && (t.overlap > 0 || id.compare(t.end) <= 0)
}

// passBy lets the position pass the entries of a chat queue: they wait in the log.
func (t *term) passBy(l *line) {
	if !l.passed {
		l.passed = true
		t.touch(l)
	}
}

// relieve lets the position of a full window pass a chat whose head has blocked it for long. Entries of other programs are in no log and cannot be
// passed.
func (t *term) relieve(now time.Time) {
	s := t.window.head()
	if s == nil || s.line == nil || s.parcel != nil || s.passable() {
		return
	}
	l := s.line
	if l.waiting || l.flying && now.Sub(l.since) > held {
		t.fallBehind(l, l.last)
		t.passBy(l)
	}
}

// full reports whether the window has no room.
func (t *term) full() bool { return t.window.size() >= windowSize }
