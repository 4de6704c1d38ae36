package memgroup_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/adapters/pubsub/memgroup"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// owned returns a rig whose group "g" has an owner "a", the group's store with faults, and the lease.
func owned(t *testing.T, faults memgroup.Faults) (*rig, groups.Store, *groups.Lease) {
	t.Helper()
	r := newRig(t, 1)
	r.send("c", 3)
	p := r.groups.Partitions()[0]
	store := memgroup.WithFaults(r.groups, faults).Store("g")
	if _, err := r.groups.Store("g").Create(t.Context(), p, groups.Start{Beginning: true}); err != nil {
		t.Fatal(err)
	}
	leases, errs := r.groups.Store("g").Acquire(t.Context(), []groups.Partition{p}, []bool{false}, groups.Applicant{Member: "a", Lease: time.Minute})
	if errs[0] != nil || leases[0] == nil {
		t.Fatalf("the lease is %v: %v", leases[0], errs[0])
	}
	return r, store, leases[0]
}

// commit finishes an event of the chat "c".
func commit(t *testing.T, store groups.Store, epoch, number uint64, seq domain.Seq) error {
	t.Helper()
	p := groups.Partition{Stream: memgroup.Stream}
	c := groups.Commit{Number: number, Checkpoints: []groups.Checkpoint{{Chat: "c", Seq: seq}}}
	return store.Commit(t.Context(), []groups.OwnedCommit{{Partition: p, Epoch: epoch, Commit: &c}}, time.Minute)[0].Err
}

func (r *rig) checkpoint() domain.Seq {
	r.t.Helper()
	seqs, err := r.groups.Store("g").Checkpoints(r.t.Context(), r.groups.Partitions()[0], []string{"c"})
	if err != nil {
		r.t.Fatal(err)
	}
	return seqs[0]
}

func TestFaults(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault memgroup.Fault
		fails bool
		made  domain.Seq
	}{
		{"none", memgroup.Fault{}, false, 1},
		{"not made", memgroup.Fault{NotMade: true}, true, 0},
		{"no answer", memgroup.Fault{NoAnswer: true}, true, 1},
		{"both", memgroup.Fault{NotMade: true, NoAnswer: true}, true, 0},
		{"delayed", memgroup.Fault{Delay: time.Nanosecond}, false, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			fault := test.fault
			r, store, lease := owned(t, func(c memgroup.Call) memgroup.Fault {
				if c != (memgroup.Call{Group: "g", Method: "Commit", Partition: groups.Partition{Stream: memgroup.Stream}}) {
					t.Errorf("the call is %+v", c)
				}
				return fault
			})
			if err := commit(t, store, lease.Epoch, 1, 1); errors.Is(err, ports.ErrUnavailable) != test.fails || err != nil && !test.fails {
				t.Errorf("the commit gave %v", err)
			}
			if got := r.checkpoint(); got != test.made {
				t.Errorf("the checkpoint is %d, want %d", got, test.made)
			}
			fault = memgroup.Fault{}
			if err := commit(t, store, lease.Epoch, 1, 1); err != nil {
				t.Errorf("the same commit gave %v", err)
			}
			if got := r.checkpoint(); got != 1 {
				t.Errorf("the checkpoint is %d, want 1", got)
			}
		})
	}
}

