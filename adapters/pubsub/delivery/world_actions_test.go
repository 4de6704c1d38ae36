package delivery

import (
	"slices"
	"time"

	"chatcore/ports/groups"
)

// act takes one random step.
func (w *world) act(d *dice) {
	s := w.partitions[d.roll(len(w.partitions))]
	n := w.nodes[d.roll(len(w.nodes))]
	switch kind := d.roll(100); {
	case kind < 12:
		if d.chance(w.busy) {
			w.actLog(s, d)
		}
	case kind < 16 && !w.faultless:
		w.actStore(s, d)
	case kind < 17:
		w.actLife(n, d)
	case kind < 18 && !w.faultless:
		w.actFault(s, n, d)
	case kind < 24:
		w.pass(d)
	case n.frozen:
	case kind < 32:
		n.beatOrBegin(d)
	case kind < 45:
		w.actCommit(n, d)
	case kind < 60:
		w.actRead(n, d)
	case kind < 64:
		n.scanOnce(1+d.roll(3), !w.faultless && d.chance(10))
	case kind < 74:
		n.deliver(1+d.roll(3), w.batches())
	case kind < 84:
		if len(n.out) > 0 {
			n.beginHandler()
		}
	default:
		w.actHandler(n, d)
	}
}

func (w *world) batches() bool { return w.config.Concurrency%2 == 0 }

// pass lets time pass.
func (w *world) pass(d *dice) {
	steps := [...]time.Duration{time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond, time.Second}
	step := steps[d.roll(len(steps))]
	if w.faultless {
		step = min(step, 100*time.Millisecond)
	} else if d.chance(3) {
		step = w.config.Lease
	}
	w.advance(step)
}

// advance lets time pass, and the members see it, unless they are frozen.
func (w *world) advance(step time.Duration) {
	w.now = w.now.Add(step)
	for _, n := range w.nodes {
		if !n.frozen {
			n.tick()
		}
	}
}

func (n *node) tick() {
	n.m.Tick(n.now())
	n.take()
	if n.wants.reclaim {
		n.reclaim()
	}
	for _, l := range n.leases {
		if l != nil {
			l.overlapStep()
		}
	}
}

func (w *world) actLog(s *worldPartition, d *dice) {
	switch kind := d.roll(20); {
	case kind == 0 || !s.Logged():
		f := w.newFact("", 0)
		f.broken = d.chance(30)
		s.add(worldEntry{fact: f, half: !f.broken && s.Logged() && d.chance(10)})
		f.broken = f.broken || s.entries[len(s.entries)-1].half
	case kind == 1 && !w.faultless:
		s.append(w.anyChat(d), false, false)
	case kind == 2 && !w.faultless:
		s.append(w.anyChat(d), true, true)
	case kind == 3 && !w.faultless && d.chance(30):
		c := s.chat(w.anyChat(d))
		f := w.newFact(c.id, 0)
		f.phantom, f.lost = true, true
		s.add(worldEntry{seq: c.head() + 1000, fact: f})
	default:
		chat := w.anyChat(d)
		for range 1 + d.roll(1+w.busy/30) {
			s.append(chat, true, false)
		}
	}
}

func (w *world) anyChat(d *dice) string { return [...]string{"a", "b", "c", "d", "e", "f"}[d.roll(6)] }

// actStore lets an operator decide, and the store trim.
func (w *world) actStore(s *worldPartition, d *dice) {
	g := &s.store
	switch kind := d.roll(40); {
	case kind < 6:
		if len(g.dead) > 0 {
			s.decide(g.dead[d.roll(len(g.dead))].ID, d.chance(60))
		}
	case kind < 30:
		s.trimPassed(1 + d.roll(6))
	case kind < 32:
		s.overrun(1 + d.roll(8))
	case kind < 33 && s.Logged() && d.chance(30):
		s.rebuild()
	case kind < 35 && s.Logged():
		if i := d.roll(len(s.entries) + 1); i < len(s.entries) && w.unread(s, s.entries[i].id) {
			s.entries[i].fact.streamed = false
			s.entries[i].fact.lost = s.entries[i].fact.lost || s.entries[i].seq == 0
			w.note("%s loses the entry %v", s.Stream, s.entries[i].id)
			s.entries = slices.Delete(s.entries, i, i+1)
		}
	case kind < 37:
		if len(s.chats) > 0 {
			c := s.chats[d.roll(len(s.chats))]
			c.hole = !c.hole
			w.note("the hole of %s: %v", c.id, c.hole)
		}
	case kind < 38:
		s.listHole = !s.listHole
	}
}

// unread reports whether no member has read an entry. An entry that is deleted later may become a position that is not there, which counts as a loss for
// ever.
func (w *world) unread(s *worldPartition, id groups.StreamID) bool {
	for _, n := range w.nodes {
		for _, l := range n.leases {
			if l != nil && l.s == s && (l.last.Compare(id) >= 0 || l.cursor.Compare(id) >= 0) {
				return false
			}
		}
	}
	return s.store.position.Compare(id) < 0
}

