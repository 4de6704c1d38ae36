package delivery

import (
	"slices"
	"time"

	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// node is a process that runs a member: it does what package group does, one step at a time.
type node struct {
	w      *world
	name   string
	m      *Member
	offset time.Duration // of its clock
	frozen bool
	ends   bool // it drains

	concurrency int

	leases   []*worldLease // by partition; nil if it owns none
	out      []flight      // delivered to no handler yet
	running  []flight      // handlers
	commits  commitStep
	scan     scanStep
	acquired []acquired
	wants    struct{ commit, assign, reclaim bool }
	nextBeat time.Time
	renewal  time.Time
}

// flight is a delivery: a record, or several of a batch.
type flight struct {
	lease   *worldLease
	records []*Record
	start   int
	valid   bool // the store agreed that the member owned the partition when the handler began
}

// worldLease is a lease and the loops that read for it.
type worldLease struct {
	n          *node
	s          *worldPartition
	p          *Partition
	deadline   time.Time
	endOverlap time.Time // zero if there is none
	draining   bool

	cursor  groups.StreamID
	last    groups.StreamID
	records []*Record // read and not taken yet
	known   Checkpoints
	missing []string
	room    bool

	steps     bool
	step      Step
	stepKnown Checkpoints
	stepNeeds []string
	heads     []ports.ChatHead
	next      uint64
	pages     []Page
	witness   groups.StreamID

	attempts map[*fact]attempt // of the last start of each event
	ended    map[*fact]bool    // events that it has finished
}

type attempt struct {
	number  int
	counted bool // its outcome was an attempt
	reset   bool // the bound of dead letters has set the number

	postponed bool // its outcome was postponed
}

type acquired struct {
	i     int
	lease *groups.Lease
	asked time.Time
}

// commitStep is the state of a node's commit loop.
type commitStep struct {
	sent     time.Time // zero if no commit is under way
	commits  []groups.OwnedCommit
	parts    []*Partition
	results  []groups.CommitResult // nil if the store has not answered
	reload   []*Partition          // others have changed these
	revision []string
}

// scanStep is the state of a node's head scan.
type scanStep struct {
	scan  Scan
	page  ports.HeadPage
	tail  groups.StreamID
	known Checkpoints
	needs []string
	due   time.Time
}

func (w *world) start(name string) *node {
	n := &node{w: w, name: name, leases: make([]*worldLease, len(w.partitions)), concurrency: w.config.Concurrency}
	w.seeds++
	c := w.config
	if c.Seed = w.seeds; w.settling {
		c.DeadLetterBound = plenty
	}
	var partitions []groups.Partition
	for _, s := range w.partitions {
		partitions = append(partitions, s.Partition)
	}
	n.m = New(c, partitions)
	n.m.limits = w.limits
	return n
}

func (n *node) now() time.Time { return n.w.now.Add(n.offset) }

// take takes the signals and events of the member.
func (n *node) take() {
	s := n.m.TakeSignals()
	n.wants.commit = n.wants.commit || s.Commit
	n.wants.assign = n.wants.assign || s.Assign
	n.wants.reclaim = n.wants.reclaim || s.Reclaim
	for _, p := range s.Partitions {
		l, _ := p.Data.(*worldLease)
		room, steps := p.TakeWakes()
		if l != nil {
			l.room, l.steps = l.room || room, l.steps || steps
		}
	}
	for _, e := range n.m.TakeEvents() {
		n.w.observe(n, e)
	}
}

// beat sends a heartbeat, releases what is drained and acquires what is assigned; the answer comes later.
func (n *node) beat() {
	n.wants.assign, n.nextBeat = false, n.now().Add(n.w.config.Lease/6)
	if n.ends || len(n.acquired) > 0 {
		return
	}
	declines := n.m.Declines()
	living := n.w.heartbeat(n, declines)
	n.m.Declined(declines)
	wanted := n.m.Rebalance(living, n.name, n.now())
	for i, l := range n.leases {
		if l != nil && !l.p.over {
			l.draining = Assigned(n.w.partitions[i].Partition, living) != n.name
		}
	}
	n.reclaim()
	n.release(n.m.ReleaseDrained())
	for _, i := range wanted {
		s := n.w.partitions[i]
		if found := s.acquire(n.name, n.w.config.Lease, n.m.LostRecords(i)); found != nil {
			n.acquired = append(n.acquired, acquired{i, found, n.now()})
		}
	}
}

func (n *node) release(held []groups.Release) {
	for _, r := range held {
		for i, s := range n.w.partitions {
			if s.Partition == r.Partition {
				n.leases[i] = nil
				s.release(r)
			}
		}
	}
}

// begin begins the acquired leases.
func (n *node) begin() {
	for _, a := range n.acquired {
		l := &worldLease{n: n, s: n.w.partitions[a.i], attempts: make(map[*fact]attempt), ended: make(map[*fact]bool), room: true, steps: true}
		l.deadline = a.asked.Add(n.w.config.Lease - Margin(n.w.config.Lease))
		l.p = n.m.Acquired(a.i, a.lease, a.asked, n.now())
		l.p.Data = l
		l.cursor = l.p.Position()
		if o := l.p.Overlap(); o > 0 {
			l.endOverlap = n.now().Add(o)
		}
		n.leases[a.i] = l
	}
	n.acquired = n.acquired[:0]
}

// lose ends a lease.
func (n *node) lose(l *worldLease, lostRecords bool) {
	n.w.note("%s loses %v, lost records: %v", n.name, l.p, lostRecords)
	if n.m.Lost(l.p, lostRecords) {
		n.w.abnormal++
	}
	for i := range n.leases {
		if n.leases[i] == l {
			n.leases[i] = nil
		}
	}
	n.take()
	n.reclaim()
}

// reclaim completes the deliveries that no handler has received as not begun.
func (n *node) reclaim() {
	n.wants.reclaim = false
	out := n.out
	n.out = nil
	for _, f := range out {
		n.complete(f, 0, Outcome{Kind: NotBegun}, 0)
	}
}

// record returns a record of an entry, or of an event of the log if the id is zero.
func (l *worldLease) record(f *fact, e worldEntry) *Record {
	entry := groups.Entry{ID: e.id, UUID: f.uuid, Chat: f.chat, Seq: e.seq, Payload: []byte(f.uuid), Half: e.half}
	if f.broken {
		entry.Broken = "broken"
	}
	return &Record{Entry: entry, Key: f.key, Data: f}
}

// fetch takes the next step of the loop that reads the stream: it reads a batch, reads checkpoints, or takes the batch.
func (l *worldLease) fetch(count int, fails bool) {
	n := l.n
	switch {
	case l.records == nil:
		if l.room = n.m.Owned(l.index()) == l.p && l.p.HasRoom(n.now()); !l.room {
			return
		}
		entries, gap := l.s.read(l.cursor, count)
		if gap && l.s.Logged() && !l.resolveGap(l.cursor) {
			return
		}
		if len(entries) == 0 {
			if gap {
				l.cursor = groups.StreamID{}
			}
			return
		}
		l.last = entries[len(entries)-1].id
		for _, e := range entries {
			l.records = append(l.records, l.record(e.fact, e))
		}
		l.known, l.missing = Checkpoints{}, nil
	case fails:
		l.records = nil
	case len(l.missing) > 0:
		l.known.Add(l.missing, l.s.checkpointsOf(l.missing))
		l.missing = nil
	default:
		if l.missing = l.p.Fetched(l.records, l.last, &l.known); len(l.missing) == 0 {
			l.cursor, l.records = l.last, nil
		}
	}
}

// resolveGap finds out why an entry is gone. It reports false if the lease has ended.
func (l *worldLease) resolveGap(gone groups.StreamID) bool {
	trimmed, first := l.s.trimmed(gone)
	l.n.w.note("%s misses %v of %s, trimmed %v, first %v", l.n.name, gone, l.s.Stream, trimmed, first)
	if !trimmed {
		l.n.lose(l, true)
		return false
	}
	l.p.Truncated(first)
	return true
}

func (l *worldLease) index() int { return slices.Index(l.n.w.partitions, l.s) }

// backfill takes the next step of the loop that reads the log.
func (l *worldLease) backfill(count int, fails bool) {
	switch {
	case l.pages != nil || l.heads != nil || len(l.step.Open) > 0:
		l.endStep(fails)
		l.steps = true
	default:
		l.steps = false
		if l.step = l.p.NextStep(); l.step.Pages != nil || l.step.Open != nil || l.step.Walk {
			l.steps = true
			l.beginStep(count)
		}
	}
}

func (l *worldLease) beginStep(count int) {
	switch {
	case l.step.Pages != nil:
		r := l.step.Pages
		if !r.Known.IsZero() && !l.s.exists(r.Known) {
			if l.resolveGap(r.Known) {
				l.p.BackfillFailed(r)
			}
			return
		}
		l.witness = l.s.lastEntry()
		for _, want := range r.Ranges {
			events, head, err := l.s.page(want, count)
			page := Page{Head: head, Err: err}
			for _, f := range events {
				page.Records = append(page.Records, l.record(f, worldEntry{seq: f.seq}))
			}
			l.pages = append(l.pages, page)
		}
	case l.step.Walk:
		l.heads, l.next = l.s.heads(l.step.Cursor, count)
		if l.heads == nil {
			l.heads = []ports.ChatHead{}
		}
		l.stepKnown, l.stepNeeds = Checkpoints{}, nil
	}
}

func (l *worldLease) endStep(fails bool) {
	step := l.step
	done := func() { l.step, l.pages, l.heads = Step{}, nil, nil }
	switch {
	case step.Pages != nil && fails:
		l.p.BackfillFailed(step.Pages)
		done()
	case step.Pages != nil:
		l.p.Backfilled(step.Pages, l.pages, l.witness, l.n.now())
		done()
	case step.Open != nil && fails:
		l.p.OpenFailed(step.Open)
		done()
	case step.Open != nil:
		l.p.Opened(step.Open, l.s.checkpointsOf(step.Open))
		done()
	case fails:
		done()
	case l.next == 0 && l.s.listHole:
		l.p.WalkFailed(&ports.CorruptError{})
		done()
	case len(l.stepNeeds) > 0:
		l.stepKnown.Add(l.stepNeeds, l.s.checkpointsOf(l.stepNeeds))
		l.stepNeeds = nil
	default:
		if l.stepNeeds = l.p.Walked(l.heads, l.next, len(l.s.chats), &l.stepKnown); len(l.stepNeeds) == 0 {
			done()
		}
	}
}

// checkpointsOf reads checkpoints.
func (s *worldPartition) checkpointsOf(chats []string) []domain.Seq {
	seqs := make([]domain.Seq, len(chats))
	for i, c := range chats {
		seqs[i] = s.store.checkpoints[c]
	}
	return seqs
}

// overlapStep ends the overlap with an earlier owner when its time has come.
func (l *worldLease) overlapStep() {
	if !l.endOverlap.IsZero() && !l.n.now().Before(l.endOverlap) {
		l.endOverlap = time.Time{}
		l.p.OverlapEnded(l.s.lastEntry())
	}
}

func (w *world) of(p *Partition) *worldPartition {
	for _, s := range w.partitions {
		if s.Partition == p.Partition {
			return s
		}
	}
	return nil
}
