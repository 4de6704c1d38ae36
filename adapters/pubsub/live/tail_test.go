package live_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub/live"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestTail_AnnouncedEventsNeedNoRead hears events of several partitions that are announced.
func TestTail_AnnouncedEventsNeedNoRead(t *testing.T) {
	r := newTailRig(t, redistest.Shared(t), rigConfig{partitions: 3, announce: true})
	ears := []*ear{r.watch(0), r.watch(1), r.watch(1)}
	for range 20 {
		for p := range 3 {
			r.send(r.chatIn(p), 5)
		}
	}
	for _, e := range ears {
		e.hears(r.chatIn(e.partition), 1, 100)
		n := e.notices[7]
		record, err := r.Decode(n)
		if err != nil {
			t.Fatal(err)
		}
		if m, ok := record.Event.(domain.MessageNew); !ok || m.Chat != n.Chat || record.Seq != n.Seq || m.Content != "hi" {
			t.Errorf("notice of %s %d decodes as %+v", n.Chat, n.Seq, record)
		}
	}
	if r.Found() != 0 || r.Holes() != 0 || r.Losts() != 0 || r.Malformed() != 0 || r.Announcements() == 0 {
		t.Errorf("%d announcements, %d events found, %d holes, %d losses, %d malformed", r.Announcements(), r.Found(), r.Holes(), r.Losts(), r.Malformed())
	}
}

// TestTail_HoleIsRead has an event that was not announced before one that was.
func TestTail_HoleIsRead(t *testing.T) {
	r := newTailRig(t, redistest.Shared(t), rigConfig{announce: true})
	e := r.watch(0)
	chat, old := domain.ChatID("a"), domain.ChatID("b")
	r.send(chat, 3)
	for seq := 1; seq <= 3000; seq++ {
		r.unannounced(old, seq)
	}
	r.send(chat, 2)
	r.send(chat, 2)
	e.hears(old, 1, 3000)
	e.hears(chat, 1, 7)
	if r.Holes() == 0 || r.Found() < 3000 {
		t.Errorf("%d holes, %d events found", r.Holes(), r.Found())
	}
}

// TestTail_MalformedAnnouncement has another program publish on the channel of a partition. The stream is read because of that.
func TestTail_MalformedAnnouncement(t *testing.T) {
	r := newTailRig(t, redistest.Shared(t), rigConfig{announce: true})
	e := r.watch(0)
	r.send("a", 1)
	e.hears("a", 1, 1)
	r.unannounced("a", 2)
	for i, payload := range []string{"", "hello", "1-1\n", "1-1\n1-0 1 a 2 {}\n", "1-1\n1-2 1 a 3 {}\n", "0-0\n99999999999999999-1 0 a 2 {}\n"} {
		if err := r.client.Publish(t.Context(), r.keys.Log().Live(0), payload).Err(); err != nil {
			t.Fatal(err)
		}
		wait.Until(t, "the announcement is counted", func() bool { return r.Malformed() == uint64(i)+1 }) //nolint:gosec // a few
	}
	e.hears("a", 1, 2)
	if r.Losts() != 0 || r.Holes() != 0 {
		t.Errorf("%d losses, %d holes", r.Losts(), r.Holes())
	}
}

// TestTail_SweepFindsUnannounced has a program that announces nothing, and entries that are no events of a chat.
func TestTail_SweepFindsUnannounced(t *testing.T) {
	r := newTailRig(t, redistest.Shared(t), rigConfig{partitions: 2, tail: live.TailConfig{Sweep: 20 * time.Millisecond}})
	chat := r.chatIn(0)
	e := r.watch(0)
	r.add(0, "payload", `{}`, "chat", string(r.chatIn(1)), "seq", "1")
	r.add(0, "payload", `{"type":"message:new"}`)
	r.add(0, "payload", `{}`, "chat", string(chat))
	r.add(0, "payload", `{}`, "chat", string(chat), "seq", "0")
	r.add(0, "payload", `{}`, "chat", strings.Repeat("x", domain.MaxIDBytes+1), "seq", "1")
	r.send(chat, 2)
	e.hears(chat, 1, 2)
	r.add(0, "x", "y")
	r.send(chat, 3)
	e.hears(chat, 1, 5)
	if len(e.notices) != 5 {
		t.Errorf("heard %+v", e.notices)
	}
	if r.Malformed() != 0 || r.Losts() != 0 || r.Found() != 5 {
		t.Errorf("%d malformed, %d losses, %d found", r.Malformed(), r.Losts(), r.Found())
	}
	r.add(0, "chat", string(chat), "seq", "6")
	r.unannounced(chat, 7)
	wait.Until(t, "the entry without an event is counted", func() bool { return r.Malformed() == 1 })
}

