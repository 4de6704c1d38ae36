package porttest

import (
	"context"
	"fmt"
	"math"
	"slices"

	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

func testGroupNext(g *groupsTest) {
	g.own()
	none, err := g.store.Next(g.t.Context(), g.p, groups.StreamID{}, false)
	g.ok(err)
	g.same("entries of an empty stream", []any{len(none.Entries), none.Gap, none.Full, none.Last()}, []any{0, false, false, groups.StreamID{}})
	last, err := g.store.Last(g.t.Context(), g.p)
	g.ok(err)
	g.same("last entry of an empty stream", last, groups.StreamID{})

	g.append(0, 2)
	g.AppendForeign(g.p, groups.Entry{UUID: "u1", Metadata: "\x81\xa4type\xa1x", Payload: []byte("{}")})
	g.append(1, 1)
	b, err := g.store.Next(g.t.Context(), g.p, groups.StreamID{}, true)
	g.ok(err)
	var chats []string
	var seqs []domain.Seq
	for i, e := range b.Entries {
		chats, seqs = append(chats, e.Chat), append(seqs, e.Seq)
		if e.UUID == "" || e.Metadata == "" || len(e.Payload) == 0 || e.Broken != "" || e.Half || i > 0 && e.ID.Compare(b.Entries[i-1].ID) <= 0 {
			g.t.Fatalf("entry %d is %+v", i, e)
		}
	}
	g.same("chats", chats, []string{g.chat(0), g.chat(0), "", g.chat(1)})
	g.same("seqs", seqs, []domain.Seq{1, 2, 0, 1})
	g.same("batch", []any{b.After, b.Gap, b.Full}, []any{groups.StreamID{}, false, false})
	last, err = g.store.Last(g.t.Context(), g.p)
	g.ok(err)
	g.same("last entry", last, b.Last())
	for i, e := range b.Entries {
		for _, wait := range []bool{false, true} {
			if wait && i == len(b.Entries)-1 {
				continue
			}
			rest, err := g.store.Next(g.t.Context(), g.p, e.ID, wait)
			g.ok(err)
			g.same("entries after one", rest.Entries, slices.Clone(b.Entries[i+1:]))
			g.same("gap after one", rest.Gap, false)
		}
	}
	g.store.Forget(g.p)
	again, err := g.store.Next(g.t.Context(), g.p, groups.StreamID{}, true)
	g.ok(err)
	g.same("entries once those in memory were discarded", again.Entries, b.Entries)
}

// testGroupNextWaits has a read of each kind of stream wait for an entry, while others read and append.
func testGroupNextWaits(g *groupsTest) {
	g.append(0, 1)
	g.AppendForeign(foreign, groups.Entry{UUID: "u", Payload: []byte("{}")})
	for name, add := range map[string]func(p groups.Partition){
		"an event":                    func(groups.Partition) { g.append(0, 1) },
		"an entry of another program": func(p groups.Partition) { g.AppendForeign(p, groups.Entry{UUID: "u", Payload: []byte("{}")}) },
	} {
		for _, p := range []groups.Partition{g.p, foreign} {
			if p == foreign && name == "an event" {
				continue
			}
			after, err := g.store.Last(g.t.Context(), p)
			g.ok(err)
			const readers = 3
			type read struct {
				b   *groups.Batch
				err error
			}
			reads := make(chan read, readers)
			ctx, cancel := context.WithTimeout(g.t.Context(), patience)
			for range readers {
				go func() {
					for {
						b, err := g.store.Next(ctx, p, after, true)
						if err != nil || len(b.Entries) > 0 {
							reads <- read{b, err}
							return
						}
					}
				}()
			}
			ended, end := context.WithCancel(ctx)
			stopped := make(chan error, 1)
			go func() {
				for {
					if _, err := g.store.Next(ended, p, after, true); err != nil {
						stopped <- err
						return
					}
				}
			}()
			end()
			g.fails("a read whose context has ended", <-stopped, context.Canceled)
			add(p)
			for range readers {
				r := <-reads
				g.ok(r.err)
				g.same(name+": entries", len(r.b.Entries), 1)
			}
			cancel()
		}
	}
}

func testGroupNextGap(g *groupsTest) {
	g.append(0, 4)
	ids := g.ids()
	gap := func(after groups.StreamID, wait bool, gap bool, want ...groups.StreamID) {
		g.t.Helper()
		g.store.Forget(g.p)
		b, err := g.store.Next(g.t.Context(), g.p, after, wait)
		g.ok(err)
		var found []groups.StreamID
		for _, e := range b.Entries {
			found = append(found, e.ID)
		}
		g.same(fmt.Sprintf("entries after %v", after), found, want)
		g.same(fmt.Sprintf("gap after %v", after), b.Gap, gap)
	}
	g.Remove(g.p, ids[1])
	for _, wait := range []bool{false, true} {
		gap(ids[0], wait, false, ids[2], ids[3])
		gap(ids[1], wait, true, ids[2], ids[3])
		gap(groups.StreamID{}, wait, false, ids[0], ids[2], ids[3])
	}
	g.Remove(g.p, ids[3])
	gap(ids[3], false, true)
	gap(ids[3], true, true)
	g.Remove(g.p, ids[0], ids[2])
	gap(ids[3], true, true)
	gap(groups.StreamID{}, false, false)
}

func testGroupNextMany(g *groupsTest) {
	const n = 1000
	g.append(0, n)
	seq, batches := domain.Seq(0), 0
	for after := (groups.StreamID{}); seq < n; batches++ {
		b, err := g.store.Next(g.t.Context(), g.p, after, batches%2 == 0)
		g.ok(err)
		for _, e := range b.Entries {
			if seq++; e.Seq != seq {
				g.t.Fatalf("seq %d comes as the event %d", e.Seq, seq)
			}
		}
		if !b.Full && seq < n {
			g.t.Fatalf("a batch of %d entries is not full", len(b.Entries))
		}
		after = b.Last()
	}
	if batches < 2 || batches > n/10 {
		g.t.Fatalf("%d entries came in %d batches", n, batches)
	}
}

func testGroupTrimmed(g *groupsTest) {
	lease, ids := g.owned()
	check := func(what string, gone groups.StreamID, trimmed bool, first groups.StreamID) {
		g.t.Helper()
		got, at, err := g.store.Trimmed(g.t.Context(), g.p, gone)
		g.ok(err)
		g.same(what, []any{got, at}, []any{trimmed, first})
	}
	g.Remove(g.p, ids[1])
	check("an entry between others", ids[1], false, ids[0])
	g.Remove(g.p, ids[0])
	check("the first entries", ids[1], true, ids[2])
	check("an entry that was never there, before all", groups.StreamID{Milliseconds: 1}, true, ids[2])
	check("an entry after all", groups.StreamID{Milliseconds: math.MaxInt64}, false, ids[2])
	g.Remove(g.p, ids[2:]...)
	check("all entries", ids[5], true, groups.StreamID{})
	g.committed(lease.Epoch, groups.Commit{Number: 2, Walk: groups.Walk{Changed: true}}) // the position becomes that of an empty stream
	g.committed(lease.Epoch, groups.Commit{Number: 3, Walk: groups.Walk{Changed: true}})
	check("an entry of a stream that the group has not begun", ids[5], false, groups.StreamID{})
}

// trim trims p.
func (g *groupsTest) trim(bound int) []string {
	g.t.Helper()
	overrun, err := g.store.Trim(g.t.Context(), g.p, bound)
	g.ok(err)
	return sorted(overrun)
}

// trimSlack is how many entries more than necessary a stream may keep.
const trimSlack = 250

func testGroupTrim(g *groupsTest) {
	g.same("overrun groups where there is none", len(g.trim(1)), 0)
	g.append(0, 10)
	g.same("overrun groups where there is none", len(g.trim(1)), 0)
	g.same("entries that no group has read", len(g.ids()), 10)
	g.append(0, 2*trimSlack)
	ids := g.ids()
	lease := g.own()
	other := g.Stores.Store("other")
	g.create(other, groups.Start{Beginning: true})
	second := g.tryAcquire(other, g.p, applicant("a"), false)
	high, low := len(ids)-1, len(ids)-50
	g.committed(lease.Epoch, groups.Commit{Number: 1, Position: ids[high], Passed: high + 1, Walk: groups.Walk{Changed: true}})
	g.same("overrun groups", len(g.trim(10_000)), 0)
	g.same("entries that a group has not passed", len(g.ids()), len(ids))
	g.ok(g.commitOn(other, g.p, second.Epoch, groups.Commit{Number: 1, Position: ids[low], Passed: low + 1, Walk: groups.Walk{Changed: true}}).Err)
	g.same("overrun groups", len(g.trim(10_000)), 0)
	left := g.ids()
	if !slices.Contains(left, ids[low]) || len(left) > len(ids)-low+trimSlack {
		g.t.Fatalf("%d entries are left, those from the lowest position on are %d", len(left), len(ids)-low)
	}
	g.same("lost entries", g.committed(lease.Epoch, groups.Commit{Number: 2}).Lost, false)
	g.same("every chat is checked", g.saved().State.CatchesUp, false)
	g.same("lag", g.saved().State.Lag, uint64(0))
	g.ok(other.Close())
}

func testGroupTrimBound(g *groupsTest) {
	g.append(0, 3*trimSlack)
	ids := g.ids()
	lease := g.own()
	behind := g.Stores.Store("behind")
	g.create(behind, groups.Start{Beginning: true})
	second := g.tryAcquire(behind, g.p, applicant("a"), false)
	g.ok(g.commitOn(behind, g.p, second.Epoch, groups.Commit{Number: 1, Position: ids[0], Passed: 1, Walk: groups.Walk{Changed: true}}).Err)
	g.committed(lease.Epoch, groups.Commit{Number: 1, Position: ids[len(ids)-1], Passed: len(ids), Walk: groups.Walk{Changed: true}})
	g.same("overrun groups", g.trim(20), []string{"behind"})
	left := g.ids()
	if len(left) < 20 || len(left) > 20+trimSlack {
		g.t.Fatalf("%d entries are left with the bound 20", len(left))
	}
	state, err := g.Stores.Inspect(g.t.Context(), "behind", []groups.Partition{g.p})
	g.ok(err)
	g.same("position and check of the overrun group", []any{state.Partitions[0].Position, state.Partitions[0].CatchesUp}, []any{left[0].String(), true})
	g.same("lag of the overrun group", state.Partitions[0].Lag, uint64(len(left)-1))
	result := g.commitOn(behind, g.p, second.Epoch, groups.Commit{Number: 2})
	g.ok(result.Err)
	if result.Revision == second.Revision {
		g.t.Fatalf("the revision is %q before and after the stream was trimmed to its bound", result.Revision)
	}
	g.same("every chat of the other group is checked", g.saved().State.CatchesUp, false)
	g.same("revision of the other group", g.committed(lease.Epoch, groups.Commit{Number: 2}).Revision, lease.Revision)
	g.same("overrun groups", len(g.trim(10_000)), 0)
	g.ok(behind.Close())
}

// testGroupClose checks that reads of a closed store end.
func testGroupClose(g *groupsTest) {
	g.append(0, 1)
	last, err := g.store.Last(g.t.Context(), g.p)
	g.ok(err)
	store := g.Stores.Store("closing")
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := store.Next(ctx, g.p, last, true); err != nil {
				ended <- err
				return
			}
		}
	}()
	g.ok(store.Close())
	err = <-ended
	g.fails("a read of a closed store", err, ports.ErrClosed)
	g.same("reads of another store", len(g.ids()), 1)
}
