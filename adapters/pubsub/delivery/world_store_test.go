package delivery

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// groupStore is the state of the group on a partition, as the scripts in Redis keep it.
type groupStore struct {
	owner    string
	until    time.Time
	epoch    uint64
	hadOwner bool
	number   uint64 // of the last commit
	position groups.StreamID
	walk     bool
	revision int
	lease    time.Duration
	overlap  time.Duration
	lost     bool // answer to the last commit
	first    groups.StreamID

	checkpoints map[string]domain.Seq
	left        map[string]groups.ChatState
	failing     map[string]groups.Progress
	again       map[string]groups.RetryMark
	dead        []groups.StoredLetter
	letters     int // made
	shared      map[groups.StreamID]bool
}

func newGroupStore() groupStore {
	return groupStore{
		walk: true, checkpoints: make(map[string]domain.Seq), left: make(map[string]groups.ChatState), failing: make(map[string]groups.Progress),
		again: make(map[string]groups.RetryMark), shared: make(map[groups.StreamID]bool),
	}
}

func (g *groupStore) clone() groupStore {
	c := *g
	c.checkpoints, c.left, c.again, c.shared = maps.Clone(g.checkpoints), maps.Clone(g.left), maps.Clone(g.again), maps.Clone(g.shared)
	c.failing, c.dead = cloneFailing(g.failing), slices.Clone(g.dead)
	return c
}

func cloneFailing(failing map[string]groups.Progress) map[string]groups.Progress {
	c := make(map[string]groups.Progress, len(failing))
	for chat, p := range failing {
		c[chat] = cloneProgress(p)
	}
	return c
}

func cloneProgress(p groups.Progress) groups.Progress {
	p.Done, p.Others = slices.Clone(p.Done), slices.Clone(p.Others)
	return p
}

func (g *groupStore) letter(id string) int {
	return slices.IndexFunc(g.dead, func(d groups.StoredLetter) bool { return d.ID == id })
}

func (s *worldPartition) remove(id string) {
	g := &s.store
	if i := g.letter(id); i >= 0 {
		s.w.facts[g.dead[i].UUID].letters--
		g.dead = slices.Delete(slices.Clone(g.dead), i, i+1)
	}
	delete(g.again, id)
}

// knowsEndOf reports whether the store has that an event is finished.
func (g *groupStore) knowsEndOf(f *fact) bool {
	return f.seq <= g.checkpoints[f.chat] || slices.ContainsFunc(g.failing[f.chat].Done, func(r groups.SeqRange) bool { return r.From <= f.seq && f.seq <= r.To })
}

// gone reports whether an entry before the stream's first one is gone.
func (s *worldPartition) gone(id groups.StreamID) bool {
	first := s.first()
	return !id.IsZero() && (first.IsZero() || first.Compare(id) > 0)
}

// skipFirst records that the position becomes the stream's first entry: a walk delivers it if it is an event, and nothing if it is not.
func (s *worldPartition) skipFirst() {
	if len(s.entries) > 0 {
		f := s.entries[0].fact
		f.lost, f.streamed = f.lost || f.seq == 0, false
	}
}

// acquire is acquire.lua.
func (s *worldPartition) acquire(member string, lease time.Duration, lost bool) *groups.Lease {
	g, now := &s.store, s.w.storeNow()
	if g.owner != member && g.until.After(now) {
		if most := now.Add(cmp.Or(g.lease, lease)); g.until.After(most) {
			g.until = most
		}
		return nil
	}
	first := s.first()
	gone := first.IsZero() || first.Compare(g.position) > 0
	if !first.IsZero() && g.position.IsZero() {
		gone = s.added > len(s.entries)
	}
	if s.Logged() && (gone || lost) {
		if gone {
			g.position = first
			s.skipFirst()
		}
		g.walk = true
	}
	l := &groups.Lease{
		Epoch: max(g.epoch+1, uint64(now.UnixMilli())), Position: g.position, End: s.lastEntry(), Walk: g.walk, Revision: fmt.Sprint(g.revision), //nolint:gosec // after 1970
		HadOwner: g.hadOwner, Overlap: g.overlap, Left: maps.Clone(g.left), Failing: cloneFailing(g.failing), Retries: maps.Clone(g.again), DeadLetters: len(g.dead),
	}
	if g.owner != "" {
		s.w.abnormal++
	}
	if g.owner != "" && g.owner != member {
		l.Overlap = max(l.Overlap, cmp.Or(g.lease, lease))
	}
	g.owner, g.epoch, g.until, g.lease, g.overlap, g.number, g.hadOwner = member, l.Epoch, now.Add(lease), lease, l.Overlap, 0, true
	return l
}

