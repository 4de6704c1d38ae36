package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/memory"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/limit"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/chatcoretest"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
)

// limitedChats returns use cases on a log and a limiter, in a chat with a message.
func limitedChats(t *testing.T, log *eventlog.Log, limiter ports.Limiter, limits map[string]app.Limit) *app.Chats {
	t.Helper()
	clock := chatcoretest.NewClock(time.Now())
	chats := app.NewChats(log, entity.NewLoader(log, log, 1<<20), silent{}, nil, clock, rig.RandomIDs{}, nil, app.Policy{}, app.NewLimits(limiter, limits))
	past := chats.Backdated(clock.Now())
	if _, err := past.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	if _, err := past.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", MessageID: "m", Content: "x"}); err != nil {
		t.Fatal(err)
	}
	return chats
}

// silent is a live bus without subscribers.
type silent struct{}

func (silent) Publish(context.Context, domain.Ephemeral, ports.Meta) error { return nil }

// limitedCommands returns commands of ada. Once executed, each is validated against the cache.
func limitedCommands(ctx context.Context, chats *app.Chats, n int) map[string]func() error {
	return map[string]func() error{
		app.LimitSend: func() error {
			_, err := chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "x"})
			return err
		},
		app.LimitReact: func() error {
			_, err := chats.React(ctx, domain.React{Chat: "c", Actor: "ada", MessageID: "m", Emoji: fmt.Sprintf(":e%d:", n)})
			return err
		},
		app.LimitEdit: func() error {
			_, err := chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "ada", MessageID: "m", Content: fmt.Sprint(n)})
			return err
		},
		app.LimitAdd: func() error {
			_, err := chats.Add(ctx, domain.Add{Chat: "c", Actor: "ada", User: domain.UserID(fmt.Sprint(n))})
			return err
		},
	}
}

// TestTakes_AreInTheRoundTripOfTheAppend compares the round trips of commands with and without limits.
func TestTakes_AreInTheRoundTripOfTheAppend(t *testing.T) {
	client := rig.Connect(t, redistest.Shared(t).URL())
	trips := &rig.Pipelines{}
	client.AddHook(trips)
	cost := func(limits map[string]app.Limit) map[string]int {
		keys := rig.NewKeys(t, 2)
		chats := limitedChats(t, rig.Open(t, client, keys), limit.New(client, keys.Limits()), limits)
		costs := make(map[string]int)
		for n := range 3 {
			for kind, call := range limitedCommands(t.Context(), chats, n) {
				*trips = rig.Pipelines{}
				if err := call(); err != nil {
					t.Fatalf("%s: %v", kind, err)
				}
				costs[kind] = trips.Calls + trips.Pipelines
			}
		}
		for kind, call := range limitedCommands(t.Context(), chats, 3) {
			*trips = rig.Pipelines{}
			if err := call(); limits != nil && !errors.Is(err, ports.ErrRateLimited) {
				t.Errorf("%s, the fourth: %v", kind, err)
			}
			if n := trips.Calls + trips.Pipelines; n != costs[kind] {
				t.Errorf("%s: the fourth took %d round trips, the third %d", kind, n, costs[kind])
			}
		}
		return costs
	}
	free := cost(nil)
	limited := cost(map[string]app.Limit{
		app.LimitSend: {Rate: 3, Per: time.Hour}, app.LimitSendInChat: {Algorithm: ports.GCRA, Rate: 3, Per: time.Hour, Burst: 5},
		app.LimitReact: {Rate: 3, Per: time.Hour}, app.LimitEdit: {Algorithm: ports.GCRA, Rate: 3, Per: time.Hour}, app.LimitAdd: {Rate: 3, Per: time.Hour},
	})
	for kind, want := range free {
		if limited[kind] != want {
			t.Errorf("%s took %d round trips with its limit, %d without", kind, limited[kind], want)
		}
	}
	if free[app.LimitSend] != 1 {
		t.Errorf("a send without a limit took %d round trips", free[app.LimitSend])
	}
}

