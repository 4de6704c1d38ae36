package porttest

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// groupModel is what the state of the group "g" on a partition must be, and the leases of its members.
type groupModel struct {
	*groupsTest
	rt  *rapid.T
	ids []groups.StreamID // entries of the stream

	now      time.Duration // since the beginning, as far as the clock was set forward
	owner    string
	until    time.Duration
	epoch    uint64
	number   uint64 // of the last commit
	position int    // entries up to the position
	walk     groups.Walk
	overlap  time.Duration
	had      bool // there was an owner
	revised  int  // decisions

	checkpoints map[string]domain.Seq
	left        map[string]groups.ChatState
	failing     map[string]groups.Progress
	letters     []modelLetter
	heads       map[string]domain.Seq

	leases map[string]*modelLease // of the members, also those that were fenced
}

// modelLetter is a dead letter and its retries.
type modelLetter struct {
	groups.Letter
	id      string // "" until it was listed
	storeID string // "" until it was retried
	mark    *groups.RetryMark
}

// modelLease is a lease as its owner knows it.
type modelLease struct {
	epoch    uint64
	number   uint64
	last     *groups.Commit
	result   groups.CommitResult
	revision string
	revised  int
}

const modelChats = 3

// testGroupModel compares a group with a model.
func testGroupModel(t *testing.T, open func(t *testing.T) GroupsRig) {
	g := newGroupsTest(t, open(t))
	g.chat(modelChats)
	heads := make(map[string]domain.Seq)
	rapid.Check(t, func(rt *rapid.T) {
		m := &groupModel{
			groupsTest: g.with(rt), rt: rt, checkpoints: make(map[string]domain.Seq), left: make(map[string]groups.ChatState),
			failing: make(map[string]groups.Progress), heads: heads, leases: make(map[string]*modelLease),
		}
		m.create(m.store, groups.Start{Beginning: true})
		rt.Cleanup(func() {
			if err := m.Stores.Delete(t.Context(), "g"); err != nil {
				t.Error(err)
			}
		})
		m.walk.Active = true
		m.ids = m.groupsTest.ids()
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			m.step()
			m.check()
		}
	})
}

// step makes one random change.
func (m *groupModel) step() {
	switch rapid.SampledFrom([]string{"append", "acquire", "acquire", "commit", "commit", "commit", "commit", "repeat", "skip", "retry", "retry", "drop", "release", "rebuild", "pass"}).Draw(m.rt, "step") {
	case "append":
		chat := m.drawChat()
		m.Append(chat, 1)
		m.heads[chat]++
		m.ids = m.groupsTest.ids()
	case "acquire":
		m.acquire(m.drawMember())
	case "commit":
		m.commitNext()
	case "repeat":
		m.repeat()
	case "skip":
		m.skip()
	case "retry":
		m.decide(false)
	case "drop":
		m.decide(true)
	case "release":
		m.release()
	case "rebuild":
		if rapid.IntRange(0, 3).Draw(m.rt, "really") == 0 {
			m.rebuild()
		}
	case "pass":
		d := rapid.SampledFrom([]time.Duration{4 * time.Minute, groupLease + time.Minute}).Draw(m.rt, "time")
		m.Advance(d)
		m.now += d
	}
}

func (m *groupModel) drawChat() string {
	return m.chat(rapid.IntRange(0, modelChats-1).Draw(m.rt, "chat"))
}

func (m *groupModel) drawMember() string {
	return rapid.SampledFrom([]string{"a", "b"}).Draw(m.rt, "member")
}

func (m *groupModel) owned() bool { return m.until > m.now }

