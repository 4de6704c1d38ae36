package porttest

import (
	"fmt"
	"sync"
	"time"

	"chatcore/domain"
	"chatcore/ports/groups"
)

func testGroupOwner(g *groupsTest) {
	leases, errs := g.store.Acquire(g.t.Context(), []groups.Partition{g.p}, []bool{false}, applicant("a"))
	g.fails("acquiring a partition of a group that does not exist", errs[0], groups.ErrGroupDeleted)
	g.same("lease", leases[0], (*groups.Lease)(nil))
	g.append(0, 1)
	first := g.own()
	if g.tryAcquire(g.store, g.p, applicant("b"), false) != nil {
		g.t.Fatalf("two members own the partition")
	}
	g.same("owner", g.saved().State.Owner, "a")
	g.same("epoch", g.saved().State.Epoch, first.Epoch)
	again := g.acquire("a")
	if again.Epoch <= first.Epoch || !again.HadOwner || again.Overlap != 0 {
		g.t.Fatalf("the owner has got %+v after %+v", again, first)
	}
	g.fails("a commit of the earlier lease", g.commit(first.Epoch, groups.Commit{Number: 1}).Err, groups.ErrFenced)
	g.Advance(groupLease + time.Second)
	g.same("owner of a lease that has ended", g.saved().State.Owner, "")
	g.committed(again.Epoch, groups.Commit{Number: 1}) // nobody else has acquired it
	g.same("owner", g.saved().State.Owner, "a")
	g.Advance(groupLease + time.Second)
	second := g.acquire("b")
	if second.Epoch <= again.Epoch || !second.HadOwner || second.Overlap != groupLease {
		g.t.Fatalf("the next owner has got %+v after %+v", second, again)
	}
	g.fails("a commit of the earlier owner", g.commit(again.Epoch, groups.Commit{Number: 2}).Err, groups.ErrFenced)
	g.committed(second.Epoch, groups.Commit{Number: 1})
	if g.tryAcquire(g.store, g.p, applicant("a"), false) != nil {
		g.t.Fatalf("two members own the partition")
	}
}

func testGroupLeaseClock(g *groupsTest) {
	lease := g.own()
	g.Advance(-time.Hour)
	if g.tryAcquire(g.store, g.p, applicant("b"), false) != nil {
		g.t.Fatalf("a clock that was set back has ended a lease")
	}
	g.Advance(groupLease + time.Second)
	second := g.acquire("b")
	if second.Epoch <= lease.Epoch {
		g.t.Fatalf("the epoch %d comes after %d", second.Epoch, lease.Epoch)
	}
}

func testGroupAcquireMany(g *groupsTest) {
	partitions := append(g.Stores.Partitions(), foreign)
	g.create(g.store, groups.Start{}, partitions[:len(partitions)-1]...)
	leases, errs := g.store.Acquire(g.t.Context(), partitions, make([]bool, len(partitions)), applicant("a"))
	for i, p := range partitions {
		if p == foreign {
			g.fails("acquiring a stream on which the group does not exist", errs[i], groups.ErrGroupDeleted)
			continue
		}
		g.ok(errs[i])
		g.same("acquired", leases[i] != nil, true)
	}
	g.ok(g.store.Release(g.t.Context(), []groups.Release{{Partition: g.p, Epoch: leases[0].Epoch}}))
	leases, errs = g.store.Acquire(g.t.Context(), partitions, make([]bool, len(partitions)), applicant("b"))
	for i, p := range partitions {
		g.same(p.Stream+" acquired", leases[i] != nil, p == g.p)
		g.same(p.Stream+" error", errs[i] != nil, p == foreign)
	}
}

