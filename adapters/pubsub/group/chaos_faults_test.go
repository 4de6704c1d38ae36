package group_test

import (
	"time"

	"chatcore/adapters/pubsub/memgroup"
	"chatcore/ports/groups"
)

// fault decides about a call of the member's store.
func (m *worldMember) fault(c memgroup.Call) (f memgroup.Fault) {
	w := m.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calm {
		return f
	}
	f.Frozen = m.frozen
	if !w.plan.calls {
		return f
	}
	if w.random.IntN(100) < 5 {
		f.Delay = time.Duration(w.random.Int64N(int64(200 * time.Millisecond)))
	}
	if w.random.IntN(1000) < 3 {
		f.Delay = time.Duration(w.random.Int64N(int64(2 * lease)))
	}
	f.NotMade = w.random.IntN(100) < 2 || time.Now().Before(m.down)
	f.NoAnswer = w.random.IntN(100) < 2 && c.Method != "Next"
	return f
}

// thaw lets the frozen calls of a member continue. The mutex is held.
func (m *worldMember) thaw() {
	if m.frozen != nil {
		close(m.frozen)
		m.frozen = nil
	}
}

// change freezes a member or lets it continue, cuts one off the store, has one leave or join.
func (w *world) change() {
	w.mu.Lock()
	n := w.random.IntN(len(w.members))
	m, what := w.members[n], w.random.IntN(6)
	w.mu.Unlock()
	w.ledger.happened("change %d of %s", what, m.name)
	switch {
	case what == 0 && m.frozen == nil:
		w.mu.Lock()
		m.frozen = make(chan struct{})
		w.mu.Unlock()
	case what <= 2:
		w.mu.Lock()
		m.thaw()
		w.mu.Unlock()
	case what == 3:
		w.mu.Lock()
		m.down = time.Now().Add(time.Duration(w.random.Int64N(int64(20 * time.Second))))
		w.mu.Unlock()
	case what == 4 && len(w.members) > 2:
		w.mu.Lock()
		m.thaw()
		w.members = append(w.members[:n:n], w.members[n+1:]...)
		w.mu.Unlock()
		m.stop()
		go func() { <-m.Done() }()
	case what == 5 && len(w.members) < 5:
		w.join()
	}
}

// partition returns a random partition.
func (w *world) partition() groups.Partition {
	all := w.groups.Partitions()
	return all[w.intN(len(all))]
}

// lose has a stream lose entries: some, the first, the last or all.
func (w *world) lose() {
	all := 0
	p := w.partition()
	count := func(groups.Entry) bool { all++; return false }
	if _, err := w.groups.Lose(w.t.Context(), p, count); err != nil || all == 0 {
		return
	}
	kind, at, n := w.intN(4), w.intN(all), 0
	w.ledger.happened("%s loses entries: kind %d, %d of %d", p.Stream, kind, at, all)
	_, err := w.groups.Lose(w.t.Context(), p, func(groups.Entry) bool {
		n++
		switch kind {
		case 0:
			return n == at+1
		case 1:
			return n <= at
		case 2:
			return n > at
		}
		return true
	})
	if err != nil {
		w.t.Error(err)
	}
}

// endLeases sets the store's clock, or fences the owner of a partition.
func (w *world) endLeases() {
	switch kind := w.intN(3); {
	case kind == 0:
		w.ledger.happened("clock set forward")
		w.clock.offset.Add(int64(w.upTo(time.Hour)))
	case kind == 1 && !w.plan.forgets: // epochs would repeat: those after a loss grow with the clock
		w.ledger.happened("clock set back")
		w.clock.offset.Add(-int64(w.upTo(time.Hour)))
	default:
		p := w.partition()
		w.ledger.happened("owner of %s fenced", p.Stream)
		w.groups.Fence("g", p)
	}
}

// forget has the store lose all writes since a snapshot, or rebuilds the group. It returns the next snapshot.
func (w *world) forget(s *memgroup.Snapshot) *memgroup.Snapshot {
	switch {
	case s != nil && w.chance(50):
		w.ledger.forget(true)
		if err := w.groups.Restore(w.t.Context(), s); err != nil {
			w.t.Error(err)
		}
	case w.chance(20):
		w.ledger.forget(false)
		if err := w.groups.Rebuild(w.t.Context(), "g"); err != nil {
			w.t.Error(err)
		}
	}
	w.ledger.happened("snapshot")
	return w.groups.Snapshot()
}
