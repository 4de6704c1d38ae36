package delivery

import (
	"slices"
	"time"

	"chatcore/ports/groups"
)

// beforeCommit is what the store had before a commit.
type beforeCommit struct {
	position groups.StreamID
	failing  []groups.Progress // of the commit's failing chats
}

func (w *world) beginCommit(s *worldPartition, c groups.OwnedCommit) (b beforeCommit) {
	b.position = s.store.position
	for _, f := range c.Failing {
		b.failing = append(b.failing, s.store.failing[f.Chat])
	}
	return b
}

// checkCommit checks what the store has after a commit.
func (w *world) checkCommit(s *worldPartition, c groups.OwnedCommit, before beforeCommit) {
	g := &s.store
	for _, l := range c.Left {
		w.note("%s marks %s as %v", s.Stream, l.Chat, l.State)
	}
	for i, f := range c.Failing {
		w.checkStarts(s, f.Chat, before.failing[i], f.Progress)
	}
	for _, chat := range s.chats {
		w.checkFinished(s, chat)
	}
	if g.walk {
		return
	}
	for _, e := range s.entries[s.after(before.position):s.after(g.position)] {
		if f := e.fact; e.seq == 0 && !f.finished() && !f.lost && (!w.config.Ephemeral || !f.broken) {
			w.fail("the position of %s passes the unfinished entry %v", s.Stream, e.id)
		}
	}
	for _, chat := range s.chats {
		w.checkPassed(s, chat)
	}
}

// checkFinished checks that the checkpoint and the progress of a chat claim no unfinished event.
func (w *world) checkFinished(s *worldPartition, chat *worldChat) {
	g := &s.store
	checkpoint := g.checkpoints[chat.id]
	if checkpoint > chat.head() {
		return // the chat's last events are lost
	}
	for _, f := range chat.events[min(chat.checked, checkpoint):checkpoint] {
		if !f.finished() {
			w.fail("the checkpoint %d of %s passes the unfinished event %d", checkpoint, chat.id, f.seq)
		}
	}
	chat.checked = checkpoint
	p := g.failing[chat.id]
	last := checkpoint
	for _, r := range p.Done {
		if r.From <= last || r.To < r.From {
			w.fail("the finished events %v of %s overlap, or the checkpoint %d", p.Done, chat.id, checkpoint)
		}
		last = r.To + 1
		for seq := r.From; seq <= r.To && seq <= chat.head(); seq++ {
			if f := chat.events[seq-1]; !f.finished() {
				w.fail("the store counts the unfinished event %d of %s as finished", seq, chat.id)
			}
		}
	}
	for i, f := range p.Others {
		if f.Seq <= checkpoint || seqSet(p.Done).contains(f.Seq) || i > 0 && p.Others[i-1].Seq >= f.Seq {
			w.fail("failed events of %s: %+v after checkpoint %d", chat.id, p, checkpoint)
		}
	}
}

// checkPassed checks that the store will deliver each unfinished event of a chat that had an entry: from the stream, or from the log because of a mark.
func (w *world) checkPassed(s *worldPartition, chat *worldChat) {
	g := &s.store
	if g.left[chat.id] != groups.Streamed {
		return
	}
	done := seqSet(g.failing[chat.id].Done)
	for i := int(g.checkpoints[chat.id]); i < len(chat.events); i++ { //nolint:gosec // small
		f := chat.events[i]
		if !f.streamed || f.lost || done.contains(f.seq) {
			continue
		}
		if !slices.ContainsFunc(s.entries[s.after(g.position):], func(e worldEntry) bool { return e.fact == f }) {
			w.fail("the position of %s has passed the unfinished event %d of %s, which is not marked", s.Stream, f.seq, chat.id)
		}
	}
}

