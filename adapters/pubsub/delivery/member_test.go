package delivery

import (
	"slices"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// entryOf returns a record of an event that is the entry with the same number.
func entryOf(chat string, seq uint64) *Record {
	return &Record{Entry: groups.Entry{ID: groups.StreamID{Milliseconds: seq}, Chat: chat, Seq: domain.Seq(seq)}}
}

// take gives the partition records of chats that it does not know yet.
func (b *bench) take(t *testing.T, records ...*Record) {
	t.Helper()
	known, last := &Checkpoints{}, records[len(records)-1].ID
	unknown := b.p.Fetched(records, last, known)
	known.Add(unknown, make([]domain.Seq, len(unknown)))
	if len(unknown) > 0 && len(b.p.Fetched(records, last, known)) > 0 {
		t.Fatal("chats are unknown again")
	}
}

// TestMember_Declines offers a partition to other members: it is declined until they know, and offered again after the cool-down.
func TestMember_Declines(t *testing.T) {
	m := New(Config{Concurrency: 1, Lease: time.Hour, CoolDown: time.Minute, Retry: RetryPolicy{}.WithDefaults()}, []groups.Partition{{Stream: "s0"}, {Stream: "s1"}})
	b := &bench{m: m, now: epoch, into: make([]*Record, 1)}
	b.p = m.Acquired(1, &groups.Lease{Epoch: 1, Left: map[string]groups.ChatState{}, Failing: map[string]groups.Progress{}}, epoch, epoch)
	if owned := m.OwnedPartitions(); !slices.Equal(owned, []groups.Partition{{Stream: "s1"}}) {
		t.Errorf("%v is owned, want s1", owned)
	}
	r := entryOf("ada", 1)
	b.take(t, r)
	newer := func(want ...groups.Partition) {
		t.Helper()
		if m.Deliver(b.now, b.into) != 1 {
			t.Fatal("the event is not delivered")
		}
		m.Completed(r, r.Start(), Outcome{Kind: FailedAsNewer}, b.now)
		if got := m.Declines(); !slices.Equal(got, want) {
			t.Errorf("%v is declined, want %v", got, want)
		}
		b.now = m.WakeAt()
		m.Tick(b.now)
	}
	newer(groups.Partition{Stream: "s1"})
	m.Declined([]groups.Partition{{Stream: "s0"}})
	newer(groups.Partition{Stream: "s1"})
	m.Declined([]groups.Partition{{Stream: "s0"}, {Stream: "s1"}})
	newer()
	b.now = epoch.Add(time.Minute)
	m.Tick(b.now)
	newer(groups.Partition{Stream: "s1"})
}

// TestMember_Rebalance assigns partitions: a member acquires its own alone.
func TestMember_Rebalance(t *testing.T) {
	partitions := []groups.Partition{{Stream: "s0"}, {Stream: "s1"}, {Stream: "s2"}, {Stream: "s3"}, {Stream: "s4"}, {Stream: "s5"}, {Stream: "s6"}, {Stream: "s7"}}
	living := groups.Members{Living: []string{"a", "b"}}
	var all []int
	for _, member := range living.Living {
		wanted := New(Config{}, partitions).Rebalance(living, member, epoch)
		for _, i := range wanted {
			if Assigned(partitions[i], living) != member {
				t.Errorf("%s is to acquire %v, which is not assigned to it", member, partitions[i])
			}
		}
		all = append(all, wanted...)
	}
	if len(all) != len(partitions) {
		t.Errorf("%v are to be acquired, want all %d", all, len(partitions))
	}
}

// TestMember_Running lists the records in flight in the order of their starts, until the caller has enough.
func TestMember_Running(t *testing.T) {
	b := newBench(Config{Concurrency: 3})
	records := []*Record{entryOf("ada", 1), entryOf("bob", 1), entryOf("cleo", 1)}
	b.take(t, records...)
	if n := b.m.Deliver(b.now, b.into); n != len(records) {
		t.Fatalf("%d records are delivered", n)
	}
	running := func(most int) (got []*Record) {
		b.m.Running(func(r *Record) bool {
			got = append(got, r)
			return len(got) < most
		})
		return got
	}
	if got := running(10); !slices.Equal(got, records) {
		t.Errorf("%d records run, want the three that were delivered, in their order", len(got))
	}
	if got := running(2); !slices.Equal(got, records[:2]) {
		t.Errorf("%d records are listed, want the first two", len(got))
	}
	b.m.Completed(records[1], records[1].Start(), Outcome{}, b.now)
	if got := running(10); !slices.Equal(got, []*Record{records[0], records[2]}) {
		t.Errorf("%d records run, want the first and the third", len(got))
	}
	if n := b.m.Finished(); n != 1 {
		t.Errorf("%d deliveries are finished, want 1", n)
	}
	if b.commit(); b.m.Finished() != 0 {
		t.Error("a finished delivery remains after the commit")
	}
}

// TestCompleted_EarlierStart reports an outcome of an earlier start while a later one of the same record runs: it does not count.
func TestCompleted_EarlierStart(t *testing.T) {
	b := newBench(Config{Concurrency: 1})
	r := entryOf("ada", 1)
	b.take(t, r)
	b.m.Deliver(b.now, b.into)
	b.m.Completed(r, 1, Outcome{Kind: FailedTransiently}, b.now)
	b.now = b.m.WakeAt()
	if b.m.Tick(b.now); b.m.Deliver(b.now, b.into) != 1 || r.Start() != 2 {
		t.Fatalf("start %d is the second one", r.Start())
	}
	if b.m.Completed(r, 1, Outcome{}, b.now); b.m.InFlight() != 1 {
		t.Error("the outcome of the first start ends the second one")
	}
	if b.m.Completed(r, 2, Outcome{}, b.now); b.m.InFlight() != 0 {
		t.Error("the second start does not end")
	}
}

// TestOutcomeKind_String names all kinds, and a value that is none.
func TestOutcomeKind_String(t *testing.T) {
	for kind, want := range map[OutcomeKind]string{Succeeded: "succeeded", FailedAsNewer: "failed as newer", Postponed: "postponed", Postponed + 1: "OutcomeKind(7)"} {
		if got := kind.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestEarlierHandlers_AreForgotten ends a handler of a lost lease: the member keeps nothing of it.
func TestEarlierHandlers_AreForgotten(t *testing.T) {
	b := newBench(Config{Concurrency: 1})
	r := entryOf("ada", 1)
	b.take(t, r)
	b.m.Deliver(b.now, b.into)
	if !b.m.Lost(b.p, false) {
		t.Error("the lease was over before")
	}
	if b.m.Lost(b.p, false) {
		t.Error("the lease is lost twice")
	}
	a := b.m.assignments[0]
	if len(a.earlier) != 1 {
		t.Fatalf("%v run, want one handler", a.earlier)
	}
	if b.m.Completed(r, r.Start(), Outcome{}, b.now); len(a.earlier) != 0 {
		t.Errorf("%v run, want none", a.earlier)
	}
}

// TestAcquired_AfterTheStateOfTheGroupWasLost has a store forget that a partition had an owner: its state was deleted and made anew. The member that
// owned it before knows that handlers may have been started.
func TestAcquired_AfterTheStateOfTheGroupWasLost(t *testing.T) {
	b := newBench(Config{Concurrency: 8})
	b.take(t, entryOf("ada", 1))
	if n := b.m.Deliver(b.now, b.into); n != 1 || b.into[0].Redelivered() {
		t.Fatalf("%d records are delivered, the first one again", n)
	}
	b.m.Completed(b.into[0], b.into[0].Start(), Outcome{}, b.now)
	b.m.Lost(b.p, false)
	forgotten := &groups.Lease{Epoch: 2, End: groups.StreamID{Milliseconds: 1}, Left: map[string]groups.ChatState{}, Failing: map[string]groups.Progress{}}
	b.p = b.m.Acquired(0, forgotten, b.now, b.now)
	b.take(t, entryOf("ada", 1))
	if n := b.m.Deliver(b.now, b.into); n != 1 || !b.into[0].Redelivered() {
		t.Errorf("%d records are delivered, the first one as new", n)
	}
}
