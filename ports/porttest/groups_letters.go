package porttest

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// lettersOf returns dead letters without their ids and times.
func lettersOf(all []groups.DeadLetter) (plain []groups.DeadLetter) {
	for _, d := range all {
		d.ID, d.At, d.FailedAt = "", time.Time{}, time.Time{}
		plain = append(plain, d)
	}
	return plain
}

// dead returns what a letter of letterFor is as a dead letter.
func (g *groupsTest) dead(l groups.Letter) groups.DeadLetter {
	return groups.DeadLetter{
		Group: "g", Reason: l.Reason, First: l.Reason, Attempts: l.Attempts, Parked: l.Parked, Chat: domain.ChatID(l.Chat), Seq: l.Seq,
		EventID: domain.EventID(l.UUID), Metadata: map[string]string{"type": "x"}, Payload: l.Payload,
	}
}

func testGroupLetters(g *groupsTest) {
	g.append(0, 1)
	lease := g.own()
	first, second, other := g.letterFor(0, 1), g.letterFor(1, 7), g.letterFor(0, 0)
	second.Parked, other.Chat = true, ""
	result := g.committed(lease.Epoch, groups.Commit{Number: 1, Letters: []groups.Letter{first, second, other}})
	g.same("result", result, groups.CommitResult{Revision: lease.Revision, DeadLetters: 3})
	all := g.letters()
	g.same("dead letters", lettersOf(all), []groups.DeadLetter{g.dead(first), g.dead(second), g.dead(other)})
	for i, d := range all {
		if d.ID == "" || d.At.IsZero() || !d.FailedAt.IsZero() || i > 0 && (d.ID == all[i-1].ID || d.At.Before(all[i-1].At)) {
			g.t.Fatalf("letter %d has the id %q and the times %v, %v", i, d.ID, d.At, d.FailedAt)
		}
		one, err := g.Stores.DeadLetter(g.t.Context(), "g", d.ID)
		g.ok(err)
		g.same("one letter", one, d)
	}
	g.same("dead letters in the state", g.saved().State.Letters, 3)

	unknown := g.letterFor(0, 1)
	unknown.Metadata = "no metadata"
	g.committed(lease.Epoch, groups.Commit{Number: 2, Letters: []groups.Letter{unknown}})
	g.same("metadata that cannot be read", len(g.letters()[3].Metadata), 0)

	ids := []string{g.storeID(all[2]), g.storeID(all[0])}
	found, err := g.store.Letters(g.t.Context(), g.p, ids)
	g.ok(err)
	g.same("letters of the store", found, []groups.StoredLetter{{Letter: other, ID: ids[0]}, {Letter: first, ID: ids[1]}})
	g.committed(lease.Epoch, groups.Commit{Number: 3, Resolved: ids[:1]})
	found, err = g.store.Letters(g.t.Context(), g.p, ids)
	g.ok(err)
	g.same("letters of the store", found, []groups.StoredLetter{{Letter: first, ID: ids[1]}})
	found, err = g.store.Letters(g.t.Context(), g.p, nil)
	g.ok(err)
	g.same("no letters", len(found), 0)
	g.same("retries", len(g.changes().Retries), 1)
}

func testGroupSharedLetters(g *groupsTest) {
	g.append(0, 1)
	entry := g.ids()[0]
	lease := g.own()
	shared := groups.Letter{Reason: "it cannot be read", UUID: "u", Payload: []byte("x"), Entry: entry}
	result := g.committed(lease.Epoch, groups.Commit{Number: 1, Letters: []groups.Letter{shared, g.letterFor(0, 1), shared}})
	g.same("written and all dead letters", []int{result.Written, result.DeadLetters}, []int{1, 2})
	d := g.letters()[0]
	g.same("entry", d.Entry, entry.String())
	g.same("entry of another letter", g.letters()[1].Entry, "")

	store := g.Stores.Store("other")
	g.create(store, groups.Start{Beginning: true})
	other := g.tryAcquire(store, g.p, applicant("b"), false)
	another := shared
	another.Entry.Number += 5
	result = g.commitOn(store, g.p, other.Epoch, groups.Commit{Number: 1, Letters: []groups.Letter{shared, another}})
	g.ok(result.Err)
	g.same("written and all dead letters of another group", []int{result.Written, result.DeadLetters}, []int{1, 1})
	g.ok(g.Stores.Drop(g.t.Context(), "g", d.ID))
	result = g.committed(lease.Epoch, groups.Commit{Number: 2, Letters: []groups.Letter{shared}})
	g.same("written and all dead letters after one was dropped", []int{result.Written, result.DeadLetters}, []int{0, 1})
	g.ok(store.Close())
}