func testGroupOverlap(g *groupsTest) {
	lease := g.own()
	release := func(epoch uint64, overlap time.Duration) {
		g.ok(g.store.Release(g.t.Context(), []groups.Release{{Partition: g.p, Epoch: epoch, Overlap: overlap}}))
	}
	release(lease.Epoch, 0)
	second := g.acquire("b")
	g.same("had an owner", second.HadOwner, true)
	g.same("overlap with an owner that has released it", second.Overlap, time.Duration(0))
	g.Advance(groupLease + time.Second)
	third := g.tryAcquire(g.store, g.p, groups.Applicant{Member: "c", Lease: time.Minute}, false)
	g.same("overlap with an owner whose lease has ended", third.Overlap, groupLease)
	release(third.Epoch, 3*time.Second)
	fourth := g.tryAcquire(g.store, g.p, groups.Applicant{Member: "d", Lease: time.Minute}, false)
	g.same("overlap that the owner has left", fourth.Overlap, 3*time.Second)
	g.Advance(2 * time.Minute)
	fifth := g.acquire("e")
	g.same("longer of both overlaps", fifth.Overlap, time.Minute)
	g.ok(g.Stores.Rebuild(g.t.Context(), "g"))
	last := g.acquire("f")
	g.same("overlap with an owner whose lease a rebuild has ended", last.Overlap, groupLease)
	release(last.Epoch, time.Hour)
	sixth := g.tryAcquire(g.store, g.p, groups.Applicant{Member: "a", Lease: time.Minute}, false)
	g.same("overlap that the owner has left", sixth.Overlap, time.Hour)
	g.Advance(2 * time.Minute)
	g.same("longer of both overlaps", g.acquire("b").Overlap, time.Hour)
	g.same("overlap of the owner that acquires it again", g.acquire("b").Overlap, time.Hour)
}

func testGroupLostRecords(g *groupsTest) {
	g.append(0, 2)
	g.create(g.store, groups.Start{})
	lease := g.tryAcquire(g.store, g.p, applicant("a"), false)
	g.same("every chat is checked", lease.Walk, false)
	lease = g.tryAcquire(g.store, g.p, applicant("a"), true)
	g.same("every chat is checked", lease.Walk, true)
	g.same("position", lease.Position, g.ids()[1])
	g.same("every chat is checked by the next owner", g.acquire("a").Walk, true)
}

func testGroupAcquireTrimmed(g *groupsTest) {
	g.append(0, 4)
	ids := g.ids()
	lease := g.own()
	g.committed(lease.Epoch, groups.Commit{Number: 1, Position: ids[0], Passed: 1, Walk: groups.Walk{Changed: true}})
	lease = g.acquire("a")
	g.same("every chat is checked", lease.Walk, false)
	g.same("position", lease.Position, ids[0])
	g.Remove(g.p, ids[:2]...)
	lease = g.acquire("a")
	g.same("every chat is checked after a trim", lease.Walk, true)
	g.same("position after a trim", lease.Position, ids[2])
	g.Remove(g.p, ids[2:]...)
	lease = g.acquire("a")
	g.same("position in an empty stream", lease.Position, groups.StreamID{})
	g.same("end of an empty stream", lease.End, groups.StreamID{})
	other := g.Stores.Store("other")
	g.create(other, groups.Start{})
	g.same("every chat is checked where all entries were removed", g.tryAcquire(other, g.p, applicant("a"), false).Walk, true)
	g.ok(other.Close())
	g.append(0, 2)
	g.committed(lease.Epoch, groups.Commit{Number: 1, Walk: groups.Walk{Changed: true}})
	g.same("every chat is checked where entries were removed that no owner has seen", g.acquire("a").Walk, true)
}

// testGroupAcquireLost has streams lose the entry at the position, and no older ones: reads have to continue after an entry that exists.
func testGroupAcquireLost(g *groupsTest) {
	g.append(0, 5)
	ids := g.ids()
	lease := g.own()
	for _, lost := range []int{1, 4, 3} { // in between, the last, the last again
		g.committed(lease.Epoch, groups.Commit{Number: 1, Position: ids[lost], Passed: lost + 1, Walk: groups.Walk{Changed: true}})
		g.Remove(g.p, ids[lost])
		lease = g.acquire("a")
		before := ids[lost-1]
		g.same("position", lease.Position, before)
		g.same("every chat is checked", lease.Walk, true)
		b, err := g.store.Next(g.t.Context(), g.p, lease.Position, false)
		g.ok(err)
		g.same("gap after the position", b.Gap, false)
	}
}

