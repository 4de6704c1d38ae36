package delivery

import (
	"runtime/debug"
	"time"

	"chatcore/ports/groups"
)

func stack() string { return string(debug.Stack()) }

// settle ends the faults, and runs all processes until every event is finished and the store is clean.
func (w *world) settle() {
	w.settling = true
	for _, n := range w.nodes {
		n.frozen = false
		n.m.config.DeadLetterBound = plenty
		n.setConcurrency(w.config.Concurrency)
	}
	for _, s := range w.partitions {
		s.listHole = false
		for _, c := range s.chats {
			c.hole = false
		}
	}
	w.note("the faults end")
	w.until(func(s *worldPartition) string { return s.unsettled(true) })
	for _, s := range w.partitions {
		for range s.store.dead {
			for _, d := range s.store.dead {
				s.decide(d.ID, len(s.store.dead)%2 == 0)
			}
		}
	}
	w.note("the dead letters are decided")
	w.until(func(s *worldPartition) string { return s.unsettled(false) })
	w.checkEnd()
}

// until runs all processes until no partition has anything left.
func (w *world) until(left func(s *worldPartition) string) {
	const most = 2000 // rounds of 100 ms
	reason := ""
	for range most {
		if reason = w.firstLeft(left); reason == "" {
			return
		}
		w.round()
		w.advance(100 * time.Millisecond)
	}
	w.fail("not settled: %s", reason)
}

func (w *world) firstLeft(left func(s *worldPartition) string) string {
	for _, s := range w.partitions {
		if reason := left(s); reason != "" {
			return s.Stream + ": " + reason
		}
	}
	return ""
}

// round lets each process do what it has to do now.
func (w *world) round() {
	for _, n := range append([]*node(nil), w.nodes...) {
		n.work()
	}
	if w.steps++; w.steps%16 == 0 {
		for _, n := range w.nodes {
			w.checkInside(n)
		}
	}
}

func (n *node) work() {
	if n.wants.assign || !n.now().Before(n.nextBeat) || len(n.acquired) > 0 {
		n.beat()
		n.begin()
	}
	n.take()
	for _, l := range n.leases {
		if l != nil && !n.ends {
			l.work()
			n.take()
		}
	}
	for range 3 {
		n.scanOnce(8, false)
		n.take()
	}
	for before := -1; before != n.w.begins; {
		before = n.w.begins
		n.deliver(8, n.w.batches())
		for len(n.out) > 0 {
			n.beginHandler()
		}
		for len(n.running) > 0 {
			n.endHandler(0, len(n.running[0].records), Outcome{}, 0)
		}
		n.take()
	}
	if n.commits.sent.IsZero() && (n.wants.commit || !n.now().Before(n.renewal)) {
		n.sendCommits(true)
	}
	if !n.commits.sent.IsZero() {
		n.endCommits(answered)
	}
	for len(n.commits.reload) > 0 {
		n.reload(false)
	}
	n.take()
	if n.ends {
		n.leave()
	}
}

func (l *worldLease) work() {
	for range 4 {
		if l.n.m.Owned(l.index()) != l.p {
			return
		}
		l.fetch(mostRead, false)
		if l.steps && l.s.Logged() && l.n.m.Owned(l.index()) == l.p {
			l.backfill(64, false)
		}
		l.n.take()
	}
}

// unsettled returns what is left to be done on a partition, "" if nothing is.
func (s *worldPartition) unsettled(letters bool) string {
	g := &s.store
	switch {
	case g.walk:
		return "a walk"
	case s.after(g.position) < len(s.entries):
		return "entries after " + g.position.String()
	case !letters && len(g.dead) > 0:
		return "dead letters"
	}
	for _, c := range s.chats {
		if g.left[c.id] == groups.Parked && letters {
			continue
		}
		if g.checkpoints[c.id] < c.head() {
			return "events of " + c.id
		}
		if g.left[c.id] != groups.Streamed {
			return "the mark of " + c.id
		}
	}
	for chat := range g.failing {
		if g.left[chat] != groups.Parked || !letters {
			return "failures of " + chat
		}
	}
	return ""
}

// checkEnd checks that every event and every entry is finished.
func (w *world) checkEnd() {
	for _, s := range w.partitions {
		for _, c := range s.chats {
			for _, f := range c.events {
				if !f.finished() {
					w.fail("%s/%d is never finished", f.chat, f.seq)
				}
			}
		}
	}
	for _, f := range w.facts {
		if f.seq == 0 && !f.finished() && !f.lost {
			w.fail("the entry %s of another program is never finished", f.uuid)
		}
		if w.once(f) && f.begun != 1 && !f.broken {
			w.fail("%s/%d was delivered %d times", f.chat, f.seq, f.begun)
		}
	}
}
