package porttest

import (
	"fmt"
	"slices"
	"time"

	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

func testGroupNotFound(g *groupsTest) {
	list, err := g.Stores.List(g.t.Context())
	g.ok(err)
	g.same("groups", len(list), 0)
	g.create(g.store, groups.Start{})
	_, err = g.Stores.Inspect(g.t.Context(), "nobody", g.Stores.Partitions())
	g.fails("inspecting", err, groups.ErrGroupNotFound)
	g.fails("rebuilding", g.Stores.Rebuild(g.t.Context(), "nobody"), groups.ErrGroupNotFound)
	g.fails("deleting", g.Stores.Delete(g.t.Context(), "nobody"), groups.ErrGroupNotFound)
	n := 0
	for _, err := range g.Stores.DeadLettersAfter(g.t.Context(), "nobody", "") {
		n++
		g.fails("listing letters", err, groups.ErrGroupNotFound)
	}
	g.same("results", n, 1)
	more, err := g.Stores.Store("nobody").Seed(g.t.Context(), g.p, []groups.Checkpoint{{Chat: g.chat(0), Seq: 1}}, false)
	g.ok(err)
	g.same("waits for more checkpoints", more, false)
	exists, err := g.Stores.Exists(g.t.Context(), "nobody")
	g.ok(err)
	g.same("exists", exists, false)
}

func testGroupList(g *groupsTest) {
	partitions := g.Stores.Partitions()
	for i := range 3 {
		g.append(i, 2)
	}
	ids := g.ids()
	for _, name := range []string{"g", "a b:c", "{x}"} {
		store := g.Stores.Store(name)
		g.create(store, groups.Start{Beginning: true}, partitions...)
		g.ok(store.Close())
	}
	list, err := g.Stores.List(g.t.Context())
	g.ok(err)
	var names []string
	for _, s := range list {
		names = append(names, s.Group)
		g.same("members", s.Members, 0)
		var on []groups.Partition
		for _, p := range s.Partitions {
			on = append(on, groups.Partition{Stream: p.Stream, Number: p.Partition})
		}
		g.same("partitions", on, partitions)
	}
	g.same("groups", names, []string{"a b:c", "g", "{x}"})

	lease := g.acquire("a")
	g.beat("a", time.Hour)
	before := time.UnixMilli(int64(ids[2].Milliseconds)).UTC() //nolint:gosec // a time
	g.committed(lease.Epoch, groups.Commit{
		Number: 1, Position: ids[1], Passed: 2, Walk: groups.Walk{Changed: true, Active: true, Checked: 1, Total: 2},
		Left:        []groups.LeftChat{{Chat: g.chat(0), State: groups.Behind}, {Chat: g.chat(1), State: groups.Parked}, {Chat: g.chat(2), State: groups.Behind}},
		Failing:     []groups.FailingChat{{Chat: g.chat(0), Progress: failed(2, 1)}},
		Checkpoints: []groups.Checkpoint{{Chat: g.chat(0), Seq: 1}},
		Letters:     []groups.Letter{g.letterFor(1, 1)},
	})
	got := g.listed()
	g.same("members", got.Members, 1)
	state := got.Partitions[0]
	if !state.Until.After(before) {
		g.t.Fatalf("the lease ends at %v, an entry is of %v", state.Until, before)
	}
	if state.Age < 0 || !state.Oldest.Equal(before) {
		g.t.Fatalf("the oldest entry is of %v, %v old, want %v", state.Oldest, state.Age, before)
	}
	state.Until, state.Age, state.Oldest = time.Time{}, 0, time.Time{}
	g.same("state", state, groups.PartitionState{
		Stream: g.p.Stream, Partition: g.p.Number, Owner: "a", Epoch: lease.Epoch, Position: ids[1].String(), Lag: uint64(len(ids) - 2 + 1 + 2),
		Passed: 2, Behind: 2, Parked: 1, Failing: 1, Letters: 1, Walked: 1, Chats: 2, CatchesUp: true,
	})
	inspected, err := g.Stores.Inspect(g.t.Context(), "g", []groups.Partition{g.p})
	g.ok(err)
	g.same("members when inspected", inspected.Members, 0)
	g.same("partitions when inspected", len(inspected.Partitions), 1)

	bounded := g.tryAcquire(g.store, g.p, groups.Applicant{Member: "a", Lease: groupLease, DeadLetterBound: 2}, false)
	g.same("dead letters reach the bound", g.saved().State.LettersFull, false)
	g.committed(bounded.Epoch, groups.Commit{Number: 1, Letters: []groups.Letter{g.letterFor(1, 2)}})
	g.same("dead letters reach the bound", g.saved().State.LettersFull, true)
}

func testGroupBlocked(g *groupsTest) {
	lease := g.own()
	at := time.UnixMilli(1_700_000_000_000).UTC()
	var failing []groups.FailingChat
	var want []groups.BlockedChat
	for i := range groups.MaxBlockedChats + 2 {
		f := groups.Failure{
			EventFailure: groups.EventFailure{Seq: domain.Seq(i + 1)}, Reason: groups.BlockedTransient, Since: at.Add(-time.Duration(i) * time.Minute), Cause: fmt.Sprint("down: ", i),
		}
		if i == 1 {
			f.Reason = groups.BlockedNewer
		}
		p := groups.Progress{Failure: f}
		if i == 3 {
			p.Done = []groups.SeqRange{{From: 9, To: 11}}
		}
		failing = append(failing, groups.FailingChat{Chat: g.chat(i), Progress: p})
		want = append(want, groups.BlockedChat{Chat: domain.ChatID(g.chat(i)), Seq: f.Seq, Reason: f.Reason, Since: f.Since, Error: f.Cause})
	}
	failing = append(failing, groups.FailingChat{Chat: g.chat(50), Progress: failed(1, 1)}, groups.FailingChat{Chat: g.chat(51), Progress: groups.Progress{Done: []groups.SeqRange{{From: 2, To: 2}}}})
	g.committed(lease.Epoch, groups.Commit{Number: 1, Failing: failing})
	state := g.saved().State
	slices.Reverse(want)
	g.same("blocked", state.Blocked, len(want))
	g.same("the longest", state.Longest, want[:groups.MaxBlockedChats])
	g.same("failing", state.Failing, len(failing))
}

func testGroupExists(g *groupsTest) {
	exists := func(want bool) {
		g.t.Helper()
		got, err := g.Stores.Exists(g.t.Context(), "g")
		g.ok(err)
		g.same("exists", got, want)
	}
	exists(false)
	lease, _ := g.owned()
	exists(true)
	d := g.letters()[0]
	g.beat("a", time.Hour, g.p)
	g.ok(g.Stores.Delete(g.t.Context(), "g"))
	exists(false)
	list, err := g.Stores.List(g.t.Context())
	g.ok(err)
	g.same("groups", len(list), 0)
	g.fails("a commit", g.commit(lease.Epoch, groups.Commit{Number: 2}).Err, groups.ErrGroupDeleted)
	g.fails("a decision", g.Stores.Drop(g.t.Context(), "g", d.ID), groups.ErrGroupNotFound)
	g.fails("deleting it again", g.Stores.Delete(g.t.Context(), "g"), groups.ErrGroupNotFound)
	exists(false)

	fresh, err := g.store.Create(g.t.Context(), g.p, groups.Start{Beginning: true})
	g.ok(err)
	g.same("waits for checkpoints", fresh, false)
	next := g.acquire("b")
	g.same("a new group of the same name", []any{next.HadOwner, next.Position, next.DeadLetters, len(next.Left), len(next.Failing), len(next.Retries)}, []any{false, groups.StreamID{}, 0, 0, 0, 0})
	g.same("checkpoint", g.checkpoint(0), domain.Seq(0))
	g.same("members", g.listed().Members, 0)
	g.same("members and offers", g.beat("b", time.Hour), groups.Members{Living: []string{"b"}})
}

func testGroupRebuild(g *groupsTest) {
	lease, ids := g.owned()
	g.committed(lease.Epoch, groups.Commit{Number: 2, Position: ids[len(ids)-1], Passed: len(ids) - 1})
	g.storeID(g.letters()[0])
	g.ok(g.Stores.Rebuild(g.t.Context(), "g"))
	state := g.saved()
	g.same("dead letters", len(state.Letters), 0)
	g.same("changes", state.Changes, groups.Changes{Walk: true})
	g.same("checkpoint", g.checkpoint(0), domain.Seq(0))
	g.same("owner, failing and whether it is checked", []any{state.State.Owner, state.State.Failing, state.State.CatchesUp}, []any{"", 0, true})
	g.refused(lease.Epoch, g.every(3, ids), groups.ErrFenced)
	next := g.acquire("b")
	g.same("position", next.Position, ids[len(ids)-1])
	g.same("every chat is checked", next.Walk, true)
	g.same("overlap", next.Overlap, groupLease)
	if next.Epoch <= lease.Epoch+1 {
		g.t.Fatalf("the epoch %d comes after a rebuild of %d", next.Epoch, lease.Epoch)
	}

	waiting := g.Stores.Store("waiting")
	_, err := waiting.Create(g.t.Context(), g.p, groups.Start{})
	g.ok(err)
	g.ok(g.Stores.Rebuild(g.t.Context(), "waiting"))
	g.same("a rebuilt group waits for no checkpoints", g.tryAcquire(waiting, g.p, applicant("a"), false) != nil, true)
	g.ok(waiting.Close())
}

func testGroupCompareHeads(g *groupsTest) {
	lease := g.own()
	for i := range 3 {
		g.append(i, 2)
	}
	ahead := func() map[domain.ChatID]domain.Seq {
		g.t.Helper()
		found := make(map[domain.ChatID]domain.Seq)
		compared := 0
		for cursor := uint64(0); ; {
			page, err := g.store.CompareHeads(g.t.Context(), g.p, cursor, 100)
			g.ok(err)
			g.ok(page.Err)
			for _, h := range page.Ahead {
				g.ok(h.Err)
				found[h.Chat] = h.Head
			}
			compared += page.Compared
			if cursor = page.Next; cursor == 0 {
				g.same("tail", page.Tail, g.ids()[len(g.ids())-1].String())
				if compared < 3 {
					g.t.Fatalf("%d chats were compared", compared)
				}
				return found
			}
		}
	}
	head := func(i int) domain.ChatID { return domain.ChatID(g.chat(i)) }
	g.same("ahead", ahead(), map[domain.ChatID]domain.Seq{head(0): 2, head(1): 2, head(2): 2})
	g.committed(lease.Epoch, groups.Commit{Number: 1, Checkpoints: []groups.Checkpoint{{Chat: g.chat(0), Seq: 2}, {Chat: g.chat(1), Seq: 1}}})
	g.same("ahead", ahead(), map[domain.ChatID]domain.Seq{head(1): 2, head(2): 2})
	g.Remove(g.p, g.ids()[1:3]...) // without their entries they are ahead all the same
	g.same("ahead", ahead(), map[domain.ChatID]domain.Seq{head(1): 2, head(2): 2})
	g.committed(lease.Epoch, groups.Commit{Number: 2, Checkpoints: []groups.Checkpoint{{Chat: g.chat(1), Seq: 2}, {Chat: g.chat(2), Seq: 2}}})
	g.same("ahead", ahead(), map[domain.ChatID]domain.Seq{})
	page, err := g.store.CompareHeads(g.t.Context(), foreign, 0, 100)
	g.ok(err)
	g.same("a stream without a log", page, ports.HeadPage{})
}