func (m *groupModel) acquire(member string) {
	lost := rapid.IntRange(0, 4).Draw(m.rt, "lost") == 0
	lease := m.tryAcquire(m.store, m.p, applicant(member), lost)
	if m.owned() && m.owner != member {
		m.same("lease of a partition that another member owns", lease, (*groups.Lease)(nil))
		return
	}
	if lease == nil || lease.Epoch <= m.epoch {
		m.t.Fatalf("the lease is %+v after the epoch %d", lease, m.epoch)
	}
	if m.owner != "" && m.owner != member {
		m.overlap = max(m.overlap, groupLease)
	}
	m.walk.Active = m.walk.Active || lost || len(m.ids) == 0
	want := groups.Lease{
		Epoch: lease.Epoch, Position: m.at(m.position), End: m.at(len(m.ids)), Walk: m.walk.Active, Revision: lease.Revision, HadOwner: m.had, Overlap: m.overlap,
		Left: some(m.left), Failing: some(m.failing), Retries: m.retries(), DeadLetters: len(m.letters),
	}
	got := *lease
	got.Left, got.Failing, got.Retries = some(got.Left), some(got.Failing), untimed(got.Retries)
	m.same("lease", got, want)
	m.owner, m.until, m.epoch, m.number, m.had = member, m.now+groupLease, lease.Epoch, 0, true
	m.leases[member] = &modelLease{epoch: lease.Epoch, revision: lease.Revision, revised: m.revised}
}

// at returns the id of the n-th entry, zero for none.
func (m *groupModel) at(n int) groups.StreamID {
	if n == 0 {
		return groups.StreamID{}
	}
	return m.ids[n-1]
}

// retries returns the marks of the letters.
func (m *groupModel) retries() map[string]groups.RetryMark {
	marks := make(map[string]groups.RetryMark)
	for _, l := range m.letters {
		if l.mark != nil {
			marks[l.storeID] = *l.mark
		}
	}
	return some(marks)
}

// untimed returns marks without the times that the store has set.
func untimed(marks map[string]groups.RetryMark) map[string]groups.RetryMark {
	marks = maps.Clone(some(marks))
	for id, mark := range marks {
		mark.At = time.Time{}
		marks[id] = mark
	}
	return marks
}

// commitNext makes the next commit of a member, which may be fenced.
func (m *groupModel) commitNext() {
	member := m.drawMember()
	lease := m.leases[member]
	if lease == nil {
		return
	}
	position := m.position
	c := m.drawCommit(lease.number + 1)
	result := m.commit(lease.epoch, *c)
	if lease.epoch != m.epoch {
		m.position = position
		m.fails("a fenced commit", result.Err, groups.ErrFenced)
		return
	}
	m.ok(result.Err)
	written := m.apply(c)
	want := groups.CommitResult{Revision: result.Revision, DeadLetters: len(m.letters), Written: written}
	m.same("result", result, want)
	if (result.Revision != lease.revision) != (m.revised != lease.revised) {
		m.t.Fatalf("the revision is %q after %q and %d decisions", result.Revision, lease.revision, m.revised-lease.revised)
	}
	lease.number, lease.last, lease.result, lease.revision, lease.revised = lease.number+1, c, result, result.Revision, m.revised
	m.number, m.until = lease.number, m.now+groupLease
}

// repeat makes a member's last commit again.
func (m *groupModel) repeat() {
	lease := m.leases[m.drawMember()]
	if lease == nil || lease.last == nil {
		return
	}
	result := m.commit(lease.epoch, *lease.last)
	if lease.epoch != m.epoch {
		m.fails("a fenced commit", result.Err, groups.ErrFenced)
		return
	}
	want := lease.result
	want.Written, want.DeadLetters, want.Revision = 0, len(m.letters), result.Revision
	m.same("result of a repeated commit", result, want)
	m.until = m.now + groupLease
}

// skip makes a commit out of turn.
func (m *groupModel) skip() {
	lease := m.leases[m.drawMember()]
	if lease == nil {
		return
	}
	position := m.position
	c := m.drawCommit(lease.number + uint64(rapid.IntRange(2, 3).Draw(m.rt, "ahead"))) //nolint:gosec // small
	m.position = position
	want := groups.ErrLostWrites
	if lease.epoch != m.epoch {
		want = groups.ErrFenced
	}
	m.fails("a commit out of turn", m.commit(lease.epoch, *c).Err, want)
}

