package delivery

import (
	"slices"
	"testing"
	"time"

	"chatcore/ports/groups"
)

// newCommitBench returns the owner of the second of two partitions.
func newCommitBench() *bench {
	m := New(Config{Concurrency: 1, Lease: time.Hour, Retry: RetryPolicy{}.WithDefaults()}, []groups.Partition{{Stream: "s0"}, {Stream: "s1"}})
	b := &bench{m: m, now: epoch, into: make([]*Record, 1)}
	b.p = m.Acquired(1, &groups.Lease{Epoch: 7, Left: map[string]groups.ChatState{}, Failing: map[string]groups.Progress{}}, epoch, epoch)
	return b
}

// TestCommits_Buffers gives the slices of an earlier call: their contents are not returned. A partition without an owner has no commit.
func TestCommits_Buffers(t *testing.T) {
	b := newCommitBench()
	b.take(t, entryOf("ada", 1))
	var commits []groups.OwnedCommit
	var partitions []*Partition
	for range 3 { // the answer is missing: the commit comes again
		commits, partitions = b.m.Commits(b.now, commits, partitions)
		if len(commits) != 1 || commits[0].Partition.Stream != "s1" || commits[0].Epoch != 7 || commits[0].Number != 1 || !slices.Equal(partitions, []*Partition{b.p}) {
			t.Fatalf("the commits are %+v of %v", commits, partitions)
		}
	}
	b.p.Committed(b.now, groups.CommitResult{})
	if commits, partitions = b.m.Commits(b.now, commits, partitions); len(commits) != 0 || len(partitions) != 0 {
		t.Errorf("without changes the commits are %+v of %v", commits, partitions)
	}
}

// TestCommits_Seen has reads between commits: each commit has the last entries of the reads since the one before, and the last entry before these.
func TestCommits_Seen(t *testing.T) {
	b := newCommitBench()
	id := func(n uint64) groups.StreamID { return groups.StreamID{Milliseconds: n} }
	for i, want := range [][]groups.StreamID{{id(1), id(2)}, {id(2), id(3)}, {id(3), id(4), id(5)}, {id(5)}} {
		for _, seen := range want {
			if seen != b.p.read {
				b.take(t, entryOf("ada", seen.Milliseconds))
			}
		}
		b.p.requestCommit()
		commits, _ := b.m.Commits(b.now, nil, nil)
		if len(commits) != 1 || !slices.Equal(commits[0].Seen, want) {
			t.Fatalf("commit %d: %+v, want the seen entries %v", i, commits, want)
		}
		b.p.Committed(b.now, groups.CommitResult{})
	}
}

// TestCommits_Room commits changes that let the position pass no entry: the loop that waits for room in the window sleeps on.
func TestCommits_Room(t *testing.T) {
	b := newCommitBench()
	b.take(t, entryOf("ada", 1))
	b.p.TakeWakes()
	b.m.Commits(b.now, nil, nil)
	if room, _ := b.p.TakeWakes(); room {
		t.Error("a commit that passes no entry says that the window has room")
	}
	b.p.Committed(b.now, groups.CommitResult{})
	if n := b.m.Deliver(b.now, b.into); n != 1 {
		t.Fatalf("%d events are delivered", n)
	}
	b.m.Completed(b.into[0], b.into[0].Start(), Outcome{Kind: Succeeded}, b.now)
	commits, _ := b.m.Commits(b.now, nil, nil)
	if room, _ := b.p.TakeWakes(); !room || len(commits) != 1 || commits[0].Passed != 1 || commits[0].Position != entryOf("ada", 1).ID {
		t.Errorf("room %v after the commits %+v", room, commits)
	}
}

// TestCommitted_Late applies answers that nothing waits for: the second answer of a commit, and one after the lease was lost.
func TestCommitted_Late(t *testing.T) {
	b := newCommitBench()
	b.take(t, entryOf("ada", 1))
	b.m.Commits(b.now, nil, nil)
	if !b.p.Committed(b.now, groups.CommitResult{Revision: "2"}) {
		t.Error("the change of the group is not reported")
	}
	if b.p.Committed(b.now, groups.CommitResult{Revision: "3", DeadLetters: 5}) || b.p.deadLetters != 0 {
		t.Error("an answer without a commit counts")
	}
	b.p.requestCommit()
	b.m.Commits(b.now, nil, nil)
	b.m.Lost(b.p, false)
	b.m.TakeEvents()
	if b.p.Committed(b.now, groups.CommitResult{Revision: "3", DeadLetters: 5, Lost: true}) || b.p.deadLetters != 0 || len(b.m.TakeEvents()) > 0 {
		t.Error("an answer under a lost lease counts")
	}
	if unknown := b.p.Fetched([]*Record{entryOf("bob", 2)}, entryOf("bob", 2).ID, &Checkpoints{}); len(unknown) > 0 {
		t.Errorf("under a lost lease the checkpoints of %v are needed", unknown)
	}
	if n := b.m.Deliver(b.now, b.into); n > 0 {
		t.Errorf("%d events are delivered under a lost lease", n)
	}
}