// TestFaults_EveryMethod checks that each method of a store passes through its faults, and to the store.
func TestFaults_EveryMethod(t *testing.T) {
	fail := false
	called := make(map[string]bool)
	r, store, lease := owned(t, func(c memgroup.Call) memgroup.Fault {
		called[c.Method] = true
		return memgroup.Fault{NotMade: fail}
	})
	p := r.groups.Partitions()[0]
	calls := map[string]func(ctx context.Context) error{
		"Create": func(ctx context.Context) error { return second(store.Create(ctx, p, groups.Start{})) },
		"Seed":   func(ctx context.Context) error { return second(store.Seed(ctx, p, nil, true)) },
		"Heartbeat": func(ctx context.Context) error {
			return second(store.Heartbeat(ctx, "a", time.Minute, nil, time.Minute))
		},
		"Acquire": func(ctx context.Context) error {
			_, errs := store.Acquire(ctx, []groups.Partition{p}, []bool{false}, groups.Applicant{Member: "b", Lease: time.Minute})
			return errs[0]
		},
		"Commit": func(ctx context.Context) error {
			return store.Commit(ctx, []groups.OwnedCommit{{Partition: p, Epoch: lease.Epoch, Commit: &groups.Commit{Number: 1}}}, time.Minute)[0].Err
		},
		"Release":      func(ctx context.Context) error { return store.Release(ctx, []groups.Release{{Partition: p, Epoch: 1}}) },
		"Checkpoints":  func(ctx context.Context) error { return second(store.Checkpoints(ctx, p, []string{"c"})) },
		"Changes":      func(ctx context.Context) error { return second(store.Changes(ctx, p)) },
		"Letters":      func(ctx context.Context) error { return second(store.Letters(ctx, p, nil)) },
		"CompareHeads": func(ctx context.Context) error { return second(store.CompareHeads(ctx, p, 0, 1)) },
		"Next":         func(ctx context.Context) error { return second(store.Next(ctx, p, groups.StreamID{}, true)) },
		"Last":         func(ctx context.Context) error { return second(store.Last(ctx, p)) },
		"Trim":         func(ctx context.Context) error { return second(store.Trim(ctx, p, 10)) },
		"Trimmed": func(ctx context.Context) error {
			_, _, err := store.Trimmed(ctx, p, groups.StreamID{})
			return err
		},
	}
	for name, call := range calls {
		fail = false
		if err := call(t.Context()); err != nil || !called[name] {
			t.Errorf("%s gave %v, asked for a fault: %v", name, err, called[name])
		}
		fail = true
		if err := call(t.Context()); !errors.Is(err, ports.ErrUnavailable) {
			t.Errorf("%s that was not made gave %v", name, err)
		}
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

func second[V any](_ V, err error) error { return err }

// TestFaults_Frozen has a commit of a frozen owner arrive after another member has acquired the partition.
func TestFaults_Frozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frozen := make(chan struct{})
		r, store, lease := owned(t, func(memgroup.Call) memgroup.Fault { return memgroup.Fault{Frozen: frozen} })
		late := make(chan error, 1)
		go func() { late <- commit(t, store, lease.Epoch, 1, 1) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := store.Last(ctx, r.groups.Partitions()[0]); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ports.ErrUnavailable) {
			t.Errorf("a frozen call whose context ended gave %v", err)
		}
		r.clock.forward(time.Hour)
		if leases, errs := r.groups.Store("g").Acquire(t.Context(), r.groups.Partitions(), []bool{false}, groups.Applicant{Member: "b", Lease: time.Minute}); errs[0] != nil || leases[0] == nil {
			t.Fatalf("the lease is %v: %v", leases[0], errs[0])
		}
		close(frozen)
		if err := <-late; !errors.Is(err, groups.ErrFenced) {
			t.Errorf("the late commit gave %v", err)
		}
		if got := r.checkpoint(); got != 0 {
			t.Errorf("the checkpoint is %d", got)
		}
	})
}

func TestFence(t *testing.T) {
	r, store, lease := owned(t, func(memgroup.Call) memgroup.Fault { return memgroup.Fault{} })
	p := r.groups.Partitions()[0]
	r.groups.Fence("nobody", p)
	if err := commit(t, store, lease.Epoch, 1, 1); err != nil {
		t.Fatal(err)
	}
	r.groups.Fence("g", p)
	if err := commit(t, store, lease.Epoch, 2, 2); !errors.Is(err, groups.ErrFenced) {
		t.Errorf("the commit of a fenced owner gave %v", err)
	}
	leases, errs := store.Acquire(t.Context(), r.groups.Partitions(), []bool{false}, groups.Applicant{Member: "b", Lease: time.Minute})
	if errs[0] != nil || leases[0] == nil || leases[0].Overlap != time.Minute {
		t.Errorf("the next lease is %+v: %v", leases[0], errs[0])
	}
}

