package redisgroup_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub/redisgroup"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestCreate_At starts groups at the times of events. They read the entries from there on, their lag counts these, and they check every chat first.
func TestCreate_At(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t))
	first := r.send("a")
	second := r.send("b")
	third := r.send("a")
	for name, test := range map[string]struct {
		at   time.Time
		want []string
	}{
		"the epoch": {time.Unix(0, 0), []string{"a:1", "b:1", "a:2"}},
		"first":     {first, []string{"a:1", "b:1", "a:2"}},
		"second":    {second, []string{"b:1", "a:2"}},
		"between":   {second.Add(time.Millisecond), []string{"a:2"}},
		"third":     {third, []string{"a:2"}},
		"later":     {third.Add(time.Hour), nil},
	} {
		store := r.create(name, groups.Start{At: test.at}, groups.Checkpoint{Chat: "a", Seq: 1})
		if s := r.state(name); s.Lag != uint64(len(test.want)) {
			t.Errorf("%s: the lag is %d, want %d", name, s.Lag, len(test.want))
		}
		l := r.acquire(store, "m")
		if got := r.read(store, l.Position); !slices.Equal(got, test.want) {
			t.Errorf("%s: the group reads %v, want %v", name, got, test.want)
		}
		if !l.Walk {
			t.Errorf("%s: the group does not check every chat", name)
		}
		if seqs, err := store.Checkpoints(t.Context(), r.partition, []string{"a", "b"}); err != nil || !slices.Equal(seqs, []domain.Seq{1, 0}) {
			t.Errorf("%s: the checkpoints are %v, error %v", name, seqs, err)
		}
		if fresh, err := store.Create(t.Context(), r.partition, groups.Start{At: first}); fresh || err != nil {
			t.Errorf("%s: the group is fresh: %v, error %v", name, fresh, err)
		}
		if s := r.state(name); s.Lag != uint64(len(test.want)) {
			t.Errorf("%s: after a second Create the lag is %d", name, s.Lag)
		}
	}
	now := r.create("now", groups.Start{})
	if l := r.acquire(now, "m"); l.Walk || len(r.read(now, l.Position)) > 0 {
		t.Errorf("a group that starts now has the lease %+v", l)
	}
}

// TestCreate_AtAfterATrim starts a group before entries that were trimmed. The check of every chat finds their events by the checkpoints.
func TestCreate_AtAfterATrim(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t))
	r.send("a")
	at := r.send("b")
	r.send("a", "c")
	if n, err := r.client.XTrimMaxLen(t.Context(), r.partition.Stream, 1).Result(); n != 3 || err != nil {
		t.Fatalf("%d entries were trimmed, error %v", n, err)
	}
	store := r.create("g", groups.Start{At: at}, groups.Checkpoint{Chat: "a", Seq: 1})
	if l := r.acquire(store, "m"); !l.Walk || l.Position.IsZero() {
		t.Errorf("lease %+v", l)
	}
	page, err := store.CompareHeads(t.Context(), r.partition, 0, 10)
	slices.SortFunc(page.Ahead, func(a, b ports.ChatHead) int { return strings.Compare(string(a.Chat), string(b.Chat)) })
	if want := []ports.ChatHead{{Chat: "a", Head: 2}, {Chat: "b", Head: 1}, {Chat: "c", Head: 1}}; err != nil || !slices.Equal(page.Ahead, want) {
		t.Errorf("chats behind: %+v, error %v", page.Ahead, err)
	}
}

