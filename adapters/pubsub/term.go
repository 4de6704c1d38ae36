package pubsub

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
	deadline time.Time   // when handing out has to stop unless the lease was renewed
	lapse    *time.Timer // says so
	end      streamID    // of the stream when it began
	before   bool        // others had the lane before
	over     bool
	draining bool
	flights  int            // parcels with handlers
	earlier  map[string]int // the lane's

	window window
	lines  map[string]*line
	others *line // of other programs' entries

	evictions int // of lines

	left    map[string]string   // chats left, of which there is no line
	names   []string            // those of them that are behind and whose turn has not come
	failing map[string]failure  // of chats without a line
	again   map[string]struct{} // dead letters that were given again, or are to be

	catchup []*line // want more of the log
	behind  int     // lines that catch up
	loaded  int     // events of the log that are in lines
	walking bool
	anew    bool // once the walk is over it begins again
	walked  int  // chats
	chats   int  // about how many there are

	read     streamID   // last entry
	seen     []streamID // last entries at each reading since the last commit, and before: where one is not, Redis has lost what was read
	cutOff   streamID   // before it nothing is left in the stream
	position streamID
	dirty    []*line
	changed  bool // there is something to take down beside the lines
	letters  []letter
	settled  []any
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
		epoch: found.epoch, deadline: deadline, end: found.end, before: found.before,
		lines: make(map[string]*line), left: found.left, failing: found.failing, again: make(map[string]struct{}),
		walking: found.walk, position: found.position, revision: found.revision, sent: time.Now(),
		room: newSignal(), more: newSignal(),
	}
	t.lapse = time.AfterFunc(time.Until(deadline), s.recall)
	t.others = &line{term: t}
	if len(found.again) > 0 {
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
		p.starts, l.failed = f.starts, true
		delete(t.failing, l.chat)
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
		*p = parcel{id: e.id, uuid: e.uuid, metadata: e.metadata, payload: e.payload, seq: e.seq, broken: e.broken, again: t.mayHaveBegun(e.id)}
		t.enqueue(l, p)
		t.show(l)
	}
}

func (t *term) admitForeign(e *entry, p *parcel) {
	l := t.others
	if t.sub.config.Unordered {
		l = &line{term: t}
	}
	*p = parcel{id: e.id, uuid: e.uuid, metadata: e.metadata, payload: e.payload, broken: e.broken, again: t.mayHaveBegun(e.id)}
	if e.half && t.lane.logged() {
		p.broken = "the entry has half of chat and seq"
	}
	t.window.push(slot{id: e.id, line: l, parcel: p})
	l.push(p)
	t.show(l)
}

// mayHaveBegun tells whether an earlier owner may have handed out an entry.
func (t *term) mayHaveBegun(id streamID) bool { return t.before && id.compare(t.end) <= 0 }

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

// finish takes the head of a line as done.
func (t *term) finish(l *line) {
	p := l.head
	if l.pop(); t.loaded == windowSize-1 {
		t.more.wake()
	}
	switch {
	case p.letter != "":
		t.settled = append(t.settled, p.letter)
		t.note()
	case l.foreign():
		p.settled = true
		t.note()
	default:
		l.finished = p.seq
		t.feed(l)
		t.touch(l)
	}
	t.sub.finished++
}

// fail decides what becomes of the head of a line whose handler has failed.
func (t *term) fail(l *line, cause error) {
	p := l.head
	p.starts++
	policy := t.sub.config.Retry
	if IsPermanent(cause) || p.starts >= policy.Attempts {
		t.setAside(l, cause)
		return
	}
	l.waiting, l.arranged = true, false
	if p.letter == "" && !l.foreign() {
		l.failed = true
		t.touch(l)
	}
	l.timer = time.AfterFunc(policy.delay(p.starts), func() { t.sub.retry(t, l) })
}

// delay is how long to wait after so many starts: doubled each time, give or take a half, so that what failed together does not come
// together again.
func (r RetryPolicy) delay(starts int) time.Duration {
	wait := r.First << min(starts-1, 30)
	if wait <= 0 || wait > r.Max {
		wait = r.Max
	}
	return wait/2 + rand.N(wait) //nolint:gosec // jitter
}

// setAside makes a dead letter of the head of a line, in the step in which it is finished or its chat parked.
func (t *term) setAside(l *line, cause error) {
	p, s := l.head, t.sub
	d := letter{
		Reason: cause.Error(), Attempts: p.starts, UUID: p.uuid, Metadata: p.metadata, Payload: p.payload, Chat: l.chat, Seq: p.seq,
	}
	if p.metadata == "" && p.broken == "" {
		if metadata, err := p.unpack(s.config.Codec); err == nil {
			d.UUID, d.Metadata = p.uuid, packMetadata(metadata)
		}
	}
	d.Parked = s.config.OnPoison == Park && !l.foreign() && p.letter == ""
	t.letters = append(t.letters, d)
	s.counters.DeadLetters.Add(1)
	s.config.Logger.Warn("delivery set aside",
		"group", s.group, "stream", t.lane.Stream, "chat", l.chat, "seq", uint64(p.seq), "event_id", d.UUID, "attempts", p.starts, "parked", d.Parked, "error", cause)
	if !d.Parked {
		t.finish(l)
		return
	}
	if l.mode == behind {
		t.behind--
	}
	l.mode = parked
	l.pop()
	l.cut()
	l.last = l.finished
	t.touch(l)
	t.more.wake()
}