// release is release.lua.
func (s *worldPartition) release(r groups.Release) {
	if g := &s.store; g.epoch == r.Epoch {
		g.owner, g.until, g.overlap = "", time.Time{}, r.Overlap
	}
}

// commit is commit.lua.
func (s *worldPartition) commit(c groups.OwnedCommit, lease time.Duration) (r groups.CommitResult) {
	g, now := &s.store, s.w.storeNow()
	if g.epoch != c.Epoch {
		return groups.CommitResult{Err: groups.ErrFenced}
	}
	if g.number == c.Number {
		g.until = now.Add(lease)
		return groups.CommitResult{Revision: fmt.Sprint(g.revision), Lost: g.lost, First: g.first, DeadLetters: len(g.dead)}
	}
	if g.number != c.Number-1 {
		return groups.CommitResult{Err: groups.ErrLostWrites}
	}
	for _, id := range c.Seen {
		if s.Logged() && !s.exists(id) && (g.position.IsZero() && !g.walk || !s.gone(id)) {
			return groups.CommitResult{Err: groups.ErrLostWrites}
		}
	}
	position, walk := c.Position, g.walk
	if c.Walk.Changed {
		walk = c.Walk.Active
	}
	g.lost = s.Logged() && (s.gone(g.position) || s.gone(c.Position))
	if g.lost {
		g.first, walk = s.first(), true
		if position.IsZero() || s.gone(position) {
			position = g.first
			g.position = position // it may be zero
			s.skipFirst()
		}
	}
	before := s.w.beginCommit(s, c)
	s.w.note("%s commit %d: %+v, seen %v, %+v, letters %d, position %v, lost %v", s.Stream, c.Number, c.Checkpoints, c.Seen, c.Failing, len(c.Letters), position, g.lost)
	for _, k := range c.Checkpoints {
		g.checkpoints[k.Chat] = k.Seq
	}
	for _, l := range c.Left {
		if g.left[l.Chat] = l.State; l.State == groups.Streamed {
			delete(g.left, l.Chat)
		}
	}
	for _, f := range c.Failing {
		if g.failing[f.Chat] = cloneProgress(f.Progress); f.Progress.IsZero() {
			delete(g.failing, f.Chat)
		}
	}
	for _, id := range c.Resolved {
		s.remove(id)
	}
	written := 0
	for _, l := range c.Letters {
		written += s.writeLetter(l)
	}
	g.number, g.until, g.walk = c.Number, now.Add(lease), walk
	if !position.IsZero() {
		g.position = position
	}
	s.w.checkCommit(s, c, before)
	return groups.CommitResult{Revision: fmt.Sprint(g.revision), Lost: g.lost, First: g.first, DeadLetters: len(g.dead), Written: written}
}

func (s *worldPartition) writeLetter(l groups.Letter) (written int) {
	g := &s.store
	s.w.facts[l.UUID].lettered = true
	if l.Of != "" && g.letter(l.Of) >= 0 {
		l.Mark.At = s.w.storeNow()
		g.again[l.Of] = l.Mark
		return 0
	}
	if l.Of != "" && !l.InOrder || !l.Entry.IsZero() && g.shared[l.Entry] {
		return 0
	}
	g.letters++
	if t := s.w.facts[l.UUID]; t.letters > 0 && t.seq > 0 && s.w.failovers == 0 { // an entry of another program has no checkpoint
		s.w.fail("%s/%d becomes a second dead letter", l.Chat, l.Seq)
	} else {
		t.letters++
	}
	g.dead = append(slices.Clone(g.dead), groups.StoredLetter{Letter: l, ID: fmt.Sprintf("%s-%d", s.Stream, g.letters)})
	if !l.Entry.IsZero() {
		g.shared[l.Entry] = true
		return 1
	}
	return 0
}