func testGroupLeaseState(g *groupsTest) {
	g.append(0, 3)
	ids := g.ids()
	lease := g.own()
	g.same("left, failing and retries", len(lease.Left)+len(lease.Failing)+len(lease.Retries)+lease.DeadLetters, 0)
	parked := g.letterFor(1, 4)
	parked.Parked = true
	failing := groups.Progress{Failure: groups.Failure{EventFailure: groups.EventFailure{Seq: 2, Starts: 1}}}
	result := g.committed(lease.Epoch, groups.Commit{
		Number: 1, Position: ids[0], Passed: 1, Walk: groups.Walk{Changed: true},
		Left:    []groups.LeftChat{{Chat: g.chat(0), State: groups.Behind}, {Chat: g.chat(1), State: groups.Parked}},
		Failing: []groups.FailingChat{{Chat: g.chat(0), Progress: failing}, {Progress: groups.Progress{Failure: groups.Failure{EventFailure: groups.EventFailure{Starts: 2}}}}},
		Letters: []groups.Letter{parked, g.letterFor(0, 1)},
	})
	g.same("dead letters", result.DeadLetters, 2)
	g.ok(g.Stores.Retry(g.t.Context(), "g", g.letters()[0].ID))
	next := g.acquire("a")
	g.same("position", next.Position, ids[0])
	g.same("end", next.End, ids[2])
	g.same("dead letters", next.DeadLetters, 2)
	g.same("left", next.Left, map[string]groups.ChatState{g.chat(0): groups.Behind, g.chat(1): groups.Behind})
	g.same("failing", next.Failing, map[string]groups.Progress{
		g.chat(0): failing, "": {Failure: groups.Failure{EventFailure: groups.EventFailure{Starts: 2}}},
	})
	g.same("changes", g.changes(), groups.Changes{Left: next.Left, Retries: next.Retries})
	g.same("retries", len(next.Retries), 1)
	for _, mark := range next.Retries {
		g.same("the retry", mark, groups.RetryMark{State: groups.RetryInOrder, Attempts: 3, Parked: true, Seq: 4, Chat: g.chat(1)})
	}
	if next.Revision == lease.Revision {
		g.t.Fatalf("the revision is %q before and after a decision", next.Revision)
	}
	g.same("revision", g.committed(next.Epoch, groups.Commit{Number: 1}).Revision, next.Revision)
}

func testGroupRelease(g *groupsTest) {
	g.append(0, 1)
	lease := g.own()
	g.committed(lease.Epoch, groups.Commit{Number: 1, Checkpoints: []groups.Checkpoint{{Chat: g.chat(0), Seq: 1}}})
	g.ok(g.store.Release(g.t.Context(), []groups.Release{{Partition: g.p, Epoch: lease.Epoch}}))
	g.same("owner", g.saved().State.Owner, "")
	second := g.acquire("b")
	g.same("had an owner", second.HadOwner, true)
	g.same("checkpoint", g.checkpoint(0), domain.Seq(1))
	g.ok(g.store.Release(g.t.Context(), nil))
}

func testGroupReleaseFenced(g *groupsTest) {
	first := g.own()
	g.ok(g.store.Release(g.t.Context(), []groups.Release{{Partition: g.p, Epoch: first.Epoch}}))
	g.acquire("b")
	g.ok(g.store.Release(g.t.Context(), []groups.Release{{Partition: g.p, Epoch: first.Epoch, Overlap: time.Hour}}))
	g.same("owner", g.saved().State.Owner, "b")
	g.ok(g.Stores.Delete(g.t.Context(), "g"))
	g.ok(g.store.Release(g.t.Context(), []groups.Release{{Partition: g.p, Epoch: first.Epoch}}))
	exists, err := g.Stores.Exists(g.t.Context(), "g")
	g.ok(err)
	g.same("exists after a release", exists, false)
}

// testGroupRace has many members acquire a partition at once, again and again.
func testGroupRace(g *groupsTest) {
	g.create(g.store, groups.Start{})
	const members = 8
	epoch := uint64(0)
	for round := range 20 {
		var wg sync.WaitGroup
		leases := make([]*groups.Lease, members)
		errs := make([]error, members)
		for m := range members {
			wg.Go(func() {
				l, e := g.store.Acquire(g.t.Context(), []groups.Partition{g.p}, []bool{false}, applicant(fmt.Sprintf("m%d", m)))
				leases[m], errs[m] = l[0], e[0]
			})
		}
		wg.Wait()
		owners := 0
		for m, lease := range leases {
			g.ok(errs[m])
			if lease == nil {
				continue
			}
			if owners++; lease.Epoch <= epoch {
				g.t.Fatalf("round %d: the epoch %d comes after %d", round, lease.Epoch, epoch)
			}
			epoch = lease.Epoch
		}
		g.same(fmt.Sprintf("owners in round %d", round), owners, 1)
		g.ok(g.store.Release(g.t.Context(), []groups.Release{{Partition: g.p, Epoch: epoch}}))
	}
}
