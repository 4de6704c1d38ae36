package delivery

import (
	"errors"
	"time"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// fate is what becomes of a commit.
type fate int

const (
	answered   fate = iota
	answerLost      // it was made
	notMade
)

// sendCommits sends the commits that the member has. The store makes them now or at the answer.
func (n *node) sendCommits(now bool) {
	c := &n.commits
	n.wants.commit = false
	n.renewal = n.now().Add(n.w.config.Lease / 12)
	c.commits, c.parts = n.m.Commits(n.now(), c.commits, c.parts)
	if len(c.commits) == 0 {
		return
	}
	n.w.note("%s sends %d commits", n.name, len(c.commits))
	c.sent, c.results = n.now(), nil
	if now {
		n.makeCommits()
	}
}

func (n *node) makeCommits() {
	c := &n.commits
	for _, change := range c.commits {
		c.results = append(c.results, n.w.ofPartition(change.Partition).commit(change, n.w.config.Lease))
	}
}

func (w *world) ofPartition(p groups.Partition) *worldPartition {
	for _, s := range w.partitions {
		if s.Partition == p {
			return s
		}
	}
	return nil
}

// endCommits gives the member the answers to its commits.
func (n *node) endCommits(what fate) {
	c := &n.commits
	sent := c.sent
	if c.results == nil && what != notMade {
		n.makeCommits()
	}
	c.sent = time.Time{}
	if what != answered {
		n.wants.commit = true
		return
	}
	for i, r := range c.results {
		p := c.parts[i]
		l, _ := p.Data.(*worldLease)
		if r.Err != nil {
			n.lose(l, errors.Is(r.Err, groups.ErrLostWrites))
			continue
		}
		if !p.Over() {
			l.deadline = sent.Add(n.w.config.Lease - Margin(n.w.config.Lease))
		}
		if p.Committed(sent, r) {
			c.reload, c.revision = append(c.reload, p), append(c.revision, r.Revision)
		}
	}
}

// reload reads what others have changed of a partition, and applies it.
func (n *node) reload(fails bool) {
	c := &n.commits
	p, revision := c.reload[0], c.revision[0]
	c.reload, c.revision = c.reload[1:], c.revision[1:]
	if fails || p.Over() {
		return
	}
	s := n.w.of(p)
	changes := s.changes()
	r := p.Reload(changes)
	n.applyReload(p, changes, r, revision)
}

func (n *node) applyReload(p *Partition, changes groups.Changes, r Reload, revision string) {
	s := n.w.of(p)
	var letters []Retried
	for _, id := range r.Letters {
		i := s.store.letter(id)
		if i < 0 {
			continue
		}
		d := s.store.dead[i]
		f := n.w.facts[d.UUID]
		record := &Record{Entry: groups.Entry{UUID: d.UUID, Chat: d.Chat, Seq: d.Seq, Payload: d.Payload}, Key: f.key, Data: f}
		letters = append(letters, Retried{record, d, s.store.checkpoints[d.Chat]})
	}
	resumed := make([]domain.Seq, 0, len(r.Resumed))
	for _, chat := range r.Resumed {
		resumed = append(resumed, s.store.checkpoints[chat])
		if l, ok := p.Data.(*worldLease); ok {
			for _, f := range s.chat(chat).events { // they are delivered again
				delete(l.ended, f)
				delete(l.attempts, f)
			}
		}
	}
	p.Updated(changes, r, resumed, letters, revision)
}

// deliver takes records of the member for handlers.
func (n *node) deliver(count int, batches bool) {
	now := n.now()
	defer n.take()
	if batches {
		for _, b := range n.m.DeliverBatches(now, count, 3) {
			n.delivered(b, now)
		}
		return
	}
	var into [8]*Record
	for _, r := range into[:n.m.Deliver(now, into[:min(count, len(into))])] {
		n.delivered([]*Record{r}, now)
	}
}

func (n *node) delivered(b []*Record, now time.Time) {
	l, _ := b[0].Partition().Data.(*worldLease)
	n.w.checkDelivered(n, l, b, now)
	n.out = append(n.out, flight{lease: l, records: b, start: b[0].Start()})
}

// beginHandler gives the first delivery to a handler, or completes it if it must not begin.
func (n *node) beginHandler() {
	f := n.out[0]
	n.out = n.out[1:]
	if !n.m.MayBegin(f.records[0], n.now()) {
		n.complete(f, 0, Outcome{Kind: NotBegun}, 0)
		return
	}
	if r := f.records[0]; r.Broken != "" {
		truth(r).announced = true
		n.complete(f, 0, Outcome{Kind: FailedForGood, Unreadable: true, Cause: "broken"}, 0)
		return
	}
	n.w.checkBegin(n, &f)
	n.running = append(n.running, f)
}

// endHandler ends a handler. done is the number of finished records of a batch.
func (n *node) endHandler(i, done int, o Outcome, later time.Duration) {
	f := n.running[i]
	n.running = append(n.running[:i:i], n.running[i+1:]...)
	n.complete(f, done, o, later)
}

func (n *node) complete(f flight, done int, o Outcome, later time.Duration) {
	n.w.completing(n, f, done, o, later)
	if len(f.records) == 1 && later == 0 {
		n.m.Completed(f.records[0], f.start, o, n.now())
	} else {
		n.m.CompletedBatch(f.records, f.start, done, o, later, n.now())
	}
	n.take()
}

func truth(r *Record) *fact {
	f, _ := r.Data.(*fact)
	return f
}
