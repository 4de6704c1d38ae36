package group_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/ports/groups"
)

// plan says what a run does.
type plan struct {
	name       string
	order      delivery.Order
	poison     delivery.Poison
	batch      bool
	partitions int
	chats      int
	bound      int
	lasts      time.Duration // virtual
	failures   bool          // handlers fail
	calls      bool          // calls of stores are delayed, or not made, or have no answer
	freezes    bool          // members freeze, leave and join
	losses     bool          // streams lose entries
	endsLeases bool          // leases end early: the clock is set, partitions are fenced
	forgets    bool          // the store loses acknowledged writes, the group is rebuilt
	decides    bool          // dead letters are retried and dropped
}

// quiet reports whether nothing makes a delivery look repeated that is not.
func (p plan) quiet() bool {
	return !p.failures && !p.calls && !p.freezes && !p.losses && !p.endsLeases && !p.forgets
}

// TestChaos runs groups of several members through faults of all kinds, in virtual time. go test runs each plan for a few virtual minutes; with
// CHATCORE_CHAOS, a duration such as 10m, the plans are repeated with other faults for that long. CHATCORE_CHAOS_SEED gives the faults of an earlier
// run again, though not the same order of events.
func TestChaos(t *testing.T) {
	seed := rand.Uint64() //nolint:gosec // a test
	if text := os.Getenv("CHATCORE_CHAOS_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("CHATCORE_CHAOS_SEED: %v", err)
		}
	}
	long := time.Duration(0)
	if text := os.Getenv("CHATCORE_CHAOS"); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatalf("CHATCORE_CHAOS: %v", err)
		}
	}
	t.Logf("CHATCORE_CHAOS_SEED=%d", seed)
	all := plan{partitions: 4, chats: 12, bound: 60, lasts: 10 * time.Minute, failures: true, calls: true, freezes: true, losses: true, endsLeases: true, forgets: true, decides: true}
	with := func(name string, change func(p *plan)) plan {
		p := all
		p.name = name
		change(&p)
		return p
	}
	plans := []plan{
		{name: "no faults", partitions: 4, chats: 12, bound: 10_000, lasts: 10 * time.Minute},
		{name: "no faults, batches", batch: true, partitions: 4, chats: 12, bound: 10_000, lasts: 10 * time.Minute},
		{name: "no faults, unordered", order: delivery.Unordered, partitions: 4, chats: 12, bound: 10_000, lasts: 10 * time.Minute},
		{name: "no faults, by key", order: delivery.ByKey, partitions: 4, chats: 12, bound: 10_000, lasts: 10 * time.Minute},
		{name: "failing handlers", partitions: 2, chats: 6, bound: 10_000, lasts: 10 * time.Minute, failures: true, decides: true},
		{name: "failing handlers, parked", poison: delivery.Park, partitions: 2, chats: 6, bound: 10_000, lasts: 10 * time.Minute, failures: true, decides: true},
		with("calls and members", func(p *plan) { p.losses, p.endsLeases, p.forgets, p.bound = false, false, false, 10_000 }),
		with("calls and members, parked", func(p *plan) {
			p.losses, p.endsLeases, p.forgets, p.bound, p.poison = false, false, false, 10_000, delivery.Park
		}),
		with("losses", func(p *plan) { p.endsLeases, p.forgets = false, false }),
		with("ended leases", func(p *plan) { p.losses, p.forgets = false, false }),
		with("all", func(*plan) {}),
		with("all, parked", func(p *plan) { p.poison = delivery.Park }),
		with("all, batches", func(p *plan) { p.batch = true }),
		with("all, unordered", func(p *plan) { p.order = delivery.Unordered }),
		with("all, by key", func(p *plan) { p.order = delivery.ByKey }),
		with("all, one partition", func(p *plan) { p.partitions, p.chats = 1, 3 }),
	}
	began := time.Now()
	for round := uint64(0); round == 0 || time.Since(began) < long; round++ {
		for _, p := range plans {
			t.Run(p.name, func(t *testing.T) {
				t.Logf("seed %d", seed+round)
				synctest.Test(t, func(t *testing.T) { newWorld(t, p, seed+round).run() })
			})
		}
		if t.Failed() {
			return
		}
	}
}