// drawCommit draws a commit. It moves the position of the model.
func (m *groupModel) drawCommit(number uint64) *groups.Commit {
	c := &groups.Commit{Number: number}
	if m.position < len(m.ids) && rapid.Bool().Draw(m.rt, "moves") {
		to := rapid.IntRange(m.position+1, len(m.ids)).Draw(m.rt, "position")
		c.Position, c.Passed, m.position = m.ids[to-1], to-m.position, to
	}
	switch rapid.IntRange(0, 5).Draw(m.rt, "walk") {
	case 0:
		c.Walk = groups.Walk{Changed: true}
	case 1:
		c.Walk = groups.Walk{Changed: true, Active: true, Checked: rapid.IntRange(0, 5).Draw(m.rt, "checked"), Total: 5}
	}
	if len(m.ids) > 0 && rapid.Bool().Draw(m.rt, "seen") {
		c.Seen = []groups.StreamID{m.ids[rapid.IntRange(0, len(m.ids)-1).Draw(m.rt, "id")]}
	}
	for i := range modelChats {
		chat := m.chat(i)
		if rapid.IntRange(0, 2).Draw(m.rt, "finishes") == 0 {
			c.Checkpoints = append(c.Checkpoints, groups.Checkpoint{Chat: chat, Seq: domain.Seq(rapid.IntRange(1, 9).Draw(m.rt, "seq"))}) //nolint:gosec // small
		}
		if rapid.IntRange(0, 2).Draw(m.rt, "leaves") == 0 {
			c.Left = append(c.Left, groups.LeftChat{Chat: chat, State: rapid.SampledFrom([]groups.ChatState{groups.Streamed, groups.Behind, groups.Parked}).Draw(m.rt, "state")})
		}
		if rapid.IntRange(0, 2).Draw(m.rt, "fails") == 0 {
			p := groups.Progress{}
			if rapid.Bool().Draw(m.rt, "some") {
				p = drawProgress(m.rt)
			}
			c.Failing = append(c.Failing, groups.FailingChat{Chat: chat, Progress: p})
		}
	}
	for _, l := range m.letters {
		if l.storeID != "" && rapid.IntRange(0, 3).Draw(m.rt, "resolves") == 0 {
			c.Resolved = append(c.Resolved, l.storeID)
		}
	}
	for range rapid.IntRange(0, 2).Draw(m.rt, "letters") {
		c.Letters = append(c.Letters, m.drawLetter(c.Resolved))
	}
	return c
}

// drawLetter draws a new letter, or one of a retry that has failed.
func (m *groupModel) drawLetter(resolved []string) groups.Letter {
	chat := rapid.IntRange(0, modelChats-1).Draw(m.rt, "chat")
	l := m.letterFor(chat, domain.Seq(rapid.IntRange(1, 9).Draw(m.rt, "seq"))) //nolint:gosec // small
	l.Parked = rapid.Bool().Draw(m.rt, "parked")
	known := []string{"1-1"} // a letter that is gone
	for _, k := range m.letters {
		if k.storeID != "" && !slices.Contains(resolved, k.storeID) {
			known = append(known, k.storeID)
		}
	}
	if rapid.IntRange(0, 2).Draw(m.rt, "retried") == 0 {
		l.Of, l.InOrder = rapid.SampledFrom(known).Draw(m.rt, "of"), rapid.Bool().Draw(m.rt, "in order")
		l.Attempts += rapid.IntRange(1, 5).Draw(m.rt, "attempts")
		l.Mark = groups.RetryMark{Attempts: l.Attempts, Parked: l.Parked, Seq: l.Seq, Chat: l.Chat, Reason: fmt.Sprint("again ", l.Attempts)}
	}
	return l
}

// apply makes a commit, apart from the position.
func (m *groupModel) apply(c *groups.Commit) (written int) {
	if c.Walk.Changed {
		m.walk = groups.Walk{Active: c.Walk.Active, Checked: c.Walk.Checked, Total: c.Walk.Total}
	}
	for _, checkpoint := range c.Checkpoints {
		m.checkpoints[checkpoint.Chat] = checkpoint.Seq
	}
	for _, l := range c.Left {
		if m.left[l.Chat] = l.State; l.State == groups.Streamed {
			delete(m.left, l.Chat)
		}
	}
	for _, f := range c.Failing {
		if m.failing[f.Chat] = f.Progress; f.Progress.IsZero() {
			delete(m.failing, f.Chat)
		}
	}
	m.letters = slices.DeleteFunc(m.letters, func(l modelLetter) bool { return l.storeID != "" && slices.Contains(c.Resolved, l.storeID) })
	for _, l := range c.Letters {
		i := slices.IndexFunc(m.letters, func(known modelLetter) bool { return l.Of != "" && known.storeID == l.Of })
		switch {
		case i >= 0:
			mark := l.Mark
			m.letters[i].mark = &mark
		case l.Of == "" || l.InOrder:
			m.letters = append(m.letters, modelLetter{Letter: l})
		}
	}
	return 0
}

