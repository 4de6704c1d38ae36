package memgroup_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// TestIdle follows a group through everything that it can have left to do.
func TestIdle(t *testing.T) {
	moved := 0
	codec, c := wireformat.New(), newClock()
	r := &rig{t: t, clock: c, log: memory.New(codec, c, nil)}
	r.groups = memgroup.New(memgroup.Config{Log: r.log, Codec: codec, Clock: c, Moved: func() { moved++ }})
	idle := func(what string, want bool) {
		t.Helper()
		if got := r.groups.Idle(); got != want {
			t.Errorf("%s: idle is %v", what, got)
		}
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	r.send("c", 1)
	idle("no group", true)
	store, p := r.groups.Store("g"), r.groups.Partitions()[0]
	check(second(store.Create(t.Context(), p, groups.Start{Beginning: true})))
	idle("a group that begins", false)
	check(second(store.Heartbeat(t.Context(), "a", time.Minute, nil, 0)))
	leases, errs := store.Acquire(t.Context(), []groups.Partition{p}, []bool{false}, groups.Applicant{Member: "a", Lease: time.Minute})
	check(errs[0])
	number := uint64(0)
	commit := func(change groups.Commit) {
		t.Helper()
		number++
		change.Number = number
		check(store.Commit(t.Context(), []groups.OwnedCommit{{Partition: p, Epoch: leases[0].Epoch, Commit: &change}}, time.Minute)[0].Err)
	}
	end, err := store.Last(t.Context(), p)
	check(err)
	commit(groups.Commit{Position: end})
	idle("chats are checked", false)
	commit(groups.Commit{Walk: groups.Walk{Changed: true}})
	idle("all is finished", true)
	r.send("c", 1)
	idle("an event", false)
	end, err = store.Last(t.Context(), p)
	check(err)
	idle("an entry", false)
	commit(groups.Commit{Position: end, Left: []groups.LeftChat{{Chat: "c", State: groups.Behind}}})
	idle("a chat that is behind", false)
	letter := groups.Letter{Chat: "c", Seq: 1, Parked: true}
	commit(groups.Commit{Left: []groups.LeftChat{{Chat: "c", State: groups.Parked}}, Letters: []groups.Letter{letter, letter}})
	idle("a chat that waits for a decision", true)
	for d, err := range r.groups.DeadLettersAfter(t.Context(), "g", "") {
		check(err)
		check(r.groups.Retry(t.Context(), "g", d.ID))
	}
	commit(groups.Commit{Left: []groups.LeftChat{{Chat: "c"}}})
	idle("letters that are retried", false)
	changes, err := store.Changes(t.Context(), p)
	check(err)
	for id := range changes.Retries {
		commit(groups.Commit{Letters: []groups.Letter{{Of: id}}})
	}
	idle("retries that failed", true)
	r.send("c", 1)
	check(second(store.Heartbeat(t.Context(), "a", 0, nil, 0)))
	idle("a group without members", true)
	if moved != int(number) { //nolint:gosec // small
		t.Errorf("%d commits were reported, want %d", moved, number)
	}
}

// TestNextWakes has reads wait until an entry comes that is in no log, an event is appended, or the store is closed.
func TestNextWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		store, p, q := r.groups.Store("g"), r.groups.Partitions()[0], r.groups.Partitions()[1]
		type read struct {
			of  groups.Partition
			b   *groups.Batch
			err error
		}
		reads := make(chan read, 10)
		wait := func(of groups.Partition, after groups.StreamID) {
			go func() {
				b, err := store.Next(t.Context(), of, after, true)
				reads <- read{of, b, err}
			}()
		}
		got := func(what string, want ...groups.Partition) {
			t.Helper()
			synctest.Wait()
			var of []groups.Partition
			for len(reads) > 0 {
				one := <-reads
				if one.err != nil || len(one.b.Entries) != 1 {
					t.Errorf("%s: the read gave %+v: %v", what, one.b, one.err)
				}
				of = append(of, one.of)
			}
			if !slices.Equal(of, want) {
				t.Errorf("%s: reads of %v ended, want %v", what, of, want)
			}
		}
		wait(p, groups.StreamID{})
		wait(q, groups.StreamID{})
		got("nothing")
		chat := func(of groups.Partition) string {
			for i := 'a'; ; i++ {
				if r.groups.PartitionOf(domain.ChatID(i)) == of {
					return string(i)
				}
			}
		}
		r.send(chat(q), 1)
		got("an event", q)
		r.sendForeign(p, groups.Entry{UUID: "u", Payload: []byte("{}")})
		got("an entry of another program", p)
		last, err := store.Last(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		wait(p, last)
		got("nothing more")
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if one := <-reads; !errors.Is(one.err, ports.ErrClosed) {
			t.Errorf("the read of a closed store gave %v", one.err)
		}
	})
}
