package redisgroup_test

import (
	"fmt"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
)

// TestCosts counts the commands of what a member does over and over, including those inside scripts.
func TestCosts(t *testing.T) {
	r := newRig(t, redistest.Start(t))
	store := r.create("g", groups.Start{Beginning: true})
	l := r.acquire(store, "m")
	r.send("a", "b", "c")
	read, err := store.Next(t.Context(), r.partition, groups.StreamID{}, false)
	r.check(err)
	number, until := uint64(0), lease
	commits := func(entries int) func() error {
		return func() error {
			number++
			c := groups.Commit{Number: number, Position: read.Last(), Passed: entries}
			for _, e := range read.Entries[:entries] {
				c.Seen = append(c.Seen, e.ID)
				c.Checkpoints = append(c.Checkpoints, groups.Checkpoint{Chat: e.Chat, Seq: e.Seq})
			}
			return r.commit(store, l.Epoch, c).Err
		}
	}
	renewal := redistest.Commands{
		"evalsha": 1, "get": 1, "hmget": 1, "time": 1, "hset": 1, // the script, identity, the group's state and its lease
		"xrange": 1, "xlen": 1, // whether the stream was trimmed, dead letters
	}
	for name, test := range map[string]struct {
		call func() error
		want redistest.Commands
	}{
		"heartbeat": {
			func() error {
				until += time.Second // as time that has passed
				_, err := store.Heartbeat(t.Context(), "m", until, nil, lease)
				return err
			},
			redistest.Commands{
				"evalsha": 1, "exists": 1, "time": 1, "zremrangebyscore": 3, "zrangebyscore": 1, "zadd": 1, "pttl": 1, "pexpire": 1, "zrange": 2,
			},
		},
		"renewal of a lease":      {commits(0), renewal},
		"commit of one entry":     {commits(1), renewal.And(redistest.Commands{"xrange": 1, "hlen": 1, "hset": 1})},
		"commit of three entries": {commits(3), renewal.And(redistest.Commands{"xrange": 3, "hlen": 1, "hset": 1})},
		"read": {
			func() error { _, err := store.Next(t.Context(), r.partition, groups.StreamID{}, false); return err },
			redistest.Commands{"xrange": 1},
		},
		"checkpoints of two chats": {
			func() error { _, err := store.Checkpoints(t.Context(), r.partition, []string{"a", "b"}); return err },
			redistest.Commands{"hmget": 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			call := func() { r.check(test.call()) }
			call() // Redis then has the script
			for _, difference := range redistest.CommandsOf(t, r.client, call).Differences(test.want) {
				t.Error(difference)
			}
		})
	}
}

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