// retried has a dead letter that was retried out of order, and returns it, its id for the store and the lease.
func (g *groupsTest) retried() (groups.DeadLetter, string, *groups.Lease) {
	g.t.Helper()
	g.append(0, 1)
	lease := g.own()
	g.committed(lease.Epoch, groups.Commit{Number: 1, Letters: []groups.Letter{g.letterFor(0, 1)}})
	d := g.letters()[0]
	return d, g.storeID(d), lease
}

func testGroupFailedRetry(g *groupsTest) {
	d, id, lease := g.retried()
	failed := g.letterFor(0, 1)
	failed.Of, failed.Attempts = id, 8
	failed.Mark = groups.RetryMark{State: groups.RetryFailed, Attempts: 8, Seq: 1, Chat: g.chat(0), Reason: "it is broken again: a b"}
	result := g.committed(lease.Epoch, groups.Commit{Number: 2, Letters: []groups.Letter{failed}})
	g.same("dead letters", result.DeadLetters, 1)
	again, err := g.Stores.DeadLetter(g.t.Context(), "g", d.ID)
	g.ok(err)
	if again.FailedAt.Before(d.At) {
		g.t.Fatalf("the retry failed at %v, the letter is of %v", again.FailedAt, d.At)
	}
	want := d
	want.Attempts, want.Reason, want.FailedAt = 8, failed.Mark.Reason, again.FailedAt
	g.same("the letter after a failed retry", again, want)
	mark := g.changes().Retries[id]
	mark.At = time.Time{}
	g.same("the mark", mark, failed.Mark)

	g.ok(g.Stores.Retry(g.t.Context(), "g", d.ID))
	mark = g.changes().Retries[id]
	g.same("the state and the attempts of the next retry", []any{mark.State, mark.Attempts, mark.Reason}, []any{groups.RetryOutOfOrder, 8, failed.Mark.Reason})
	again, err = g.Stores.DeadLetter(g.t.Context(), "g", d.ID)
	g.ok(err)
	g.same("is about to be redelivered", again.Again, true)
	g.same("attempts", again.Attempts, 8)

	g.ok(g.Stores.Drop(g.t.Context(), "g", d.ID))
	out, in := failed, failed
	in.InOrder, in.Of = true, id
	result = g.committed(lease.Epoch, groups.Commit{Number: 3, Letters: []groups.Letter{out}})
	g.same("dead letters after a retry out of order of a dropped letter has failed", result.DeadLetters, 0)
	g.same("retries", len(g.changes().Retries), 0)
	result = g.committed(lease.Epoch, groups.Commit{Number: 4, Letters: []groups.Letter{in}})
	g.same("dead letters after a retry in order of a dropped letter has failed", result.DeadLetters, 1)
	written := g.letters()[0]
	g.same("the letter", []any{written.Attempts, written.Reason, written.Again}, []any{8, failed.Reason, false})
}