// TestSnapshot has the store lose a commit, an entry, a member and a group.
func TestSnapshot(t *testing.T) {
	r, store, lease := owned(t, func(memgroup.Call) memgroup.Fault { return memgroup.Fault{} })
	p := r.groups.Partitions()[0]
	if err := commit(t, store, lease.Epoch, 1, 1); err != nil {
		t.Fatal(err)
	}
	before, err := store.Last(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	snapshot := r.groups.Snapshot()
	var lost groups.StreamID
	for range 2 { // a snapshot can be brought back more than once
		if err := commit(t, store, lease.Epoch, 2, 2); err != nil {
			t.Fatal(err)
		}
		r.send("c", 1)
		lost, err = store.Last(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		r.sendForeign(groups.Partition{Stream: "orders", Number: -1}, groups.Entry{UUID: "u", Payload: []byte("{}")})
		if _, err := r.groups.Store("other").Create(t.Context(), p, groups.Start{}); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Heartbeat(t.Context(), "b", time.Minute, nil, 0); err != nil {
			t.Fatal(err)
		}
		if err := r.groups.Restore(t.Context(), snapshot); err != nil {
			t.Fatal(err)
		}
		if got := r.checkpoint(); got != 1 {
			t.Errorf("the checkpoint is %d, want 1", got)
		}
		if last, err := store.Last(t.Context(), p); err != nil || last != before {
			t.Errorf("the last entry is %v, want %v: %v", last, before, err)
		}
		if last, err := store.Last(t.Context(), groups.Partition{Stream: "orders", Number: -1}); err != nil || !last.IsZero() {
			t.Errorf("the last entry of the other stream is %v: %v", last, err)
		}
		list, err := r.groups.List(t.Context())
		if err != nil || len(list) != 1 || list[0].Members != 0 {
			t.Errorf("the groups are %+v: %v", list, err)
		}
	}
	if err := commit(t, store, lease.Epoch, 3, 3); !errors.Is(err, groups.ErrLostWrites) {
		t.Errorf("a commit after a lost one gave %v", err)
	}
	r.send("c", 1)
	b, err := store.Next(t.Context(), p, before, false)
	if err != nil || len(b.Entries) != 1 || b.Entries[0].Seq != 6 || b.Entries[0].ID.Compare(lost) <= 0 { // 4 and 5 were lost with the entries
		t.Errorf("after the last entry comes %+v: %v", b, err)
	}
	page, err := store.CompareHeads(t.Context(), p, 0, 10)
	if err != nil || len(page.Ahead) != 1 || page.Ahead[0].Head != 6 {
		t.Errorf("the heads are %+v: %v", page, err)
	}
}

// TestSnapshot_Epochs has the store lose an acquisition at the moment at which it was made: its epoch is not given again.
func TestSnapshot_Epochs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, store, first := owned(t, func(memgroup.Call) memgroup.Fault { return memgroup.Fault{} })
		snapshot := r.groups.Snapshot()
		acquire := func(member string) uint64 {
			leases, errs := store.Acquire(t.Context(), r.groups.Partitions(), []bool{false}, groups.Applicant{Member: member, Lease: time.Minute})
			if errs[0] != nil || leases[0] == nil {
				t.Fatalf("the lease is %v: %v", leases[0], errs[0])
			}
			return leases[0].Epoch
		}
		given := first.Epoch
		for range 3 {
			epoch := acquire("a")
			if epoch <= given {
				t.Fatalf("the epoch %d is given after %d", epoch, given)
			}
			given = epoch
			if err := r.groups.Restore(t.Context(), snapshot); err != nil {
				t.Fatal(err)
			}
		}
	})
}
