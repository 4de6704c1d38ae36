package chatcore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"chatcore"
	"chatcore/adapters/pubsub/group"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/foldcheck"
	"chatcore/tests/redistest"
)

// TestFailoverOfOneShard_ParksNoChat kills a master while the built-in projections write, and promotes its replica. It guards against the chats
// whose handlers failed meanwhile being parked until an operator decides.
func TestFailoverOfOneShard_ParksNoChat(t *testing.T) {
	cluster := redistest.StartReplicatedCluster(t, 3, 1, "--cluster-node-timeout", "6000") // an outage longer than five starts take
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	core := opened(t)(chatcore.New(ctx, chatcore.Config{Redis: chatcore.RedisConfig{URL: cluster.URL()}}))
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	stop := start(t, core)
	defer stop()
	var chats []domain.ChatID
	users := []domain.UserID{"ada", "ben", "cleo", "dan", "eve", "fay", "gus", "hal"} // in all shards
	for i := range 30 {
		chat := domain.ChatID(fmt.Sprint("c", i))
		must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: chat, Actor: "ada", Members: users[1:]}))
		chats = append(chats, chat)
	}
	say := func(chat domain.ChatID, round int) { // until it is said
		send := domain.Send{Chat: chat, Actor: users[round%len(users)], MessageID: domain.MessageID(fmt.Sprint(chat, "-", round)), Content: "x"}
		for _, err := core.Chats.Send(ctx, send); err != nil && ctx.Err() == nil; {
			_, err = core.Chats.Send(ctx, send)
		}
	}
	cluster.Settle(t)
	master := cluster.Master(t, 0)
	promoted := make(chan struct{})
	var speakers sync.WaitGroup
	for _, chat := range chats { // side by side: those of the other shards go on
		speakers.Go(func() {
			for round := 0; ; round++ {
				say(chat, round)
				select {
				case <-promoted:
					say(chat, round+1)
					return
				case <-time.After(50 * time.Millisecond): // a pace
				}
			}
		})
	}
	master.Kill()
	cluster.AwaitPromotion(t, 0, master)
	close(promoted)
	speakers.Wait()
	if found, err := foldcheck.Await(ctx, core); err != nil || len(found) > 0 {
		t.Errorf("views differ from the log: %v, %v", found, err)
	}
	groups := core.Groups()
	for _, g := range must[[]chatcore.GroupState](t)(groups.List(ctx)) {
		for _, partition := range g.Partitions {
			if partition.Parked+partition.Letters != 0 {
				t.Errorf("%s on %s: %d chats are parked, %d dead letters", g.Group, partition.Stream, partition.Parked, partition.Letters)
			}
		}
	}
	if s := core.Stats(); s.DeadLetters != 0 || s.Transient == 0 {
		t.Errorf("%d dead letters after %d transient failures, want none after some", s.DeadLetters, s.Transient)
	}
}

// TestALiveHandlerThatExits_EndsNoType guards against a runtime.Goexit, as t.FailNow makes it, that takes the delivery of its type along.
func TestALiveHandlerThatExits_EndsNoType(t *testing.T) {
	core := opened(t)(chatcore.NewInMemory(chatcore.Config{}))
	second := make(chan string, 8)
	var calls atomic.Int64
	if err := core.Listen(
		chatcore.OnLive(func(context.Context, chatcore.Live[domain.MessageNew]) {
			switch calls.Add(1) {
			case 1, 2:
				runtime.Goexit()
			case 3:
				panic("no")
			}
		}),
		chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.MessageNew]) { second <- string(l.Event.Content) }),
	); err != nil {
		t.Fatal(err)
	}
	stop := start(t, core)
	heard := make(chan string, 8)
	var exits atomic.Int64
	if _, err := core.Helpers.Subscribe(t.Context(), "news", func(_ context.Context, payload json.RawMessage) {
		if exits.Add(1) < 3 {
			runtime.Goexit()
		}
		heard <- string(payload)
	}); err != nil {
		t.Fatal(err)
	}
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	for i := range 4 {
		content := fmt.Sprint("message ", i)
		must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: content}))
		if got := receive(t, second); got != content {
			t.Errorf("the second handler has %q, want %q", got, content)
		}
		if err := core.Helpers.Publish(t.Context(), "news", i); err != nil {
			t.Fatal(err)
		}
	}
	if got := receive(t, heard); got != "2" {
		t.Errorf("the channel's handler goes on with %s", got)
	}
	if n := core.Stats().LiveFailed; calls.Load() != 4 || n != 5 {
		t.Errorf("%d calls, %d of them failed", calls.Load(), n)
	}
	if err := core.WaitIdle(t.Context()); err != nil {
		t.Error(err)
	}
	stop()
}

// TestBlockedChats_AreFound asks another process for them.
func TestBlockedChats_AreFound(t *testing.T) {
	t.Parallel()
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: "blocked-" + uuid.NewString()}, Log: chatcore.LogConfig{Partitions: 2}, Delivery: chatcore.DeliveryConfig{Lease: group.MinLease}, StopTimeout: time.Second}
	core := opened(t)(chatcore.New(t.Context(), config))
	release := make(chan struct{})
	var down atomic.Bool
	down.Store(true)
	if err := errors.Join(
		core.Subscribe("down", chatcore.On(func(context.Context, chatcore.Delivery[domain.Durable]) error {
			if down.Load() {
				return chatcore.Transient(errors.New("no answer from the database"))
			}
			return nil
		})),
		core.Subscribe("hung", chatcore.HandlerTimeout(10*time.Millisecond), chatcore.On(func(context.Context, chatcore.Delivery[domain.Durable]) error {
			<-release
			return nil
		})),
	); err != nil {
		t.Fatal(err)
	}
	stop := start(t, core)
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "garden", Actor: "ada"}))
	other := opened(t)(chatcore.New(t.Context(), config))
	found := func(code string) (what string) {
		for _, f := range other.Health(t.Context()).Findings() {
			if f.Code == code {
				what = f.What
			}
		}
		return what
	}
	eventually(t, "both are found", func() bool { return found("transient_failures") != "" && found("slow_handler") != "" })
	for code, parts := range map[string][]string{
		"transient_failures": {"group down", "chat garden", "seq 1", "no answer from the database", "since 2"},
		"slow_handler":       {"group hung", "chat garden", "seq 1", "since 2"},
	} {
		if what := found(code); slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(what, part) }) {
			t.Errorf("%s says %q, want %v", code, what, parts)
		}
	}
	if s := core.Stats(); s.Blocked[chatcore.BlockedTransient] != 1 || s.Blocked[chatcore.BlockedSlow] != 1 || s.Transient == 0 {
		t.Errorf("stats %+v", s)
	}
	down.Store(false)
	close(release)
	eventually(t, "nothing is found", func() bool { return found("transient_failures")+found("slow_handler") == "" })
	stop()
}

// TestHandlerTimeout_IsChecked refuses invalid timeouts.
func TestHandlerTimeout_IsChecked(t *testing.T) {
	core := opened(t)(chatcore.NewInMemory(chatcore.Config{}))
	var invalid *domain.InvalidError
	if err := core.Subscribe("g", chatcore.HandlerTimeout(-time.Second)); !errors.As(err, &invalid) || invalid.Field != "HandlerTimeout" {
		t.Errorf("it says %v", err)
	}
}