func testGroupRetryOutOfOrder(g *groupsTest) {
	d, id, lease := g.retried()
	before := lease.Revision
	after := g.committed(lease.Epoch, groups.Commit{Number: 2}).Revision
	if before == after {
		g.t.Fatalf("the revision is %q before and after a retry", before)
	}
	changes := g.changes()
	g.same("changes", changes, groups.Changes{Walk: true, Retries: map[string]groups.RetryMark{id: {State: groups.RetryOutOfOrder}}})
	again, err := g.Stores.DeadLetter(g.t.Context(), "g", d.ID)
	g.ok(err)
	want := d
	want.Again = true
	g.same("the retried letter", again, want)
	g.ok(g.Stores.Retry(g.t.Context(), "g", d.ID)) // once more
	g.same("changes", g.changes(), changes)
	g.same("checkpoint", g.checkpoint(0), domain.Seq(0))
	g.committed(lease.Epoch, groups.Commit{Number: 3, Resolved: []string{id}})
	g.fails("a letter whose retry has succeeded", g.Stores.Retry(g.t.Context(), "g", d.ID), groups.ErrDeadLetterNotFound)
	g.same("retries", len(g.changes().Retries), 0)
}

// parked has a chat that is parked for its event 2, and returns the letter and the lease.
func (g *groupsTest) parked() (groups.DeadLetter, *groups.Lease) {
	g.t.Helper()
	g.append(0, 3)
	lease := g.own()
	l := g.letterFor(0, 2)
	l.Parked = true
	g.committed(lease.Epoch, groups.Commit{
		Number: 1, Walk: groups.Walk{Changed: true}, Letters: []groups.Letter{l}, Checkpoints: []groups.Checkpoint{{Chat: g.chat(0), Seq: 1}},
		Left: []groups.LeftChat{{Chat: g.chat(0), State: groups.Parked}}, Failing: []groups.FailingChat{{Chat: g.chat(0), Progress: failed(2, 3)}},
	})
	return g.letters()[0], lease
}

func testGroupRetryParked(g *groupsTest) {
	d, lease := g.parked()
	g.same("parked", d.Parked, true)
	id := g.storeID(d) // retries it
	mark := groups.RetryMark{State: groups.RetryInOrder, Attempts: 3, Parked: true, Seq: 2, Chat: g.chat(0)}
	g.same("changes", g.changes(), groups.Changes{Left: map[string]groups.ChatState{g.chat(0): groups.Behind}, Retries: map[string]groups.RetryMark{id: mark}})
	g.same("checkpoint", g.checkpoint(0), domain.Seq(1))
	again, err := g.Stores.DeadLetter(g.t.Context(), "g", d.ID)
	g.ok(err)
	g.same("parked and about to be redelivered", []bool{again.Parked, again.Again}, []bool{false, true})
	state := g.saved().State
	g.same("failing, parked and behind", []int{state.Failing, state.Parked, state.Behind}, []int{0, 0, 1})
	if revision := g.committed(lease.Epoch, groups.Commit{Number: 2}).Revision; revision == lease.Revision {
		g.t.Fatalf("the revision is %q before and after a retry", revision)
	}
	g.ok(g.Stores.Retry(g.t.Context(), "g", d.ID)) // once more
	g.same("the mark", g.changes().Retries[id], mark)

	fails := g.letterFor(0, 2)
	fails.Of, fails.InOrder, fails.Parked = id, true, true
	fails.Mark = groups.RetryMark{State: groups.RetryFailed, Attempts: 6, Parked: true, Seq: 2, Chat: g.chat(0), Reason: "again"}
	g.committed(lease.Epoch, groups.Commit{Number: 3, Letters: []groups.Letter{fails}, Left: []groups.LeftChat{{Chat: g.chat(0), State: groups.Parked}}})
	again, err = g.Stores.DeadLetter(g.t.Context(), "g", d.ID)
	g.ok(err)
	g.same("parked, about to be redelivered, attempts", []any{again.Parked, again.Again, again.Attempts, again.First}, []any{true, false, 6, d.First})
	g.ok(g.Stores.Retry(g.t.Context(), "g", d.ID))
	mark = g.changes().Retries[id]
	g.same("the mark of the second retry", []any{mark.State, mark.Attempts, mark.Parked, mark.Seq, mark.Chat}, []any{groups.RetryInOrder, 6, true, domain.Seq(2), g.chat(0)})
	g.same("left", g.changes().Left, map[string]groups.ChatState{g.chat(0): groups.Behind})
}