// decide is resolve.lua.
func (s *worldPartition) decide(id string, retry bool) {
	g := &s.store
	i := g.letter(id)
	if i < 0 {
		return
	}
	g.revision++
	d := g.dead[i]
	s.w.note("%s decides %s %s/%d, retry %v", s.Stream, id, d.Chat, d.Seq, retry)
	mark, marked := g.again[id]
	parked := d.Parked
	if marked && mark.Attempts > 0 {
		parked = mark.Parked
	}
	switch {
	case parked && g.left[d.Chat] == groups.Parked:
		if !retry {
			g.checkpoints[d.Chat] = d.Seq
			s.w.facts[d.UUID].skipped = true
			s.remove(id)
		} else {
			if !marked {
				mark = groups.RetryMark{Attempts: d.Attempts, Parked: true, Seq: d.Seq, Chat: d.Chat}
			}
			mark.State = groups.RetryInOrder
			g.again[id] = mark
		}
		delete(g.failing, d.Chat)
		s.w.facts[d.UUID].attempts = 0 // of the retry
		g.left[d.Chat] = groups.Behind
	case retry && !d.Entry.IsZero():
		s.remove(id)
		f := s.w.newFact("", 0)
		s.add(worldEntry{fact: f})
	case !retry:
		s.remove(id)
	case mark.State != groups.RetryInOrder:
		mark.State = groups.RetryOutOfOrder
		g.again[id] = mark
	}
}

// trimmed is Store.Trimmed.
func (s *worldPartition) trimmed(gone groups.StreamID) (bool, groups.StreamID) {
	return (!s.store.position.IsZero() || s.store.walk) && s.gone(gone), s.first()
}

// trimPassed removes at most n of the entries before the position.
func (s *worldPartition) trimPassed(n int) {
	if i := s.after(s.store.position); i > 1 {
		s.trim(min(n, i-1))
	}
}

// overrun removes the first n entries although the group has not passed them, but for the last one.
func (s *worldPartition) overrun(n int) {
	n = min(n, len(s.entries)-1)
	if n <= 0 || s.failedOver { // entries that a failover has lost look like trimmed ones
		return
	}
	g := &s.store
	for _, e := range s.entries[:n] {
		if e.id.Compare(g.position) > 0 {
			e.fact.lost = e.fact.lost || e.seq == 0
			e.fact.streamed = false // a walk that ends now may miss it, the head scan does not
		}
	}
	s.trim(n)
	if g.position.Compare(s.first()) >= 0 {
		return
	}
	g.revision++
	if s.Logged() {
		g.walk, g.position = true, s.first()
		s.skipFirst()
	}
}

// rebuild is rebuild.lua.
func (s *worldPartition) rebuild() {
	g := &s.store
	s.w.note("%s is rebuilt", s.Stream)
	g.walk, g.until = true, time.Time{}
	g.epoch++
	s.saved = nil
	g.checkpoints, g.left, g.again = make(map[string]domain.Seq), make(map[string]groups.ChatState), make(map[string]groups.RetryMark)
	g.failing, g.dead = make(map[string]groups.Progress), nil
	s.w.leaps++
	s.w.abnormal++
	for _, c := range s.chats {
		c.checked = 0
		for _, f := range c.events {
			f.handled, f.lettered, f.announced, f.skipped, f.letters = false, false, false, false, 0
		}
	}
}

func (s *worldPartition) changes() groups.Changes {
	return groups.Changes{Walk: s.store.walk, Left: maps.Clone(s.store.left), Retries: maps.Clone(s.store.again)}
}

// compare is Store.CompareHeads.
func (s *worldPartition) compare(cursor uint64, count int) (page ports.HeadPage) {
	heads, next := s.heads(cursor, count)
	page.Next, page.Compared, page.Total = next, len(heads), len(s.chats)
	for _, h := range heads {
		if h.Err != nil || h.Head > s.store.checkpoints[string(h.Chat)] {
			page.Ahead = append(page.Ahead, h)
		}
	}
	if next == 0 && s.listHole {
		page.Err = &ports.CorruptError{}
	}
	return page
}