// actLife starts and ends processes in order.
func (w *world) actLife(n *node, d *dice) {
	switch kind := d.roll(20); {
	case kind < 4 && len(w.nodes) < 3:
		w.join()
	case kind < 6 && !n.frozen:
		n.drain()
	case kind < 12:
		for _, o := range w.nodes {
			if o.ends && !o.frozen {
				o.leave()
				return
			}
		}
	case kind < 16:
		n.setConcurrency([...]int{0, 1, w.config.Concurrency, w.config.Concurrency + 2}[d.roll(4)])
	}
}

// setConcurrency changes how many records may be in flight.
func (n *node) setConcurrency(concurrency int) {
	n.w.note("%s has the concurrency %d", n.name, concurrency)
	n.concurrency = concurrency
	n.m.SetConcurrency(concurrency, n.now())
	n.take()
}

// actFault does what goes wrong.
func (w *world) actFault(s *worldPartition, n *node, d *dice) {
	switch kind := d.roll(20); {
	case kind < 4:
		if len(s.entries) > 0 { // if the stream is empty, a loss looks like a trim
			s.save()
		}
	case kind < 6:
		if s.saved != nil && s.Logged() {
			s.failover()
		}
	case kind < 8:
		w.crash(n)
		w.join()
	case kind < 11:
		n.frozen = true
		w.note("%s is frozen", n.name)
	case kind < 16:
		for _, o := range w.nodes {
			o.frozen = false
		}
	case kind < 17:
		w.skew += w.config.Lease
		w.leaps++
	case kind < 18:
		w.skew -= w.config.Lease / 2
		w.leaps++
	default:
		n.offset += time.Duration(d.roll(4000)-2000) * time.Millisecond
		w.leaps++
	}
}

func (n *node) beatOrBegin(d *dice) {
	switch {
	case len(n.acquired) > 0:
		n.begin()
	case n.wants.assign || !n.now().Before(n.nextBeat) || d.chance(5):
		n.beat()
	}
	if n.ends {
		n.leave()
	}
}

func (w *world) actCommit(n *node, d *dice) {
	c := &n.commits
	switch {
	case len(c.reload) > 0:
		n.reload(!w.faultless && d.chance(10))
	case c.sent.IsZero():
		if n.wants.commit || !n.now().Before(n.renewal) {
			n.sendCommits(d.chance(50))
		}
	case w.faultless || !d.chance(20):
		n.endCommits(answered)
	case d.chance(50):
		n.endCommits(answerLost)
	case c.results == nil:
		n.endCommits(notMade)
	default:
		n.endCommits(answerLost)
	}
}

func (w *world) actRead(n *node, d *dice) {
	i := d.roll(len(n.leases))
	l := n.leases[i]
	if l == nil || n.ends {
		return
	}
	fails := !w.faultless && d.chance(5)
	if d.chance(50) || !l.s.Logged() {
		l.fetch(1+d.roll(mostRead), fails)
	} else if l.steps {
		l.backfill(1+d.roll(4), fails)
	}
}

// actHandler ends a handler.
func (w *world) actHandler(n *node, d *dice) {
	if len(n.running) == 0 {
		return
	}
	i := d.roll(len(n.running))
	f := n.running[i]
	done, o, later := d.roll(len(f.records)+1), Outcome{}, time.Duration(0)
	switch kind := d.roll(20); {
	case w.faultless || kind < 10:
		done = len(f.records)
		if len(f.records) > 1 && d.chance(30) {
			done, later = d.roll(len(f.records)), 50*time.Millisecond
		}
	case kind < 11:
		o = Outcome{Kind: Postponed, Cause: "postponed", After: [...]time.Duration{0, 50 * time.Millisecond, 20 * time.Second}[d.roll(3)]}
	case kind < 13:
		o = Outcome{Kind: Failed, Cause: "failed", After: [...]time.Duration{0, 20 * time.Millisecond, 5 * time.Second}[d.roll(3)]}
	case kind < 15:
		o = Outcome{Kind: FailedForGood, Cause: "permanent"}
	case kind < 18:
		o = Outcome{Kind: FailedTransiently, Cause: "transient"}
	case kind < 19:
		o = Outcome{Kind: FailedAsNewer, Cause: "newer"}
	case n.ends:
		o, done = Outcome{Kind: NotBegun}, 0
	}
	if o.Kind == Succeeded {
		if later == 0 {
			done = len(f.records)
		}
	} else {
		done = min(done, len(f.records)-1)
	}
	n.endHandler(i, done, o, later)
	if d.chance(10) { // a second outcome does not count
		n.m.Completed(f.records[0], f.start, Outcome{Kind: Failed}, n.now())
	}
}
