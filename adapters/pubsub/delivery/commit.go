package delivery

import (
	"time"

	"chatcore/ports/groups"
)

// Commits fills into with the commits of the partitions that have changes, or whose lease is to be renewed, and returns it with the partitions in the
// same order. A commit without an answer is returned again. All of them are answered, by [Partition.Committed] or [Member.Lost], or not, before the
// next call; they are valid until then.
func (m *Member) Commits(now time.Time, into []groups.OwnedCommit, partitions []*Partition) ([]groups.OwnedCommit, []*Partition) {
	into, partitions = into[:0], partitions[:0]
	for _, a := range m.assignments {
		p := a.owned
		if p == nil || p.pending == nil && !p.build(now) {
			continue
		}
		into = append(into, groups.OwnedCommit{Partition: p.Partition, Epoch: p.epoch, Commit: p.pending})
		partitions = append(partitions, p)
	}
	m.finished = 0
	return into, partitions
}

// build makes the next commit of the changes since the last one. It reports false if there are none and the lease needs no renewal.
func (p *Partition) build(now time.Time) bool {
	if len(p.dirty) == 0 && !p.changed && now.Sub(p.sent) < p.m.config.Lease/3 {
		return false
	}
	p.commits++
	c := p.spare
	if c == nil {
		c = &groups.Commit{}
	}
	*c = groups.Commit{
		Number: p.commits, Letters: p.letters, Resolved: p.resolved, Walk: p.walk,
		Seen: append(c.Seen[:0], p.seen...), Checkpoints: c.Checkpoints[:0], Left: c.Left[:0], Failing: c.Failing[:0],
	}
	p.letters, p.resolved, p.walk, p.changed = nil, nil, groups.Walk{}, false
	if n := len(p.seen); n > 0 {
		p.seen = append(p.seen[:0], p.seen[n-1])
	}
	for _, chat := range p.dirty {
		chat.dirty, chat.commit = false, p.commits
		p.save(chat, c)
	}
	p.dirty = p.dirty[:0]
	n, last := p.window.pass()
	if n > 0 {
		c.Passed = n
		if p.position = last; last.Compare(p.cutOff) >= 0 {
			c.Position = last
		}
		p.wake(true, false)
	}
	p.pending = c
	return true
}

// save adds the changes of a chat to a commit.
func (p *Partition) save(c *chat, to *groups.Commit) {
	if !c.foreign() {
		if c.ackedSeq != c.committedSeq {
			c.committedSeq = c.ackedSeq
			to.Checkpoints = append(to.Checkpoints, groups.Checkpoint{Chat: c.id, Seq: c.ackedSeq})
		}
		if c.mode == tailing && c.ackedSeq >= c.knownHead {
			c.skipped = false
		}
		if mark := c.mark(); mark != c.savedMark {
			to.Left = append(to.Left, groups.LeftChat{Chat: c.id, State: mark})
			c.savedMark = mark
		}
	}
	switch g := c.progress(); {
	case !g.IsZero():
		to.Failing = append(to.Failing, groups.FailingChat{Chat: c.id, Progress: g})
		c.failed, c.savedDone = true, len(g.Done) > 0
	case c.failed:
		to.Failing = append(to.Failing, groups.FailingChat{Chat: c.id})
		c.failed, c.savedDone = false, false
	}
	if c.waiting == 0 {
		return
	}
	for q := c.first; q != nil; q = q.after {
		if q.waiting && q.reserved {
			p.arranged = append(p.arranged, q)
		}
	}
}

// Committed applies the answer to the partition's commit, which was sent at a time. It reports whether others have changed the group since: the caller
// then reads the changes, and calls [Partition.Reload] and [Partition.Updated].
func (p *Partition) Committed(sent time.Time, result groups.CommitResult) (changed bool) {
	if p.over || p.pending == nil {
		return false
	}
	for _, d := range p.pending.Letters {
		delete(p.retrying, d.Of) // from now on another retry may begin
	}
	p.deadLetters = result.DeadLetters
	p.acked, p.spare, p.pending, p.sent = p.pending.Number, p.pending, nil, sent
	p.deadline = sent.Add(p.m.config.Lease - Margin(p.m.config.Lease))
	p.watchDeadline()
	for _, q := range p.arranged {
		if q.reserved {
			q.wait(false)
			p.show(q)
		}
	}
	p.arranged = p.arranged[:0]
	if !p.draining {
		p.resumeStalled()
	}
	if result.Lost {
		p.m.event(Event{Kind: StreamLost, Partition: p})
		p.Truncated(result.First)
	}
	if p.draining && p.running == 0 && p.committed() {
		p.m.signals.Assign = true
	}
	return result.Revision != p.revision
}

// resumeStalled makes the queues ready that could not be delivered.
func (p *Partition) resumeStalled() {
	for _, q := range p.stalled {
		p.show(q)
	}
	p.stalled = p.stalled[:0]
}