// resume has a parked chat flow again behind a checkpoint.
func (t *term) resume(l *line, checkpoint domain.Seq) {
	if l.mode != parked {
		return
	}
	l.finished, l.saved, l.last = checkpoint, uint64(checkpoint), checkpoint
	l.mode, l.mark, l.passed, l.failed = live, leftBehind, true, false
	t.fallBehind(l, checkpoint)
}

// build makes the next commit of what has happened since the last, or gives nil if there is nothing to say and the lease is young.
func (t *term) build(now time.Time, renewal time.Duration) *change {
	if len(t.dirty) == 0 && !t.changed && len(t.letters) == 0 && now.Sub(t.sent) < renewal {
		return nil
	}
	t.commits++
	c := &change{number: t.commits, letters: t.letters, settled: t.settled, walk: t.progress, seen: t.seen}
	t.letters, t.settled, t.progress, t.changed = nil, nil, "", false
	if n := len(t.seen); n > 0 {
		t.seen = []streamID{t.seen[n-1]}
	}
	for _, l := range t.dirty {
		l.dirty, l.commit = false, t.commits
		t.save(l, c)
	}
	t.dirty = t.dirty[:0]
	n, last := t.window.pass()
	if n > 0 {
		c.passed = n
		if t.position = last; last.compare(t.cutOff) >= 0 {
			c.position = last
		}
		t.room.wake()
	}
	t.pending = c
	return c
}

// save adds what a line has to say to a commit.
func (t *term) save(l *line, c *change) {
	if l.foreign() {
		return
	}
	if finished := uint64(l.finished); finished != l.saved {
		l.saved = finished // the commit has a pointer to it, and until that is answered there is no other
		c.chats = append(c.chats, l.key, &l.saved)
	}
	if l.mode == live && l.finished >= l.seen {
		l.passed = false
	}
	if wanted := l.wanted(); wanted != l.mark {
		c.left = append(c.left, l.key, wanted)
		l.mark = wanted
	}
	switch p := l.next(); {
	case l.mode != parked && p != nil && p.starts > 0:
		starts := p.starts
		if l.arranged { // the start to come counts, should nobody be there to tell how it ended
			starts++
		}
		c.failing = append(c.failing, l.key, failure{p.seq, starts}.String())
		l.failed = true
	case l.failed:
		c.failing = append(c.failing, l.key, "")
		l.failed = false
	}
	if l.waiting && l.arranged {
		t.arranged = append(t.arranged, l)
	}
}

// rewind takes back starts that were taken down and have not begun.
func (t *term) rewind() {
	for _, l := range t.lines {
		if !l.flying {
			t.unarrange(l)
		}
	}
}

// unarrange takes back a line's next start.
func (t *term) unarrange(l *line) {
	if l.arranged {
		l.waiting, l.arranged = true, false
		l.timer.Reset(held) // should there be another chance
		t.touch(l)
	}
}

// answered takes the answer to the commit under way.
func (t *term) answered(sent time.Time, lease time.Duration) {
	t.acked, t.pending, t.sent = t.pending.number, nil, sent
	t.deadline = sent.Add(lease - margin(lease))
	t.lapse.Reset(time.Until(t.deadline))
	for _, l := range t.arranged {
		if l.arranged {
			l.waiting = false
			t.show(l)
		}
	}
	t.arranged = t.arranged[:0]
	if !t.draining {
		t.unstall()
	}
}

// unstall has those picked that could not begin.
func (t *term) unstall() {
	for _, l := range t.stalled {
		t.show(l)
	}
	t.stalled = t.stalled[:0]
}

// margin is how long before its lease ends an owner stops by itself.
func margin(lease time.Duration) time.Duration { return lease / 6 }

// quiet reports whether everything that happened is taken down and no handler runs.
func (t *term) quiet() bool { return t.flights == 0 && t.quietButFlights() }

func (t *term) quietButFlights() bool {
	return t.pending == nil && len(t.dirty) == 0 && !t.changed && len(t.letters) == 0
}

// end closes the term. Handlers of it may still run.
func (t *term) close() {
	t.over = true
	t.stop()
	t.lapse.Stop()
	for _, l := range t.lines {
		if l.timer != nil {
			l.timer.Stop()
		}
	}
	if l := t.others; l.timer != nil {
		l.timer.Stop()
	}
}

// errUnsettled is a message that was refused without a reason.
var errUnsettled = errors.New("the message was nacked")

func (t *term) String() string { return fmt.Sprintf("%s under epoch %d", t.lane.Stream, t.epoch) }