// run runs a plan, ends all faults, and checks that every event is delivered.
func (w *world) run() {
	var snapshot *memgroup.Snapshot
	for range 3 {
		w.join()
	}
	dropped := make(map[string]bool)
	for until := time.Now().Add(w.plan.lasts); time.Now().Before(until); {
		time.Sleep(time.Millisecond + w.upTo(2*time.Second))
		w.send(1 + w.intN(4))
		if w.plan.freezes && w.chance(10) {
			w.change()
		}
		if w.plan.losses && w.chance(5) {
			w.lose()
		}
		if w.plan.endsLeases && w.chance(3) {
			w.endLeases()
		}
		if w.plan.forgets && w.chance(2) {
			snapshot = w.forget(snapshot)
		}
		if w.plan.decides && w.chance(10) {
			w.decide(dropped)
		}
	}
	w.endFaults()
	w.settle(dropped)
	w.stopAll()
	if report := w.ledger.report(); report != "" {
		w.t.Error(report)
	}
	if w.plan.quiet() {
		if twice := w.ledger.twice(); len(twice) > 0 {
			w.t.Errorf("delivered more than once: %v", twice)
		}
	}
	w.t.Logf("%d events, %d starts, %d members", w.sent, w.ledger.starts, w.named)
}

// endFaults ends all faults.
func (w *world) endFaults() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calm = true
	for _, m := range w.members {
		m.thaw()
	}
}

// settle retries dead letters until every event is acked or dropped and the group is at rest.
func (w *world) settle(dropped map[string]bool) {
	for until := time.Now().Add(2 * time.Hour); ; {
		time.Sleep(time.Second)
		synctest.Wait()
		letters := w.letters()
		for _, d := range letters {
			w.ledger.decided(d, true)
			if err := w.groups.Retry(w.t.Context(), "g", d.ID); err != nil && !errors.Is(err, groups.ErrDeadLetterNotFound) {
				w.t.Error(err)
			}
		}
		missing := w.ledger.missing(dropped)
		if len(letters) == 0 && len(missing) == 0 && w.groups.Idle() {
			return
		}
		if time.Now().After(until) {
			list, _ := w.groups.List(w.t.Context())
			w.t.Errorf("after two hours %d letters and the events %v are left: %+v", len(letters), missing[:min(len(missing), 20)], list)
			return
		}
	}
}

func (w *world) letters() (all []groups.DeadLetter) {
	for d, err := range w.groups.DeadLettersAfter(w.t.Context(), "g", "") {
		if err != nil {
			w.t.Error(err)
			break
		}
		all = append(all, d)
	}
	return all
}

// stopAll stops all members.
func (w *world) stopAll() {
	for _, m := range w.members {
		m.stop()
	}
	for _, m := range w.members {
		<-m.Done()
		if err := m.Err(); err != nil {
			w.t.Errorf("member %s has ended: %v", m.name, err)
		}
	}
	time.Sleep(time.Minute) // for handlers that were left behind
	synctest.Wait()
}

// decide retries or drops a dead letter.
func (w *world) decide(dropped map[string]bool) {
	letters := w.letters()
	if len(letters) == 0 {
		return
	}
	d := letters[w.intN(len(letters))]
	var err error
	retry := w.chance(50)
	w.ledger.decided(d, retry)
	if retry {
		err = w.groups.Retry(w.t.Context(), "g", d.ID)
	} else if err = w.groups.Drop(w.t.Context(), "g", d.ID); err == nil {
		dropped[fmt.Sprintf("%s/%d", d.Chat, d.Seq)] = true
	}
	if err != nil && !errors.Is(err, groups.ErrDeadLetterNotFound) {
		w.t.Error(err)
	}
}
