package redisgroup_test

import (
	"fmt"
	"testing"

	"chatcore/domain"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
)

// TestCommit_Allocations compares commits of few and of many chats: chats, seqs, marks and ids cost no allocation each.
func TestCommit_Allocations(t *testing.T) {
	r := newRig(t, redistest.Start(t))
	store := r.create("g", groups.Start{Beginning: true})
	l := r.acquire(store, "m")
	number := uint64(0)
	measure := func(n int) float64 {
		c := &groups.Commit{}
		for i := range n {
			chat := fmt.Sprintf("chat-%d", i)
			c.Checkpoints = append(c.Checkpoints, groups.Checkpoint{Chat: chat, Seq: domain.Seq(i + 1000)})
			c.Left = append(c.Left, groups.LeftChat{Chat: chat, State: groups.Behind})
		}
		changes := []groups.OwnedCommit{{Partition: r.partition, Epoch: l.Epoch, Commit: c}}
		return testing.AllocsPerRun(20, func() {
			number++
			c.Number = number
			if result := store.Commit(t.Context(), changes, lease)[0]; result.Err != nil {
				t.Fatal(result.Err)
			}
		})
	}
	few, many := measure(1), measure(1000)
	if many > few+10 || few > 60 {
		t.Errorf("a commit of 1,000 chats costs %.0f allocations, one of a single chat %.0f", many, few)
	}
}