// TestTail_WatchMissesNothing watches while events are appended.
func TestTail_WatchMissesNothing(t *testing.T) {
	r := newTailRig(t, redistest.Shared(t), rigConfig{announce: true, tail: live.TailConfig{Linger: time.Nanosecond}})
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if err := r.append(t.Context(), "a", 3); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for range 30 {
		e := r.watch(0)
		r.mu.Lock()
		after := r.sent["a"] + 1 // a batch is in flight at most
		r.mu.Unlock()
		wait.Until(t, "something is heard", func() bool {
			seqs, _ := e.heard("a")
			return len(seqs) > 0 && seqs[len(seqs)-1] > after
		})
		e.stop()
		seqs, lost := e.heard("a")
		for i, seq := range seqs {
			if seq != seqs[0]+i || seqs[0] > after || lost > 0 {
				t.Fatalf("heard %v after %d, %d losses", seqs, after, lost)
			}
		}
	}
	close(stop)
	writing.Wait()
}

// TestTail_SubscribesWhileWatched counts the subscriptions of partitions with several watchers.
func TestTail_SubscribesWhileWatched(t *testing.T) {
	server := redistest.Start(t)
	r := newTailRig(t, server, rigConfig{
		partitions: 4, announce: true, tail: live.TailConfig{Linger: time.Millisecond}, pubsub: live.PubSubConfig{Probe: 50 * time.Millisecond},
	})
	if n := r.subscribers(1); n != 0 {
		t.Errorf("%d subscribers before the first watch", n)
	}
	one, two := r.watch(1), r.watch(1)
	if n := r.subscribers(1); n != 1 || r.subscribers(0) != 0 {
		t.Errorf("%d subscribers, and %d of another partition", n, r.subscribers(0))
	}
	one.stop()
	one.stop()
	r.send(r.chatIn(1), 2)
	two.hears(r.chatIn(1), 1, 2)
	if n := len(one.notices); n != 0 {
		t.Errorf("%d events after the stop", n)
	}
	two.stop()
	wait.Until(t, "the subscription ends", func() bool { return r.subscribers(1) == 0 })
	wait.Until(t, "the connection ends", func() bool {
		list, err := server.Client(t).ClientList(t.Context()).Result()
		return err == nil && !strings.Contains(list, "cmd=ping") && !strings.Contains(list, "subscribe")
	})
	three := r.watch(1)
	r.send(r.chatIn(1), 2)
	three.hears(r.chatIn(1), 3, 4)
	if r.Reconnects() != 0 {
		t.Errorf("%d reconnects", r.Reconnects())
	}
}

// TestTail_LeavesNoGoroutine watches a partition again and again.
func TestTail_LeavesNoGoroutine(t *testing.T) {
	r := newTailRig(t, redistest.Shared(t), rigConfig{announce: true, tail: live.TailConfig{Linger: time.Nanosecond}})
	readers := func() int {
		stacks := make([]byte, 1<<20)
		return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "live.(*node).run(")
	}
	for range 3 {
		before := readers()
		e := r.watch(0)
		if n := readers() - before; n != 1 {
			t.Errorf("%d goroutines more during a watch", n)
		}
		e.stop()
		wait.Until(t, "the goroutine ends", func() bool { return readers() == before })
	}
}

// TestTail_LingersForTheNextWatcher keeps the subscription between two watchers.
func TestTail_LingersForTheNextWatcher(t *testing.T) {
	r := newTailRig(t, redistest.Shared(t), rigConfig{announce: true, tail: live.TailConfig{Linger: never}})
	r.watch(0).stop()
	r.send("a", 1)
	wait.Until(t, "the announcement is received without a watcher", func() bool { return r.Announcements() == 1 })
	e := r.watch(0)
	r.send("a", 1)
	e.hears("a", 2, 2)
	if n := r.subscribers(0); n != 1 {
		t.Errorf("%d subscribers", n)
	}
}

// connections returns the number of connections of a type.
func connections(t *testing.T, server *redistest.Server, typ string) int {
	t.Helper()
	list, err := server.Client(t).Do(t.Context(), "client", "list", "type", typ).Text()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(list, "id=")
}