// checkStarts checks that no commit makes the attempts of an unfinished event fewer, except by a start that was reserved.
func (w *world) checkStarts(s *worldPartition, chat string, before, after groups.Progress) {
	for _, old := range starts(before) {
		if old.Seq <= s.store.checkpoints[chat] || seqSet(after.Done).contains(old.Seq) || s.store.left[chat] == groups.Parked {
			continue
		}
		least := old.Starts
		if old.Epoch != 0 {
			least--
		}
		if w.config.DeadLetterBound < plenty { // the last attempt of an event that cannot become a dead letter is repeated
			least = min(least, w.config.Retry.Attempts-1)
		}
		now := 0
		for _, f := range starts(after) {
			if f.Seq == old.Seq {
				now = f.Starts
			}
		}
		if now < least {
			w.fail("event %d of %s had %d attempts and now %d", old.Seq, chat, old.Starts, now)
		}
	}
}

// starts returns the failed events of a chat.
func starts(p groups.Progress) []groups.EventFailure {
	all := slices.Clone(p.Others)
	if p.Starts > 0 {
		all = append(all, p.EventFailure)
	}
	return all
}

// checkDelivered checks that records may be delivered.
func (w *world) checkDelivered(n *node, l *worldLease, b []*Record, now time.Time) {
	switch {
	case n.ends:
		w.fail("%s delivers although it ends", n.name)
	case l.p.Over():
		w.fail("%s delivers after its lease is over", n.name)
	case l.draining:
		w.fail("%s delivers from a partition that it drains", n.name)
	case now.After(l.deadline):
		w.fail("%s delivers %v after its deadline", n.name, now.Sub(l.deadline))
	case n.m.InFlight() > n.concurrency:
		w.fail("%s has %d records in flight, more than %d", n.name, n.m.InFlight(), n.concurrency)
	}
	for i, r := range b {
		f := truth(r)
		if f.seq != r.Seq && !f.phantom {
			w.fail("the record of %d of %s has the seq %d", f.seq, f.chat, r.Seq)
		}
		if i > 0 && r.Seq != b[i-1].Seq+1 {
			w.fail("a batch has %d after %d", r.Seq, b[i-1].Seq)
		}
	}
}

// checkBegin checks that a handler may begin with records.
func (w *world) checkBegin(n *node, f *flight) {
	first := f.records[0]
	queue := first.queue
	w.begins++
	for _, o := range n.running {
		if other := o.records[0].queue; other.id() == queue.id() && o.lease.s == f.lease.s && queue.tracked() && (w.config.Order == ByChat || first.letter == o.records[0].letter) {
			w.fail("%s starts %s/%d while a handler of its queue runs", n.name, first.Chat, first.Seq)
		}
	}
	g := &f.lease.s.store
	f.valid = g.epoch == f.lease.p.epoch && g.until.After(w.storeNow())
	if !f.valid && w.leaps == 0 {
		w.fail("%s starts a handler without owning %s", n.name, f.lease.s.Stream)
	}
	for i, r := range f.records {
		w.checkStart(f.lease, r, i == 0, f.valid)
	}
}

func (w *world) checkStart(l *worldLease, r *Record, first, valid bool) {
	t := truth(r)
	w.note("%s begins %s/%d %s attempt %d of lease %d", l.n.name, r.Chat, r.Seq, r.letter, r.Attempt(), l.p.epoch)
	if valid && r.letter == "" && l.ended[t] {
		w.fail("%s/%d is delivered again under the lease that has finished it", r.Chat, r.Seq)
	}
	if valid && first && t.begun > 0 && !r.Redelivered() && w.failovers == 0 {
		w.fail("%s/%d looks new although a handler was started for it before", r.Chat, r.Seq)
	}
	if first && t.seq > 0 && r.letter == "" {
		w.checkAttempt(l, r, t)
	}
	if t.begun++; w.once(t) && t.begun > 1 {
		w.fail("%s/%d is delivered again without a fault", r.Chat, r.Seq)
	}
	if !first || t.seq == 0 || r.letter != "" || t.phantom || w.config.Order == Unordered || t.lost {
		return
	}
	events := l.s.chat(t.chat).events
	for _, earlier := range events[:min(int(t.seq)-1, len(events))] { //nolint:gosec // small
		if valid && (w.config.Order == ByChat || earlier.key == t.key) && !earlier.finished() && !earlier.announced && !l.ended[earlier] {
			w.fail("%s/%d is delivered before %d is finished", r.Chat, r.Seq, earlier.seq)
		}
	}
}