func testGroupDropParked(g *groupsTest) {
	d, lease := g.parked()
	g.ok(g.Stores.Drop(g.t.Context(), "g", d.ID))
	g.same("checkpoint", g.checkpoint(0), domain.Seq(2))
	g.same("changes", g.changes(), groups.Changes{Left: map[string]groups.ChatState{g.chat(0): groups.Behind}})
	g.same("dead letters", len(g.letters()), 0)
	g.same("failing", g.saved().State.Failing, 0)
	if revision := g.committed(lease.Epoch, groups.Commit{Number: 2}).Revision; revision == lease.Revision {
		g.t.Fatalf("the revision is %q before and after a drop", revision)
	}
	g.fails("dropping it again", g.Stores.Drop(g.t.Context(), "g", d.ID), groups.ErrDeadLetterNotFound)
}

func testGroupDrop(g *groupsTest) {
	d, _, lease := g.retried()
	parked := g.letterFor(1, 1)
	parked.Parked = true // but its chat is not
	g.committed(lease.Epoch, groups.Commit{Number: 2, Letters: []groups.Letter{parked}, Left: []groups.LeftChat{{Chat: g.chat(1), State: groups.Behind}}})
	for _, d := range g.letters() {
		g.ok(g.Stores.Drop(g.t.Context(), "g", d.ID))
		_, err := g.Stores.DeadLetter(g.t.Context(), "g", d.ID)
		g.fails("a dropped letter", err, groups.ErrDeadLetterNotFound)
	}
	g.same("checkpoints", []domain.Seq{g.checkpoint(0), g.checkpoint(1)}, []domain.Seq{0, 0})
	g.same("changes", g.changes(), groups.Changes{Walk: true, Left: map[string]groups.ChatState{g.chat(1): groups.Behind}})
	g.fails("dropping a letter again", g.Stores.Drop(g.t.Context(), "g", d.ID), groups.ErrDeadLetterNotFound)
}

func testGroupRetryEntry(g *groupsTest) {
	g.append(0, 1)
	lease := g.own()
	id := g.ids()[0]
	l := groups.Letter{Reason: "it cannot be read", UUID: "u1", Metadata: "\x81\xa4type\xa1x", Payload: []byte("{"), Entry: id}
	noFields := groups.Letter{Reason: "it has no fields", Entry: groups.StreamID{Milliseconds: id.Milliseconds, Number: id.Number + 9}}
	g.committed(lease.Epoch, groups.Commit{Number: 1, Letters: []groups.Letter{l, noFields}})
	letters := g.letters()
	g.ok(g.Stores.Retry(g.t.Context(), "g", letters[0].ID))
	all := g.entries(g.p)
	g.same("entries", len(all), 2)
	added := all[1]
	if added.ID.Compare(id) <= 0 || added.UUID != "u1" || added.Metadata != l.Metadata || !bytes.Equal(added.Payload, l.Payload) || added.Seq != 0 || added.Chat != "" {
		g.t.Fatalf("the entry was added as %+v", added)
	}
	g.same("dead letters", len(g.letters()), 1)
	g.same("retries", len(g.changes().Retries), 0)
	g.fails("retrying an entry without fields", g.Stores.Retry(g.t.Context(), "g", letters[1].ID), domain.ErrInvalid)
	g.same("entries", len(g.ids()), 2)
}

func testGroupRetryCut(g *groupsTest) {
	g.append(0, 1)
	lease := g.own()
	g.committed(lease.Epoch, groups.Commit{Number: 1, Letters: []groups.Letter{{Reason: "it is too large", UUID: "u", Payload: []byte("{"), Entry: g.ids()[0], Cut: true}}})
	d := g.letters()[0]
	g.fails("retrying an entry that was cut", g.Stores.Retry(g.t.Context(), "g", d.ID), domain.ErrInvalid)
	g.same("dead letters", g.letters(), []groups.DeadLetter{d})
	g.same("entries", len(g.ids()), 1)
	g.ok(g.Stores.Drop(g.t.Context(), "g", d.ID))
}

