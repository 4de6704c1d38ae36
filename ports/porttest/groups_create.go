package porttest

import (
	"time"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// foreign is a stream that carries no log.
var foreign = groups.Partition{Stream: "orders", Number: -1} //nolint:gochecknoglobals // a constant

func testGroupBeginning(g *groupsTest) {
	g.append(0, 2)
	fresh, err := g.store.Create(g.t.Context(), g.p, groups.Start{Beginning: true})
	g.ok(err)
	g.same("waits for checkpoints", fresh, false)
	lease := g.acquire("a")
	ids := g.ids()
	g.same("entries", len(ids), 2)
	g.same("position", lease.Position, groups.StreamID{})
	g.same("end", lease.End, ids[1])
	g.same("every chat is checked", lease.Walk, true)
	g.same("had an owner", lease.HadOwner, false)
	g.same("overlap", lease.Overlap, time.Duration(0))
	g.same("checkpoint", g.checkpoint(0), domain.Seq(0))
	g.same("lag", g.saved().State.Lag, uint64(2))
}

func testGroupNextEvent(g *groupsTest) {
	empty := g.Stores.Store("empty")
	g.create(empty, groups.Start{})
	lease := g.tryAcquire(empty, g.p, applicant("a"), false)
	g.same("position and check of every chat in an empty stream", []any{lease.Position, lease.End, lease.Walk}, []any{groups.StreamID{}, groups.StreamID{}, true})
	g.ok(empty.Close())

	g.append(0, 2)
	ids := g.ids()
	fresh, err := g.store.Create(g.t.Context(), g.p, groups.Start{})
	g.ok(err)
	g.same("waits for checkpoints", fresh, true)
	if g.tryAcquire(g.store, g.p, applicant("a"), false) != nil {
		g.t.Fatalf("a partition without checkpoints was acquired")
	}
	more, err := g.store.Seed(g.t.Context(), g.p, []groups.Checkpoint{{Chat: g.chat(0), Seq: 2}}, true)
	g.ok(err)
	g.same("waits for more checkpoints", more, false)
	g.append(1, 1)
	lease = g.acquire("a")
	g.same("position", lease.Position, ids[1])
	g.same("every chat is checked", lease.Walk, false)
	g.same("checkpoint", g.checkpoint(0), domain.Seq(2))
	g.same("checkpoint of a later chat", g.checkpoint(1), domain.Seq(0))
	b, err := g.store.Next(g.t.Context(), g.p, lease.Position, false)
	g.ok(err)
	if len(b.Entries) != 1 || b.Entries[0].Chat != g.chat(1) || b.Gap {
		g.t.Fatalf("after the position comes %+v", b)
	}
	g.same("lag", g.saved().State.Lag, uint64(1))
}

func testGroupStartAt(g *groupsTest) {
	g.append(0, 3)
	before := g.ids()
	last := before[len(before)-1]
	ids := before
	for ids[len(ids)-1].Milliseconds == last.Milliseconds { // until the store's clock goes on
		g.Advance(2 * time.Millisecond)
		last = ids[len(ids)-1]
		g.append(0, 1)
		ids = g.ids()
	}
	first := ids[len(ids)-1]
	at := time.UnixMilli(int64(first.Milliseconds)) //nolint:gosec // a time
	for _, test := range []struct {
		group string
		at    time.Time
		want  groups.StreamID
	}{
		{"at the first of a millisecond", at, last},
		{"within a millisecond", at.Add(-time.Nanosecond), g.lastBefore(ids, at.Add(-time.Millisecond))},
		{"before all", time.UnixMilli(int64(ids[0].Milliseconds)), groups.StreamID{}}, //nolint:gosec // a time
		{"in the future", at.Add(24 * time.Hour), first},
	} {
		store := g.Stores.Store(test.group)
		fresh, err := store.Create(g.t.Context(), g.p, groups.Start{At: test.at})
		g.ok(err)
		g.same(test.group+": waits for checkpoints", fresh, true)
		if lease := g.tryAcquire(store, g.p, applicant("a"), false); lease != nil {
			g.t.Fatalf("%s: a partition without checkpoints was acquired", test.group)
		}
		_, err = store.Seed(g.t.Context(), g.p, []groups.Checkpoint{{Chat: g.chat(0), Seq: 1}}, true)
		g.ok(err)
		lease := g.tryAcquire(store, g.p, applicant("a"), false)
		if lease == nil {
			g.t.Fatalf("%s: the partition was not acquired", test.group)
		}
		g.same(test.group+": position", lease.Position, test.want)
		g.same(test.group+": every chat is checked", lease.Walk, true)
		g.ok(store.Close())
	}
}

// lastBefore returns the last of the ids that is of an earlier millisecond than at.
func (g *groupsTest) lastBefore(ids []groups.StreamID, at time.Time) (last groups.StreamID) {
	for _, id := range ids {
		if int64(id.Milliseconds) < at.UnixMilli() { //nolint:gosec // a time
			last = id
		}
	}
	return last
}

func testGroupForeign(g *groupsTest) {
	e := groups.Entry{UUID: "u1", Metadata: "\x81\xa4type\xa1x", Payload: []byte("{}")}
	g.AppendForeign(foreign, e)
	for _, test := range []struct {
		group string
		at    groups.Start
		read  int
	}{{"beginning", groups.Start{Beginning: true}, 1}, {"next", groups.Start{}, 0}, {"later", groups.Start{At: time.Now().Add(24 * time.Hour)}, 0}} {
		store := g.Stores.Store(test.group)
		fresh, err := store.Create(g.t.Context(), foreign, test.at)
		g.ok(err)
		g.same(test.group+": waits for checkpoints", fresh, false)
		lease := g.tryAcquire(store, foreign, applicant("a"), true)
		if lease == nil {
			g.t.Fatalf("%s: the stream was not acquired", test.group)
		}
		g.same(test.group+": every chat is checked", lease.Walk, false)
		b, err := store.Next(g.t.Context(), foreign, lease.Position, false)
		g.ok(err)
		g.same(test.group+": entries", len(b.Entries), test.read)
		if test.read > 0 {
			got := b.Entries[0]
			got.ID = groups.StreamID{}
			g.same("the entry", got, e)
		}
		result := g.commitOn(store, foreign, lease.Epoch, groups.Commit{Number: 1, Position: lease.End, Seen: []groups.StreamID{{Milliseconds: 1}}})
		g.ok(result.Err)
		g.same(test.group+": lost entries", result.Lost, false)
		if test.at.At.IsZero() {
			g.foreignLost(store, lease)
		}
		g.ok(store.Close())
	}
}

// foreignLost checks that no commit reports what was removed from a stream that carries no log: nothing else has its entries.
func (g *groupsTest) foreignLost(store groups.Store, lease *groups.Lease) {
	g.t.Helper()
	g.AppendForeign(foreign, groups.Entry{UUID: "u2", Payload: []byte("{}")})
	g.Remove(foreign, lease.End)
	result := g.commitOn(store, foreign, lease.Epoch, groups.Commit{Number: 2})
	g.ok(result.Err)
	g.same("lost entries", result.Lost, false)
	g.AppendForeign(foreign, groups.Entry{UUID: "u1", Metadata: "\x81\xa4type\xa1x", Payload: []byte("{}")})
	next := g.tryAcquire(store, foreign, applicant("a"), false)
	g.same("every chat is checked", next.Walk, false)
	g.same("position", next.Position, lease.End)
}

func testGroupSeeds(g *groupsTest) {
	g.append(0, 1)
	for range 2 {
		fresh, err := g.store.Create(g.t.Context(), g.p, groups.Start{})
		g.ok(err)
		g.same("waits for checkpoints", fresh, true)
	}
	for _, step := range []struct {
		checkpoints []groups.Checkpoint
		last, more  bool
	}{
		{[]groups.Checkpoint{{Chat: g.chat(0), Seq: 1}, {Chat: g.chat(1), Seq: 5}}, false, true},
		{nil, false, true},
		{[]groups.Checkpoint{{Chat: g.chat(0), Seq: 7}, {Chat: g.chat(2), Seq: 6}}, true, false},
		{[]groups.Checkpoint{{Chat: g.chat(3), Seq: 8}}, false, false},
		{[]groups.Checkpoint{{Chat: g.chat(3), Seq: 8}}, true, false},
	} {
		more, err := g.store.Seed(g.t.Context(), g.p, step.checkpoints, step.last)
		g.ok(err)
		g.same("waits for more checkpoints", more, step.more)
	}
	for i, want := range []domain.Seq{1, 5, 6, 0} {
		g.same("checkpoint", g.checkpoint(i), want)
	}
	fresh, err := g.store.Create(g.t.Context(), g.p, groups.Start{Beginning: true})
	g.ok(err)
	g.same("waits for checkpoints", fresh, false)
	if lease := g.acquire("a"); lease.Position.IsZero() {
		g.t.Fatalf("creating a group again has changed its position")
	}
}