// decide decides about a letter.
func (m *groupModel) decide(drop bool) {
	if len(m.letters) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.letters)-1).Draw(m.rt, "letter")
	l := &m.letters[i]
	m.revised++
	decided := m.Stores.Retry
	if drop {
		decided = m.Stores.Drop
	}
	before := m.changes().Retries
	m.ok(decided(m.rt.Context(), "g", l.id))
	parked := l.Parked
	if l.mark != nil && l.mark.Attempts > 0 {
		parked = l.mark.Parked
	}
	parked = parked && m.left[l.Chat] == groups.Parked
	if parked {
		m.left[l.Chat] = groups.Behind
		delete(m.failing, l.Chat)
	}
	if drop {
		if parked {
			m.checkpoints[l.Chat] = l.Seq
		}
		m.letters = slices.Delete(m.letters, i, i+1)
		return
	}
	m.retried(l, parked)
	if l.storeID == "" {
		for id := range m.changes().Retries {
			if _, known := before[id]; !known {
				l.storeID = id
			}
		}
	}
}

// retried marks a letter that was retried.
func (m *groupModel) retried(l *modelLetter, parked bool) {
	mark := groups.RetryMark{State: groups.RetryOutOfOrder}
	if l.mark != nil {
		mark = *l.mark
	}
	switch {
	case parked:
		if mark.Attempts == 0 {
			mark = groups.RetryMark{Attempts: l.Attempts, Parked: true, Seq: l.Seq, Chat: l.Chat}
		}
		mark.State = groups.RetryInOrder
	case mark.State != groups.RetryInOrder:
		mark.State = groups.RetryOutOfOrder
	}
	l.mark = &mark
}

func (m *groupModel) release() {
	member := m.drawMember()
	lease := m.leases[member]
	if lease == nil {
		return
	}
	overlap := rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(m.rt, "overlap")
	m.ok(m.store.Release(m.rt.Context(), []groups.Release{{Partition: m.p, Epoch: lease.epoch, Overlap: overlap}}))
	delete(m.leases, member)
	if lease.epoch == m.epoch {
		m.owner, m.until, m.overlap = "", 0, overlap
	}
}

func (m *groupModel) rebuild() {
	m.ok(m.Stores.Rebuild(m.rt.Context(), "g"))
	clear(m.checkpoints)
	clear(m.left)
	clear(m.failing)
	m.letters, m.walk, m.until, m.had = nil, groups.Walk{Active: true}, 0, true // the rebuild counts as an owner
	m.epoch++
}

// check compares the group with the model.
func (m *groupModel) check() {
	state := m.saved()
	for i, d := range state.Letters {
		if i < len(m.letters) {
			m.letters[i].id = d.ID
		}
	}
	var want []groups.DeadLetter
	for _, l := range m.letters {
		d := m.dead(l.Letter)
		if l.mark != nil {
			l.mark.Apply(&d)
			if l.mark.Reason != "" {
				d.Reason = l.mark.Reason
			}
		}
		want = append(want, d)
	}
	m.same("dead letters", lettersOf(state.Letters), want)
	state.Changes.Retries = untimed(state.Changes.Retries)
	m.same("changes", state.Changes, groups.Changes{Walk: m.walk.Active, Left: some(m.left), Retries: m.retries()})
	for i := range modelChats {
		m.same("checkpoint", state.Checkpoints[m.chat(i)], m.checkpoints[m.chat(i)])
	}
	owner := ""
	if m.owned() {
		owner = m.owner
	}
	got := state.State
	m.same("state", []any{got.Owner, got.Epoch, got.Position, got.Lag, got.Failing, got.CatchesUp, got.Letters},
		[]any{owner, m.epoch, m.at(m.position).String(), m.lag(), len(m.failing), m.walk.Active, len(m.letters)})
}

// lag returns the number of entries after the position and of unfinished events of chats that are behind.
func (m *groupModel) lag() uint64 {
	lag := uint64(len(m.ids) - m.position) //nolint:gosec // a count
	for chat, as := range m.left {
		if as == groups.Behind {
			lag += m.failing[chat].Unfinished(m.checkpoints[chat], m.heads[chat])
		}
	}
	return lag
}