func testGroupLetterPages(g *groupsTest) {
	partitions := g.Stores.Partitions()
	g.create(g.store, groups.Start{Beginning: true}, partitions...)
	var want []string
	for i, p := range partitions {
		lease := g.tryAcquire(g.store, p, applicant("a"), false)
		n := 3
		if i == 0 {
			n = 250
		}
		commit := groups.Commit{Number: 1}
		for seq := range n {
			commit.Letters = append(commit.Letters, groups.Letter{Reason: "r", Attempts: 1, UUID: fmt.Sprintf("%d/%d", i, seq), Payload: []byte("{}"), Chat: "c", Seq: domain.Seq(seq + 1)})
			want = append(want, fmt.Sprintf("%d/%d", i, seq))
		}
		g.ok(g.commitOn(g.store, p, lease.Epoch, commit).Err)
	}
	all := g.letters()
	g.same("dead letters", uuids(all), want)
	after := func(id string) (found []groups.DeadLetter) {
		for d, err := range g.Stores.DeadLettersAfter(g.t.Context(), "g", id) {
			g.ok(err)
			found = append(found, d)
		}
		return found
	}
	for _, i := range []int{0, 1, 99, 100, 101, 199, 248, 249, len(all) - 1} {
		g.same(fmt.Sprintf("letters after the one with index %d", i), append([]groups.DeadLetter{}, after(all[i].ID)...), append([]groups.DeadLetter{}, all[i+1:]...))
	}
	g.ok(g.Stores.Drop(g.t.Context(), "g", all[120].ID))
	g.same("letters after a dropped one", uuids(after(all[120].ID)), want[121:])
	n := 0
	for _, err := range g.Stores.DeadLettersAfter(g.t.Context(), "g", "") {
		g.ok(err)
		if n++; n == 5 {
			break
		}
	}
	g.same("letters until the loop ended", n, 5)
}

func uuids(letters []groups.DeadLetter) (ids []string) {
	for _, d := range letters {
		ids = append(ids, string(d.EventID))
	}
	return ids
}

// decisions calls every method about a letter.
func (g *groupsTest) decisions(group, id string) map[string]error {
	errs := make(map[string]error)
	_, errs["DeadLetter"] = g.Stores.DeadLetter(g.t.Context(), group, id)
	errs["Retry"] = g.Stores.Retry(g.t.Context(), group, id)
	errs["Drop"] = g.Stores.Drop(g.t.Context(), group, id)
	return errs
}

func testGroupNoLetter(g *groupsTest) {
	d, _, lease := g.retried()
	g.ok(g.Stores.Drop(g.t.Context(), "g", d.ID))
	for what, err := range g.decisions("g", d.ID) {
		g.fails(what+" of a letter that is gone", err, groups.ErrDeadLetterNotFound)
	}
	for what, err := range g.decisions("nobody", d.ID) {
		g.fails(what+" of a group that does not exist", err, groups.ErrGroupNotFound)
	}
	for _, id := range []string{" ", "x", "0", "0/", "/", "0/x", "x/1-0", "-1/1-0", "100000/1-0", d.ID + " ", d.ID + "/1", " " + d.ID} {
		for what, err := range g.decisions("g", id) {
			var invalid *domain.InvalidError
			if !errors.As(err, &invalid) || invalid.Problem == "" || invalid.Allowed == "" {
				g.t.Fatalf("%s of the id %q gave %v", what, id, err)
			}
		}
		n := 0
		for _, err := range g.Stores.DeadLettersAfter(g.t.Context(), "g", id) {
			n++
			g.fails(fmt.Sprintf("letters after the id %q", id), err, domain.ErrInvalid)
		}
		g.same(fmt.Sprintf("results after the id %q", id), n, 1)
	}
	for what, err := range g.decisions("g", "") {
		g.fails(what+" of no id", err, domain.ErrInvalid)
	}
	g.committed(lease.Epoch, groups.Commit{Number: 2, Resolved: []string{"1-0"}}) // a letter that is gone
}