// TestStore_WithoutALog keeps the group of a stream that carries no log. Nothing is checked against one.
func TestStore_WithoutALog(t *testing.T) {
	t.Parallel()
	ctx, client := t.Context(), connect(t, redistest.Start(t))
	all := redisgroup.New(redisgroup.Config{Commands: client, Blocking: client, Partitions: []redisgroup.Partition{redisgroup.NewPartition("topic")}, Timeout: wait.Limit})
	defer func() { _ = all.Close() }()
	partitions, store := all.Partitions(), all.Store("g")
	if len(partitions) != 1 || partitions[0] != (groups.Partition{Stream: "topic", Number: -1}) {
		t.Fatalf("partitions %v", partitions)
	}
	p := partitions[0]
	for _, payload := range []string{"one", "two"} {
		if err := client.XAdd(ctx, &goredis.XAddArgs{Stream: "topic", Values: []any{"payload", payload}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if fresh, err := store.Create(ctx, p, groups.Start{Beginning: true}); fresh || err != nil {
		t.Fatalf("fresh %v, error %v", fresh, err)
	}
	if m, err := store.Heartbeat(ctx, "m", lease, nil, lease); err != nil || !slices.Equal(m.Living, []string{"m"}) {
		t.Errorf("members %v, error %v", m, err)
	}
	leases, errs := store.Acquire(ctx, partitions, []bool{true}, groups.Applicant{Member: "m", Lease: lease, DeadLetterBound: bound})
	if errs[0] != nil || leases[0] == nil || leases[0].Walk {
		t.Fatalf("lease %+v, error %v", leases[0], errs[0])
	}
	b, err := store.Next(ctx, p, leases[0].Position, true)
	if err != nil || len(b.Entries) != 2 || string(b.Entries[1].Payload) != "two" || b.Entries[0].Seq != 0 {
		t.Fatalf("batch %+v, error %v", b, err)
	}
	results := store.Commit(ctx, []groups.OwnedCommit{{Partition: p, Epoch: leases[0].Epoch, Commit: &groups.Commit{
		Number: 1, Position: b.Last(), Passed: 2, Seen: []groups.StreamID{{Milliseconds: 1}}, Letters: []groups.Letter{{Reason: "bad", Entry: b.Entries[0].ID}},
	}}}, lease)
	if r := results[0]; r.Err != nil || r.DeadLetters != 1 || r.Written != 1 || r.Lost {
		t.Errorf("result %+v", r)
	}
	if page, err := store.CompareHeads(ctx, p, 0, 10); err != nil || len(page.Ahead) > 0 || page.Next != 0 || page.Tail != "" {
		t.Errorf("heads %+v, error %v", page, err)
	}
	if list, err := all.List(ctx); err != nil || len(list) != 1 || list[0].Members != 1 || list[0].Partitions[0].Letters != 1 || list[0].Partitions[0].Lag != 0 {
		t.Errorf("groups %+v, error %v", list, err)
	}
	if overrun, err := store.Trim(ctx, p, 1); err != nil || len(overrun) > 0 {
		t.Errorf("overrun %v, error %v", overrun, err)
	}
	if exists, err := all.Exists(ctx, "h"); exists || err != nil {
		t.Errorf("another group exists: %v, error %v", exists, err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

// TestCompareHeads_FindsChatsBeyondTheirCheckpoints compares the heads of the log with the group's checkpoints, within a bounded time.
func TestCompareHeads_FindsChatsBeyondTheirCheckpoints(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t))
	r.send("a", "a", "b")
	store := r.create("g", groups.Start{}, groups.Checkpoint{Chat: "a", Seq: 1}, groups.Checkpoint{Chat: "b", Seq: 1})
	page, err := store.CompareHeads(t.Context(), r.partition, 0, 10)
	if err != nil || !slices.Equal(page.Ahead, []ports.ChatHead{{Chat: "a", Head: 2}}) || page.Next != 0 || page.Tail == "" {
		t.Errorf("heads %+v, error %v", page, err)
	}
	if _, err := store.CompareHeads(ended(t.Context()), r.partition, 0, 10); !errors.Is(err, ports.ErrUnavailable) && !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

// TestStore_ScriptsAreUnknown has Redis forget the scripts before each call.
func TestStore_ScriptsAreUnknown(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Start(t))
	forget := func() { r.check(r.client.ScriptFlush(t.Context()).Err()) }
	forget()
	store := r.create("g", groups.Start{})
	forget()
	l := r.acquire(store, "m")
	forget()
	if result := r.commit(store, l.Epoch, groups.Commit{Number: 1}); result.Err != nil {
		t.Error(result.Err)
	}
	forget()
	r.check(store.Release(t.Context(), []groups.Release{{Partition: r.partition, Epoch: l.Epoch}}))
	r.acquire(store, "n")
}

// TestStore_Close ends the reads of one store, and leaves those of others.
func TestStore_Close(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Start(t))
	closed, open := r.create("g", groups.Start{}), r.create("h", groups.Start{})
	failed, got := make(chan error, 1), make(chan error, 1)
	read := func(store groups.Store, end chan error) {
		_, err := store.Next(t.Context(), r.partition, groups.StreamID{}, true)
		end <- err
	}
	go read(closed, failed)
	go read(open, got)
	wait.Until(t, "a read waits", func() bool { return strings.Contains(r.client.ClientList(t.Context()).Val(), "cmd=xread") })
	r.check(closed.Close())
	if err := <-failed; !errors.Is(err, ports.ErrClosed) {
		t.Errorf("a read when its store was closed: %v", err)
	}
	if _, err := closed.Next(t.Context(), r.partition, groups.StreamID{}, false); !errors.Is(err, ports.ErrClosed) {
		t.Errorf("a read after its store was closed: %v", err)
	}
	r.send("a")
	if err := <-got; err != nil {
		t.Errorf("a read of another store: %v", err)
	}
	r.check(r.groups.Close())
	if _, err := open.Next(t.Context(), r.partition, groups.StreamID{}, true); !errors.Is(err, ports.ErrClosed) {
		t.Errorf("a read after all was closed: %v", err)
	}
}

// TestStores_ShareReads has many groups wait at the end of a stream. Redis is asked once for all of them.
func TestStores_ShareReads(t *testing.T) {
	t.Parallel()
	const n = 8
	server := redistest.Start(t)
	r := newRig(t, server)
	r.send("a")
	end, err := r.groups.Store("").Last(t.Context(), r.partition)
	r.check(err)
	r.check(r.client.ConfigResetStat(t.Context()).Err())
	got := make(chan *groups.Batch, n)
	for range n {
		go func() {
			b, err := r.groups.Store("g").Next(t.Context(), r.partition, end, true)
			if err != nil {
				t.Error(err)
			}
			got <- b
		}()
	}
	wait.Until(t, "a read waits", func() bool { return strings.Contains(r.client.ClientList(t.Context()).Val(), "cmd=xread") })
	r.send("a")
	for range n {
		if b := <-got; b == nil || len(b.Entries) == 0 || b.Entries[0].Seq != 2 {
			t.Errorf("batch %+v", b)
		}
	}
	opened := 0
	_, err = fmt.Sscan(r.client.InfoMap(t.Context(), "stats").Val()["Stats"]["total_connections_received"], &opened)
	if err != nil || opened >= n/2 { // a read that waits has a connection for itself
		t.Errorf("%d connections were opened, error %v", opened, err)
	}
}