// once reports whether an event is delivered once. Which entries of other programs are finished beyond the position is kept nowhere.
func (w *world) once(t *fact) bool { return w.faultless && t.seq > 0 }

// checkAttempt checks the number of a start against the last one under the same lease, and against the truth if no lease was lost.
func (w *world) checkAttempt(l *worldLease, r *Record, t *fact) {
	if before, some := l.attempts[t]; some && !before.reset {
		want := before.number
		if before.counted {
			want++
		}
		if r.Attempt() != want {
			w.fail("%s/%d starts with attempt %d, want %d", r.Chat, r.Seq, r.Attempt(), want)
		}
	}
	l.attempts[t] = attempt{number: r.Attempt()} // no longer postponed
	if w.abnormal == 0 && w.config.DeadLetterBound >= plenty && r.ordered == "" && r.attempts != t.attempts {
		w.fail("%s/%d starts after %d failed attempts, want %d", r.Chat, r.Seq, r.attempts, t.attempts)
	}
}

// completing records the truth about the outcome of a delivery.
func (w *world) completing(n *node, f flight, done int, o Outcome, later time.Duration) {
	if f.records[0].starts != f.start || !f.records[0].inFlight {
		return
	}
	over := f.lease.p.Over()
	if len(f.records) == 1 && later == 0 && o.Kind == Succeeded {
		done = 1
	}
	for i, r := range f.records {
		t := truth(r)
		switch {
		case i < done:
			t.handled = true
			if !over && r.letter == "" {
				f.lease.ended[t] = true
			}
		case o.Unreadable && w.config.Ephemeral:
			t.handled = true
		case i == done && o.Kind.counts() && !over && r.letter == "":
			t.attempts++
			f.lease.attempts[t] = attempt{number: r.Attempt(), counted: true}
		case i == done && o.Kind == Postponed && !over && r.letter == "":
			f.lease.attempts[t] = attempt{number: r.Attempt(), postponed: true}
		case i > done || o.Kind == Succeeded: // its handler was not started
			if t.begun > 0 && !over {
				t.begun--
			}
		}
	}
	w.note("%s completes %s/%d %v, %d of %d", n.name, f.records[0].Chat, f.records[0].Seq, o.Kind, done, len(f.records))
}

// observe records what a member reports.
func (w *world) observe(n *node, e Event) {
	switch e.Kind {
	case DeadLettered:
		t := truth(e.Record)
		t.announced = true
		l, ok := e.Partition.Data.(*worldLease)
		if ok && e.Record.letter == "" && !e.Parked {
			l.ended[t] = true
		}
		if ok && e.Record.letter == "" && l.attempts[t].postponed {
			w.fail("%s/%d became a dead letter although its last start was postponed", e.Chat, e.Seq)
		}
	case DeadLetterHeld:
		if l, ok := e.Partition.Data.(*worldLease); ok {
			for f, a := range l.attempts {
				if f.chat == e.Chat && f.seq == e.Seq {
					a.reset = true
					l.attempts[f] = a
				}
			}
		}
	case BlockedCount:
		w.blocked[n] += e.Count
	case StreamLost, WalkEnded, ChatBlocked, PartitionOffered, EventsBackfilled, PhantomEntries, UnstreamedEvents, HoleFound, HoleClosed, LeaseEnded, TransientFailure:
	}
	w.note("%s reports %v %s/%d", n.name, e.Kind, e.Chat, e.Seq)
}
