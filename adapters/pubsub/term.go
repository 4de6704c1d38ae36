package pubsub

import (
	"context"
	"strings"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

const (
	windowSize  = 2048                   // entries of a lane that may be read and not passed
	lineShare   = windowSize / 4         // of one chat; what is more waits in the log
	linesKept   = 8192                   // of a lane, for chats that come again; others' checkpoints are asked for again
	behindAtMax = 256                    // chats of a lane that catch up side by side
	held        = 250 * time.Millisecond // a handler that takes longer does not hold up the position of a full window
)

// term is one owner's time with a lane: what it knows of the lane while it holds the lease. All of it is guarded by the subscription's mutex,
// and all of it is gone when the term is over; what handlers of it still do then counts no more.
type term struct {
	sub  *subscription
	lane Lane
	stop context.CancelFunc // of its reading

	epoch    uint64
	deadline time.Time     // when handing out has to stop unless the lease was renewed
	lapse    *time.Timer   // says so
	end      streamID      // last entry that an earlier owner may have read, once overlap is 0
	overlap  time.Duration // for which an earlier owner could still start handlers when it began; 0 once it cannot
	before   bool          // others had the lane before
	over     bool
	draining bool
	flights  int            // parcels with handlers
	earlier  map[string]int // the lane's

	window window
	lines  map[string]*line
	others *line // of other programs' entries

	evictions int // of lines

	left    map[string]string       // chats left, of which there is no line
	names   []string                // those of them that are behind and whose turn has not come
	failing map[string]failure      // of chats without a line
	again   map[string]struct{}     // dead letters that are given again out of order, until a commit says how that ended
	ordered map[string]orderedRetry // by chat: dead letters that are given again in order

	catchup []*line // want more of the log
	behind  int     // lines that catch up
	loaded  int     // events of the log that are in lines
	walking bool
	anew    bool // once the walk is over it begins again
	walked  int  // chats
	chats   int  // about how many there are
	scan    headScan

	read     streamID   // last entry
	seen     []streamID // last entries at each reading since the last commit, and before: where one is not, Redis has lost what was read
	cutOff   streamID   // before it nothing is left in the stream
	position streamID
	dirty    []*line
	changed  bool // there is something to take down beside the lines
	letters  []letter
	settled  []any
	kept     int // dead letters, as of the last answer
	progress string

	pending  *change // the commit under way
	commits  uint64
	acked    uint64
	sent     time.Time // the last commit that was answered
	revision string
	arranged []*line // wait for the commit under way, to begin their next start
	stalled  []*line // ready when the deadline had passed, or the lane was to be given away

	room *signal // for the one who reads: the window has room
	more *signal // for the one who catches up: there is something to do
}

// signal wakes one who waits.
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
		t.revision = "" // they are read with the first commit
	}
	for chat, as := range found.left {
		if as == leftBehind {
			t.names = append(t.names, chat)
		}
	}
	return t
}

// touch has a line looked at by the next commit.
func (t *term) touch(l *line) {
	if !l.dirty {
		l.dirty = true
		t.dirty = append(t.dirty, l)
	}
	t.sub.commits.wake()
}

// note has the next commit look at the rest.
func (t *term) note() {
	t.changed = true
	t.sub.commits.wake()
}

// open gives a chat's line, and makes it from its checkpoint if there is none.
func (t *term) open(chat string, checkpoint domain.Seq) *line {
	if l := t.lines[chat]; l != nil {
		return l
	}
	chat = strings.Clone(chat) // it may be a part of all that was read with it
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

// evict forgets idle lines if there are many, a good part of them at once.
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

// fallBehind has a chat fed from the log until it has caught up at least with a seq.
func (t *term) fallBehind(l *line, seen domain.Seq) {
	l.seen = max(l.seen, seen)
	if l.mode == live {
		l.mode = behind
		t.behind++
		l.cut()
	}
	t.feed(l)
}

// walk has every chat of the lane looked at.
func (t *term) walk() {
	t.anew = t.walking
	if !t.walking {
		t.walking, t.walked, t.progress = true, 0, "0"
		t.note()
	}
	t.more.wake()
}

// saw remembers the last entry at a reading. All of them have to be there: after the last one another server may have been read.
func (t *term) saw(id streamID) {
	if n := len(t.seen); !id.isZero() && (n == 0 || t.seen[n-1] != id) {
		t.seen = append(t.seen, id)
	}
}

// truncated has every chat looked at because the stream was cut off before what is left of it. A position before that would be another loss.
func (t *term) truncated(first streamID) {
	if first.isZero() {
		first = streamID{t.read.ms, t.read.n + 1}
	}
	t.cutOff = first
	t.walk()
}

// feed asks for more of the log if a line that is behind runs out.
func (t *term) feed(l *line) {
	const low = 16
	if l.mode == behind && !l.filling && l.queued < low {
		l.filling = true
		t.catchup = append(t.catchup, l)
		t.more.wake()
	}
}

// fill takes a page of the log into a line, and has it live again once nothing is missing. seen is what there was at least when the page was
// asked for: what was seen since is not in it.
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
		l.seen = max(l.seen, l.last) // what was passed by stays left behind until all of it is finished
		t.sub.counters.CaughtUp.Add(uint64(len(parcels)))
	}
	if (l.last >= page.Head || len(page.Events) == 0) && l.seen <= max(l.last, seen) {
		if l.seen > l.last {
			t.sub.counters.Ghosts.Add(uint64(l.seen - l.last)) // the stream told of events that the log does not have
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

// show has a line picked if its next event can begin.
func (t *term) show(l *line) {
	if l.head != nil && !l.flying && !l.waiting && !l.ready && !t.over {
		l.ready = true
		t.sub.ready.push(l)
	}
}

// admit takes an entry that was read from the stream.
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

// passBy lets the position pass a line's entries: they wait in the log.
func (t *term) passBy(l *line) {
	if !l.passed {
		l.passed = true
		t.touch(l)
	}
}

// relieve lets the position of a full window pass what holds it up for long. Entries of other programs are in no log and cannot be passed.
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

// full reports whether the window takes no more.
func (t *term) full() bool { return t.window.size() >= windowSize }