// TestTakes_OfKeysThatAreNoLimits puts other values under the limits' keys: the command proceeds or fails as the limit says.
func TestTakes_OfKeysThatAreNoLimits(t *testing.T) {
	for _, mode := range []app.Failure{app.FailOpen, app.FailClosed} {
		client, keys := rig.Connect(t, redistest.Shared(t).URL()), rig.NewKeys(t, 2)
		log := rig.Open(t, client, keys)
		limiter := limit.New(client, keys.Limits())
		chats := limitedChats(t, log, limiter, map[string]app.Limit{app.LimitSend: {Rate: 3, Per: time.Hour, OnFailure: mode}})
		client.Set(t.Context(), keys.Prefix()+"ratelimit:send:ada", "nonsense", 0)
		before, _ := log.Read(t.Context(), "c", ports.Range{Limit: 1})
		_, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: "x"})
		after, _ := log.Read(t.Context(), "c", ports.Range{Limit: 1})
		if mode == app.FailOpen && (err != nil || after.Head != before.Head+1) {
			t.Errorf("open: %v, from %d to %d", err, before.Head, after.Head)
		}
		if mode == app.FailClosed && (!errors.Is(err, ports.ErrForeignValue) || after.Head != before.Head) {
			t.Errorf("closed: %v, from %d to %d", err, before.Head, after.Head)
		}
		take := ports.Take{Limit: ports.Limit{Rate: 3, Per: time.Hour}, N: 1, Name: []string{"send", "ada"}}
		event := porttest.NewEvent(domain.ChatUpdate{Chat: "c", Actor: "ada", Change: domain.Renamed, Title: "x", At: rig.Now()})
		_, err = log.Append(t.Context(), ports.Append{Chat: "c", Events: []ports.NewEvent{event}, Takes: []ports.Take{take}})
		var failed *ports.TakeError
		if !errors.As(err, &failed) || !errors.Is(err, ports.ErrForeignValue) || errors.Is(err, ports.ErrRateLimited) {
			t.Errorf("the append: %v", err)
		}
	}
}

// TestTakes_OfOneBatch has the appends of a batch take from the same limits, one after another. A counter that they begin ends with its window.
func TestTakes_OfOneBatch(t *testing.T) {
	for name, limit := range map[string]ports.Limit{
		"window": {Rate: 2, Per: time.Hour}, "gcra": {Algorithm: ports.GCRA, Rate: 2, Per: time.Hour, Burst: 2},
	} {
		client, keys := rig.Connect(t, redistest.Shared(t).URL()), rig.NewKeys(t, 1)
		log := rig.Open(t, client, keys)
		rig.Appended(t, log, rig.Created("c"))
		batch := make([]ports.Append, 4)
		for i := range batch {
			batch[i] = rig.Sent("c", domain.MessageID(fmt.Sprint("m", i)))
			batch[i].Takes = []ports.Take{{Limit: limit, N: 1, Name: []string{"send", name}}, {Limit: limit, N: 1, Name: []string{"other", name}}}
		}
		outcomes, err := log.AppendBatch(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range outcomes {
			if refused := errors.Is(o.Err, ports.ErrRateLimited); refused != (i >= 2) || !refused && o.Err != nil {
				t.Errorf("%s: append %d of 4: %v", name, i, o.Err)
			}
		}
		page, err := log.Read(t.Context(), "c", ports.Range{From: 1, Limit: 10})
		if err != nil || page.Head != 3 {
			t.Errorf("%s: the head is %d, error %v, want 3", name, page.Head, err)
		}
		counters := client.Keys(t.Context(), keys.Prefix()+"*"+name).Val()
		for _, counter := range counters {
			if ttl := client.PTTL(t.Context(), counter).Val(); ttl < 50*time.Minute || ttl > 61*time.Minute {
				t.Errorf("%s lives for %v", counter, ttl)
			}
		}
		if len(counters) != 2 {
			t.Errorf("counters are %v", counters)
		}
	}
}

func TestTakes_OnlyOfTheLogsOwnLimiter(t *testing.T) {
	client := rig.Connect(t, redistest.Shared(t).URL())
	keys := rig.NewKeys(t, 2)
	log := rig.Open(t, client, keys)
	for what, limiter := range map[string]ports.Limiter{
		"of another client": limit.New(rig.Connect(t, redistest.Shared(t).URL()), keys.Limits()), "of another namespace": limit.New(client, rig.NewKeys(t, 2).Limits()),
		"of another kind": memory.NewLimiter(chatcoretest.NewClock(time.Now())),
	} {
		if log.TakesFrom(limiter) {
			t.Errorf("appends take from a limiter %s", what)
		}
	}
	if !log.TakesFrom(limit.New(client, keys.Limits())) {
		t.Error("appends take from no limiter")
	}
}

// testTakesOnCluster has a log on a Cluster take from no limiter, because limits have other slots, and refuse an append with takes.
func testTakesOnCluster(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) {
	log, limiter := rig.Open(t, client, keys), limit.New(client, keys.Limits())
	if log.TakesFrom(limiter) {
		t.Error("appends take from the limiter")
	}
	a := rig.Created("c")
	a.Takes = []ports.Take{{Limit: rig.FiveLogins, N: 1, Name: []string{"send", "ada"}}}
	if _, err := log.Append(t.Context(), a); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("an append that takes: %v", err)
	}
	chats := limitedChats(t, log, limiter, map[string]app.Limit{app.LimitEdit: {Rate: 1, Per: time.Hour}})
	for n, want := range []error{nil, ports.ErrRateLimited} {
		if err := limitedCommands(t.Context(), chats, n)[app.LimitEdit](); !errors.Is(err, want) {
			t.Errorf("edit %d: %v, want %v", n, err, want)
		}
	}
}