// commands returns the calls of each command since the last time.
func commands(t *testing.T, server *redistest.Server) redistest.Commands {
	t.Helper()
	client := server.Client(t)
	calls := redistest.AllCommands(t, client)
	if err := client.ConfigResetStat(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for _, own := range []string{"info", "config|resetstat", "hello", "auth", "client|setinfo", "client|setname", "ping", "select", "client|maint_notifications"} {
		delete(calls, own)
	}
	return calls
}

// TestTail_SweepIsOneCommand counts the commands of a tail that watches 16 partitions, and of one that watches nothing any more.
func TestTail_SweepIsOneCommand(t *testing.T) {
	server := redistest.Start(t)
	const partitions = 16
	r := newTailRig(t, server, rigConfig{partitions: partitions, announce: true, tail: live.TailConfig{Sweep: 50 * time.Millisecond, Linger: time.Millisecond}})
	for p := range partitions {
		r.send(r.chatIn(p), 1)
	}
	commands(t, server)
	if calls := commands(t, server); len(calls) > 0 {
		t.Errorf("commands before the first watch: %v", calls)
	}
	var ears []*ear
	for p := range partitions {
		ears = append(ears, r.watch(p))
	}
	commands(t, server)
	wait.Until(t, "three sweeps", func() bool {
		return redistest.AllCommands(t, server.Client(t))["xread"] >= 3
	})
	if calls := commands(t, server); len(calls) != 1 || calls["xread"] < 3 {
		t.Errorf("commands of three sweeps of %d partitions: %v", partitions, calls)
	}
	for _, e := range ears {
		e.stop()
	}
	wait.Until(t, "no partition is subscribed", func() bool {
		for p := range partitions {
			if r.subscribers(p) > 0 {
				return false
			}
		}
		return true
	})
	quiet := 0
	wait.Until(t, "no command", func() bool {
		calls := commands(t, server)
		delete(calls, "pubsub|numsub")
		if quiet++; len(calls) > 0 {
			quiet = 0
		}
		return quiet == 100
	})
}

// TestTail_LostEntries has streams that lack the last known entry, or have too many after it.
func TestTail_LostEntries(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(r *tailRig, stream string, pipe goredis.Pipeliner) // in one transaction, so that no sweep reads in the middle of it
	}{
		{"trimmed", func(r *tailRig, stream string, pipe goredis.Pipeliner) {
			pipe.XAdd(r.t.Context(), r.entry("a", 3))
			pipe.XAdd(r.t.Context(), r.entry("a", 4))
			pipe.XTrimMaxLen(r.t.Context(), stream, 1)
		}},
		{"emptied", func(r *tailRig, stream string, pipe goredis.Pipeliner) { pipe.XTrimMaxLen(r.t.Context(), stream, 0) }},
		{"deleted", func(r *tailRig, stream string, pipe goredis.Pipeliner) { pipe.Del(r.t.Context(), stream) }},
		{"with earlier entries only", func(r *tailRig, stream string, pipe goredis.Pipeliner) {
			pipe.Del(r.t.Context(), stream)
			pipe.Do(r.t.Context(), "xadd", stream, "1-1", "x", "y")
		}},
		{"too long", func(r *tailRig, _ string, pipe goredis.Pipeliner) {
			for seq := range 1100 {
				pipe.XAdd(r.t.Context(), r.entry("b", seq+1))
			}
		}},
	} {
		for _, announce := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/announced=%v", test.name, announce), func(t *testing.T) {
				sweep := time.Duration(never)
				if !announce {
					sweep = 200 * time.Millisecond
				}
				r := newTailRig(t, redistest.Shared(t), rigConfig{announce: announce, tail: live.TailConfig{Sweep: sweep, Bound: 500}})
				e := r.watch(0)
				r.send("a", 2)
				e.hears("a", 1, 2)
				_, err := r.client.TxPipelined(t.Context(), func(pipe goredis.Pipeliner) error {
					test.change(r, r.keys.Log().Stream(0), pipe)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if announce {
					changed := time.Now().UnixMilli()
					wait.Until(t, "a later millisecond", func() bool { return time.Now().UnixMilli() > changed }) // or a new stream has the same ids
					r.send("c", 1)
				}
				wait.Until(t, "the loss is told", func() bool { return e.losses() == 1 })
				if !announce {
					r.send("c", 1)
				}
				r.send("d", 1)
				wait.Until(t, "later events are heard", func() bool {
					seqs, _ := e.heard("d")
					return len(seqs) == 1
				})
				if r.Losts() != uint64(e.losses()) || e.losses() > 2 {
					t.Errorf("%d losses are counted, %d were told", r.Losts(), e.losses())
				}
			})
		}
	}
}

func TestTail_WatchEnds(t *testing.T) {
	server := redistest.Start(t)
	r := newTailRig(t, server, rigConfig{partitions: 2, announce: true})
	for _, p := range []int{-1, 2} {
		if _, err := r.Watch(t.Context(), p, &ear{}); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("partition %d: %v", p, err)
		}
	}
	kept := r.watch(0)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Watch(ended, 0, &ear{}); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
	server.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Watch(ctx, 1, &ear{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without Redis: %v", err)
	}
	if _, err := r.WatchMemberships(ctx, func(domain.UserID) {}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("memberships without Redis: %v", err)
	}
	blocked := make(chan error, 2)
	go func() {
		_, err := r.Watch(t.Context(), 1, &ear{})
		blocked <- err
	}()
	go func() {
		_, err := r.WatchEphemeral(t.Context(), func(ports.EphemeralNotice) {})
		blocked <- err
	}()
	r.Close()
	for range 2 {
		if err := receive(t, blocked); !errors.Is(err, ports.ErrClosed) {
			t.Errorf("during Close: %v", err)
		}
	}
	if _, err := r.Watch(t.Context(), 0, &ear{}); !errors.Is(err, ports.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := r.WatchMemberships(t.Context(), func(domain.UserID) {}); !errors.Is(err, ports.ErrClosed) {
		t.Errorf("memberships after Close: %v", err)
	}
	kept.stop()
	r.Close()
}
