package porttest

import (
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// failed returns the progress of a chat whose next event has failed.
func failed(seq domain.Seq, starts int) groups.Progress {
	return groups.Progress{Failure: groups.Failure{EventFailure: groups.EventFailure{Seq: seq, Starts: starts}}}
}

func testGroupCommit(g *groupsTest) {
	for i := range 4 {
		g.append(i, 2)
	}
	ids := g.ids()
	lease := g.own()
	result := g.committed(lease.Epoch, groups.Commit{
		Number: 1, Position: ids[1], Passed: 2, Walk: groups.Walk{Changed: true, Active: true, Checked: 3, Total: 7}, Seen: ids[:2],
		Checkpoints: []groups.Checkpoint{{Chat: g.chat(0), Seq: 2}, {Chat: g.chat(1), Seq: 1}},
		Left:        []groups.LeftChat{{Chat: g.chat(1), State: groups.Behind}, {Chat: g.chat(2), State: groups.Parked}},
		Failing:     []groups.FailingChat{{Chat: g.chat(1), Progress: failed(2, 1)}, {Chat: g.chat(3), Progress: failed(1, 4)}},
		Letters:     []groups.Letter{g.letterFor(2, 1)},
	})
	g.same("result", result, groups.CommitResult{Revision: lease.Revision, DeadLetters: 1})
	first := g.saved()
	g.same("position", first.State.Position, ids[1].String())
	g.same("lag", first.State.Lag, uint64(len(ids)-2+1)) // and one event of the chat that is behind
	g.same("walked", []int{first.State.Walked, first.State.Chats}, []int{3, 7})
	g.same("is checked", first.State.CatchesUp && first.Changes.Walk, true)
	g.same("left", first.Changes.Left, map[string]groups.ChatState{g.chat(1): groups.Behind, g.chat(2): groups.Parked})
	g.same("left in numbers", []int{first.State.Behind, first.State.Parked}, []int{1, 1})
	g.same("failing", first.State.Failing, 2)
	g.same("checkpoints", first.Checkpoints, map[string]domain.Seq{g.chat(0): 2, g.chat(1): 1, g.chat(2): 0, g.chat(3): 0})
	g.same("dead letters", first.State.Letters, 1)
	letter := g.storeID(first.Letters[0])

	result = g.committed(lease.Epoch, groups.Commit{Number: 2})
	g.same("dead letters after a commit without changes", result.DeadLetters, 1)
	first.Changes.Retries = g.changes().Retries // storeID has retried the letter
	first.Letters = g.letters()
	g.same("state after a commit without changes", g.saved(), first)

	g.committed(lease.Epoch, groups.Commit{
		Number: 3, Position: ids[len(ids)-1], Passed: len(ids) - 2, Walk: groups.Walk{Changed: true},
		Checkpoints: []groups.Checkpoint{{Chat: g.chat(1), Seq: 2}},
		Left:        []groups.LeftChat{{Chat: g.chat(1)}, {Chat: g.chat(2), State: groups.Behind}},
		Failing:     []groups.FailingChat{{Chat: g.chat(1)}, {Chat: g.chat(3), Progress: failed(1, 5)}, {Chat: g.chat(0)}},
		Resolved:    []string{letter},
	})
	g.committed(lease.Epoch, groups.Commit{Number: 4, Checkpoints: []groups.Checkpoint{{Chat: g.chat(2), Seq: 2}}, Left: []groups.LeftChat{{Chat: g.chat(2)}}})
	second := g.saved()
	g.same("lag", second.State.Lag, uint64(0))
	g.same("is checked", second.State.CatchesUp || second.Changes.Walk, false)
	g.same("left", len(second.Changes.Left), 0)
	g.same("retries", len(second.Changes.Retries), 0)
	g.same("dead letters", len(second.Letters), 0)
	g.same("checkpoints", second.Checkpoints, map[string]domain.Seq{g.chat(0): 2, g.chat(1): 2, g.chat(2): 2, g.chat(3): 0})
	g.same("failing", g.acquire("a").Failing, map[string]groups.Progress{g.chat(3): failed(1, 5)})
}

// testGroupLag has chats behind with finished events beyond the checkpoint, as chats of a group have that needs no order.
func testGroupLag(g *groupsTest) {
	for i := range 3 {
		g.append(i, 8)
	}
	ids := g.ids()
	lease := g.own()
	done := func(ranges ...groups.SeqRange) groups.Progress { return groups.Progress{Done: ranges} }
	commit := groups.Commit{
		Number: 1, Position: ids[len(ids)-1], Passed: len(ids),
		Checkpoints: []groups.Checkpoint{{Chat: g.chat(0), Seq: 1}, {Chat: g.chat(1), Seq: 3}},
		Left:        []groups.LeftChat{{Chat: g.chat(0), State: groups.Behind}, {Chat: g.chat(1), State: groups.Behind}, {Chat: g.chat(2), State: groups.Parked}},
		Failing: []groups.FailingChat{
			{Chat: g.chat(0), Progress: done(groups.SeqRange{From: 3, To: 3}, groups.SeqRange{From: 5, To: 7})},
			{Chat: g.chat(2), Progress: done(groups.SeqRange{From: 2, To: 2})},
		},
	}
	g.committed(lease.Epoch, commit)
	const first, second = 8 - 1 - 4, 8 - 3
	g.same("lag", g.saved().State.Lag, uint64(first+second))
	g.committed(lease.Epoch, groups.Commit{Number: 2, Failing: []groups.FailingChat{{Chat: g.chat(1), Progress: done(groups.SeqRange{From: 5, To: 8})}}})
	g.same("lag", g.saved().State.Lag, uint64(first+second-4))
	// The log has lost events, or the checkpoint has passed them: only those between them count.
	g.committed(lease.Epoch, groups.Commit{Number: 3, Failing: []groups.FailingChat{
		{Chat: g.chat(0), Progress: done(groups.SeqRange{From: 1, To: 2}, groups.SeqRange{From: 8, To: 12}, groups.SeqRange{From: 14, To: 20})},
		{Chat: g.chat(1), Progress: done(groups.SeqRange{From: 1, To: 30})},
	}})
	g.same("lag", g.saved().State.Lag, uint64(8-1-2))
}

// storeID returns the id that a letter has for the store. The first time it retries the letter, because retries have that id.
func (g *groupsTest) storeID(d groups.DeadLetter) string {
	g.t.Helper()
	if id, known := g.storeIDs[d.ID]; known {
		return id
	}
	before := g.changes().Retries
	g.ok(g.Stores.Retry(g.t.Context(), "g", d.ID))
	for id := range g.changes().Retries {
		if _, known := before[id]; !known {
			g.storeIDs[d.ID] = id
			return id
		}
	}
	g.t.Fatalf("no letter was retried")
	return ""
}

func testGroupRenewal(g *groupsTest) {
	lease := g.own()
	for n := range uint64(3) {
		g.Advance(groupLease - time.Minute)
		g.committed(lease.Epoch, groups.Commit{Number: n + 1})
	}
	g.Advance(groupLease - time.Minute)
	g.committed(lease.Epoch, groups.Commit{Number: 3}) // the same again
	g.Advance(groupLease - time.Minute)
	if g.tryAcquire(g.store, g.p, applicant("b"), false) != nil {
		g.t.Fatalf("commits do not renew a lease")
	}
	g.Advance(2 * time.Minute)
	g.acquire("b")
}

func testGroupRepeatedCommit(g *groupsTest) {
	g.append(0, 3)
	ids := g.ids()
	lease := g.own()
	c := groups.Commit{
		Number: 1, Position: ids[0], Passed: 1, Checkpoints: []groups.Checkpoint{{Chat: g.chat(0), Seq: 1}},
		Failing: []groups.FailingChat{{Chat: g.chat(0), Progress: failed(2, 1)}}, Letters: []groups.Letter{g.letterFor(0, 1), {Reason: "r", UUID: "u", Entry: ids[0]}},
	}
	first := g.committed(lease.Epoch, c)
	g.same("shared letters written", first.Written, 1)
	before := g.saved()
	c.Position, c.Checkpoints = ids[1], []groups.Checkpoint{{Chat: g.chat(0), Seq: 2}} // has no effect
	again := g.committed(lease.Epoch, c)
	first.Written = 0
	g.same("result of the same commit", again, first)
	g.same("state after the same commit", g.saved(), before)

	g.Remove(g.p, ids[:2]...)
	lost := g.committed(lease.Epoch, groups.Commit{Number: 2})
	g.same("lost", lost.Lost, true)
	g.same("result of the same commit", g.committed(lease.Epoch, groups.Commit{Number: 2}), lost)
	g.same("lost after the next commit", g.committed(lease.Epoch, groups.Commit{Number: 3}).Lost, false)
}

// every is a commit that changes everything.
func (g *groupsTest) every(number uint64, ids []groups.StreamID) groups.Commit {
	return groups.Commit{
		Number: number, Position: ids[len(ids)-1], Passed: len(ids), Walk: groups.Walk{Changed: true, Active: true, Checked: 5, Total: 6}, Seen: ids,
		Checkpoints: []groups.Checkpoint{{Chat: g.chat(0), Seq: 9}, {Chat: g.chat(1), Seq: 9}},
		Left:        []groups.LeftChat{{Chat: g.chat(0)}, {Chat: g.chat(1), State: groups.Parked}},
		Failing:     []groups.FailingChat{{Chat: g.chat(0)}, {Chat: g.chat(1), Progress: failed(2, 2)}},
		Letters:     []groups.Letter{g.letterFor(1, 1), {Reason: "r", UUID: "u", Entry: ids[0]}},
	}
}

// refused checks that a commit that changes everything changes nothing.
func (g *groupsTest) refused(epoch uint64, c groups.Commit, want error) {
	g.t.Helper()
	for _, l := range g.letters() {
		c.Resolved = append(c.Resolved, g.storeID(l))
	}
	before := g.saved()
	result := g.commit(epoch, c)
	g.fails("the commit", result.Err, want)
	g.same("state after a refused commit", g.saved(), before)
}

// owned has a group with some state, and returns its lease and the ids of the stream's entries.
func (g *groupsTest) owned() (*groups.Lease, []groups.StreamID) {
	g.t.Helper()
	g.append(0, 3)
	g.append(1, 3)
	ids := g.ids()
	lease := g.own()
	g.committed(lease.Epoch, groups.Commit{
		Number: 1, Position: ids[0], Passed: 1, Checkpoints: []groups.Checkpoint{{Chat: g.chat(0), Seq: 1}}, Left: []groups.LeftChat{{Chat: g.chat(0), State: groups.Behind}},
		Failing: []groups.FailingChat{{Chat: g.chat(0), Progress: failed(2, 1)}}, Letters: []groups.Letter{g.letterFor(0, 1)}, Walk: groups.Walk{Changed: true},
	})
	return lease, ids
}

func testGroupSkippedCommit(g *groupsTest) {
	lease, ids := g.owned()
	for _, number := range []uint64{0, 3, 4, 1 << 40} {
		g.refused(lease.Epoch, g.every(number, ids), groups.ErrLostWrites)
	}
	g.committed(lease.Epoch, groups.Commit{Number: 2})
	g.refused(lease.Epoch, g.every(1, ids), groups.ErrLostWrites)
	g.committed(lease.Epoch, g.every(3, ids))
	g.acquire("a")
	g.fails("a commit after the partition was acquired again", g.commit(lease.Epoch, g.every(4, ids)).Err, groups.ErrFenced)
}

func testGroupFencedCommit(g *groupsTest) {
	lease, ids := g.owned()
	g.refused(lease.Epoch-1, g.every(2, ids), groups.ErrFenced)
	g.refused(lease.Epoch+1, g.every(2, ids), groups.ErrFenced)
	g.Advance(groupLease + time.Minute)
	g.acquire("b")
	g.refused(lease.Epoch, g.every(2, ids), groups.ErrFenced)
	g.refused(lease.Epoch, groups.Commit{Number: 1, Checkpoints: []groups.Checkpoint{{Chat: g.chat(0), Seq: 3}}}, groups.ErrFenced)
	g.same("owner", g.saved().State.Owner, "b")
	g.ok(g.Stores.Delete(g.t.Context(), "g"))
	g.fails("a commit to a deleted group", g.commit(lease.Epoch, g.every(2, ids)).Err, groups.ErrGroupDeleted)
	exists, err := g.Stores.Exists(g.t.Context(), "g")
	g.ok(err)
	g.same("exists after a commit", exists, false)
}

func testGroupCommitMany(g *groupsTest) {
	g.create(g.store, groups.Start{Beginning: true}, g.p, foreign)
	lease := g.acquire("a")
	other := g.tryAcquire(g.store, foreign, applicant("a"), false)
	one := groups.Commit{Number: 1, Checkpoints: []groups.Checkpoint{{Chat: g.chat(0), Seq: 1}}}
	results := g.store.Commit(g.t.Context(), []groups.OwnedCommit{
		{Partition: foreign, Epoch: other.Epoch + 1, Commit: &groups.Commit{Number: 1}},
		{Partition: g.p, Epoch: lease.Epoch, Commit: &one},
	}, groupLease)
	g.fails("a fenced commit", results[0].Err, groups.ErrFenced)
	g.ok(results[1].Err)
	g.same("checkpoint", g.checkpoint(0), domain.Seq(1))
	results = g.store.Commit(g.t.Context(), []groups.OwnedCommit{
		{Partition: foreign, Epoch: other.Epoch, Commit: &groups.Commit{Number: 1}},
		{Partition: g.p, Epoch: lease.Epoch, Commit: &groups.Commit{Number: 7}},
	}, groupLease)
	g.ok(results[0].Err)
	g.fails("a commit out of turn", results[1].Err, groups.ErrLostWrites)
	g.same("results of no commit", len(g.store.Commit(g.t.Context(), nil, groupLease)), 0)
}

func testGroupSeen(g *groupsTest) {
	lease, ids := g.owned()
	n := len(ids)
	g.Remove(g.p, ids[n-1])
	g.refused(lease.Epoch, groups.Commit{Number: 2, Seen: []groups.StreamID{ids[1], ids[n-1]}, Checkpoints: []groups.Checkpoint{{Chat: g.chat(0), Seq: 2}}}, groups.ErrLostWrites)
	g.committed(lease.Epoch, groups.Commit{Number: 2, Seen: []groups.StreamID{ids[1]}})
	g.Remove(g.p, ids[:3]...)
	g.committed(lease.Epoch, groups.Commit{Number: 3, Position: ids[3], Seen: []groups.StreamID{ids[1], ids[3]}}) // trimmed, not lost
	g.refused(lease.Epoch, groups.Commit{Number: 4, Seen: []groups.StreamID{ids[n-1]}}, groups.ErrLostWrites)
}

// testGroupSeenFirst has entries lost that a group has read before it had a position. Nothing can have trimmed them, unless every chat is checked.
func testGroupSeenFirst(g *groupsTest) {
	g.append(0, 2)
	ids := g.ids()
	lease := g.own()
	g.committed(lease.Epoch, groups.Commit{Number: 1, Seen: ids})
	g.Remove(g.p, ids[0])
	g.committed(lease.Epoch, groups.Commit{Number: 2, Seen: ids, Walk: groups.Walk{Changed: true}})
	g.refused(lease.Epoch, groups.Commit{Number: 3, Seen: ids}, groups.ErrLostWrites)
	g.committed(lease.Epoch, groups.Commit{Number: 3, Position: ids[1], Passed: 1})
	g.committed(lease.Epoch, groups.Commit{Number: 4, Seen: ids})
}

func testGroupCommitTrimmed(g *groupsTest) {
	lease, ids := g.owned()
	none := groups.StreamID{}
	g.Remove(g.p, ids[:2]...)
	lost := func(what string, c groups.Commit, position, first groups.StreamID, walked int) {
		g.t.Helper()
		result := g.committed(lease.Epoch, c)
		g.same(what+": lost and the first entry", []any{result.Lost, result.First}, []any{true, first})
		g.same(what+": position", g.saved().State.Position, position.String())
		g.same(what+": every chat is checked", []any{g.saved().State.CatchesUp, g.saved().State.Walked}, []any{true, walked})
	}
	lost("the position is gone", groups.Commit{Number: 2}, ids[2], ids[2], 0)
	result := g.committed(lease.Epoch, groups.Commit{Number: 3, Walk: groups.Walk{Changed: true, Active: true, Checked: 4, Total: 9}})
	g.same("lost once more", result.Lost, false)
	lost("a new position is gone", groups.Commit{Number: 4, Position: ids[1], Walk: groups.Walk{Changed: true}}, ids[2], ids[2], 0)
	g.Remove(g.p, ids[2])
	lost("only the position before is gone", groups.Commit{Number: 5, Position: ids[4], Walk: groups.Walk{Changed: true, Active: true, Checked: 5, Total: 9}}, ids[4], ids[3], 5)
	g.Remove(g.p, ids[3:]...)
	lost("all is gone", groups.Commit{Number: 6}, none, none, 0)
	result = g.committed(lease.Epoch, groups.Commit{Number: 7, Walk: groups.Walk{Changed: true}})
	g.same("lost where nothing is", result.Lost, false)
	g.same("every chat is checked", g.saved().State.CatchesUp, false)
}

func testGroupWalk(g *groupsTest) {
	lease := g.own()
	for n, step := range []struct {
		walk, want groups.Walk
	}{
		{groups.Walk{}, groups.Walk{Active: true}},
		{groups.Walk{Changed: true, Active: true, Checked: 10, Total: 25}, groups.Walk{Active: true, Checked: 10, Total: 25}},
		{groups.Walk{}, groups.Walk{Active: true, Checked: 10, Total: 25}},
		{groups.Walk{Changed: true, Active: true}, groups.Walk{Active: true}},
		{groups.Walk{Changed: true}, groups.Walk{}},
		{groups.Walk{}, groups.Walk{}},
		{groups.Walk{Changed: true, Active: true, Checked: 1, Total: 1}, groups.Walk{Active: true, Checked: 1, Total: 1}},
	} {
		g.committed(lease.Epoch, groups.Commit{Number: uint64(n) + 1, Walk: step.walk}) //nolint:gosec // small
		state := g.saved()
		g.same("progress", groups.Walk{Active: state.State.CatchesUp, Checked: state.State.Walked, Total: state.State.Chats}, step.want)
		g.same("every chat is checked", state.Changes.Walk, step.want.Active)
	}
	g.same("every chat is checked by the next owner", g.acquire("a").Walk, true)
}

func testGroupCheckpoints(g *groupsTest) {
	lease := g.own()
	const n = 5000
	commit := groups.Commit{Number: 1}
	chats := make([]string, n)
	for i := range n {
		chats[i] = g.chat(i)
		commit.Checkpoints = append(commit.Checkpoints, groups.Checkpoint{Chat: chats[i], Seq: domain.Seq(i + 1)})
	}
	g.committed(lease.Epoch, commit)
	slices.Reverse(chats)
	seqs, err := g.store.Checkpoints(g.t.Context(), g.p, append(chats, g.chat(n), g.chat(0)))
	g.ok(err)
	g.same("checkpoints", len(seqs), n+2)
	for i, seq := range seqs[:n] {
		g.same("checkpoint", seq, domain.Seq(n-i))
	}
	g.same("checkpoints of an unknown chat and of one twice", seqs[n:], []domain.Seq{0, 1})
	big := domain.Seq(1 << 53)
	g.committed(lease.Epoch, groups.Commit{Number: 2, Checkpoints: []groups.Checkpoint{{Chat: g.chat(0), Seq: big - 1}}})
	g.same("checkpoint", g.checkpoint(0), big-1)
}

// drawProgress draws any progress that a store keeps.
func drawProgress(t *rapid.T) (p groups.Progress) {
	drawn := func(name string) groups.EventFailure {
		return groups.EventFailure{
			Seq: domain.Seq(rapid.Uint64Range(1, 1<<50).Draw(t, name)), Starts: rapid.IntRange(0, 1000).Draw(t, "starts"), Epoch: rapid.Uint64Range(0, 1<<45).Draw(t, "epoch"),
		}
	}
	if rapid.Bool().Draw(t, "failed") {
		p.EventFailure = drawn("seq")
		if reason := rapid.SampledFrom([]groups.BlockReason{"", groups.BlockedTransient, groups.BlockedNewer, groups.BlockedSlow}).Draw(t, "reason"); reason != "" {
			p.Reason, p.Since = reason, time.UnixMilli(rapid.Int64Range(1, 1<<42).Draw(t, "since")).UTC()
			p.Cause = rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "a:b", ":", "~", "a b\n", strings.Repeat("é", 128)})).Draw(t, "cause")
		}
	}
	next := domain.Seq(1)
	for range rapid.IntRange(0, 5).Draw(t, "ranges") {
		from := next + 1 + domain.Seq(rapid.Uint64Range(0, 1<<20).Draw(t, "gap"))
		to := from + domain.Seq(rapid.Uint64Range(0, 1<<20).Draw(t, "length"))
		p.Done = append(p.Done, groups.SeqRange{From: from, To: to})
		next = to + 1
	}
	for range rapid.IntRange(0, 5).Draw(t, "others") {
		p.Others = append(p.Others, drawn("other"))
	}
	slices.SortFunc(p.Others, func(a, b groups.EventFailure) int { return int(a.Seq) - int(b.Seq) }) //nolint:gosec // below 1<<50
	return p
}

func testGroupProgress(g *groupsTest) {
	lease := g.own()
	number := uint64(0)
	want := make(map[string]groups.Progress)
	g.chat(2)
	rapid.Check(g.t.(rapid.TB), func(t *rapid.T) {
		g := g.with(t)
		commit := groups.Commit{}
		number++
		commit.Number = number
		for i := range 3 {
			chat := g.chat(i)
			p := drawProgress(t)
			commit.Failing = append(commit.Failing, groups.FailingChat{Chat: chat, Progress: p})
			if want[chat] = p; p.IsZero() {
				delete(want, chat)
			}
		}
		g.committed(lease.Epoch, commit)
		lease, number = g.acquire("a"), 0
		got := maps.Clone(lease.Failing)
		for chat, p := range got {
			p.Since = utc(p.Since)
			got[chat] = p
		}
		if len(got) != len(want) {
			t.Fatalf("%d chats have progress, want %d", len(got), len(want))
		}
		for chat, p := range want {
			g.same("progress", got[chat], p)
		}
	})
}

// utc returns a time in UTC, and the zero time as it is.
func utc(at time.Time) time.Time {
	if at.IsZero() {
		return time.Time{}
	}
	return at.UTC()
}
