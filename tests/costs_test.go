package tests

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"testing"
	"time"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// must returns a value, and fails the test for an error.
func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// costOf is what a call may cost: exactly these commands in Redis, and at most so many allocations in the process.
type costOf struct {
	call        func() error
	commands    redistest.Commands
	allocations float64
}

// check measures the cost of a call that was made before, so that its script and states are known. Counts are the least of many calls: the core works in
// the background as well, and pools lose entries.
func (c costOf) check(t *testing.T, server *redistest.Server) {
	t.Helper()
	call := func() {
		if err := c.call(); err != nil {
			t.Fatal(err)
		}
	}
	call()
	for _, difference := range redistest.CommandsOf(t, server.Client(t), call).Differences(c.commands) {
		t.Error(difference)
	}
	if redistest.Race {
		return
	}
	const calls = 100
	least := math.Inf(1)
	for range calls {
		least = min(least, testing.AllocsPerRun(1, call))
	}
	if least > c.allocations {
		t.Errorf("%v allocations, want at most %v", least, c.allocations)
	}
}

// costing opens a core on a server of its own. Its config may be changed before.
func costing(t *testing.T, change func(*chatcore.Config)) (*redistest.Server, *chatcore.Core) {
	t.Helper()
	server := redistest.Start(t)
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Logger: slog.New(slog.DiscardHandler)}
	change(&config)
	core := must[*chatcore.Core](t)(chatcore.New(t.Context(), config))
	t.Cleanup(func() { _ = core.Close() })
	return server, core
}

// appendCommands are the commands of an append of one event by one caller.
func appendCommands() redistest.Commands {
	return redistest.Commands{
		"evalsha": 1, "mget": 1, "info": 1, // the script, identity and witness, replication ID
		"llen": 1, "hmget": 1, "exists": 1, // segment, head and entities, types of the keys to write
		"rpush": 1, "hset": 1, "xlen": 1, "xadd": 1, "pubsub|numsub": 1, "publish": 1,
	}
}

// sendCommands are the commands of a plain send by one caller.
func sendCommands() redistest.Commands {
	return redistest.Commands{
		"evalsha": 1, "mget": 1, "info": 1, // the script, identity, witness and fence, replication ID
		"hmget": 1, "rpush": 1, "hset": 1, "xadd": 1, "pubsub|numsub": 1, "publish": 1,
		"del": 1, // the sender's typing mark
	}
}

// TestCosts_OfCalls guards the numbers of docs/benchmarks.md that do not depend on the machine.
func TestCosts_OfCalls(t *testing.T) {
	ctx := t.Context()
	server, core := costing(t, func(config *chatcore.Config) {
		config.Limits.Rates = map[string]app.Limit{
			"window": {Rate: 1_000_000, Per: time.Hour}, "gcra": {Algorithm: ports.GCRA, Rate: 1_000_000, Per: time.Hour},
		}
	})
	var sent app.Sent
	send := func(chat domain.ChatID) (err error) {
		sent, err = core.Chats.Send(ctx, domain.Send{Chat: chat, Actor: "ada", Content: "The tomatoes are ripe."})
		return err
	}
	for _, chat := range []domain.ChatID{"long", "c"} {
		must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: chat, Actor: "ada"}))
		for range 100 {
			if err := send(chat); err != nil {
				t.Fatal(err)
			}
		}
	}
	session := must[app.OpenedSession](t)(core.Sessions.Open(ctx, domain.OpenSession{User: "ada"}))
	edit := domain.Edit{Chat: "c", Actor: "ada", MessageID: sent.MessageID}
	reaction := domain.React{Chat: "c", Actor: "ada", MessageID: sent.MessageID, Emoji: "👍"}
	for name, cost := range map[string]costOf{
		"send": {func() error { return send("c") }, sendCommands(), 10},
		"edit": {func() error {
			edit.Content += "!"
			_, err := core.Chats.Edit(ctx, edit)
			return err
		}, appendCommands(), 24},
		"reaction and its removal": {func() error {
			_, err := core.Chats.React(ctx, reaction)
			_, removal := core.Chats.Unreact(ctx, reaction)
			return errors.Join(err, removal)
		}, appendCommands().And(appendCommands()), 60},
		"page of 50 messages of history": {func() error {
			_, err := core.Queries.History(ctx, "long", domain.Span{Limit: 50})
			return err
		}, redistest.Commands{"evalsha": 2, "info": 1, "get": 2, "llen": 1, "hget": 2, "hmget": 1, "lindex": 1, "lrange": 4}, 1800},
		"heartbeat": {func() error {
			return core.Presence.Heartbeat(ctx, "ada", "phone", "1")
		}, redistest.Commands{"evalsha": 1, "time": 1, "hmget": 1, "hset": 1}, 22},
		"look-up of a session": {func() error {
			_, err := core.Sessions.Get(ctx, session.Token)
			return err
		}, redistest.Commands{"evalsha": 1, "get": 1, "hget": 1}, 32},
		"check of a window": {func() error {
			_, err := core.Limits.Allow(ctx, "window", "ada")
			return err
		}, redistest.Commands{"evalsha": 1, "incrby": 1, "pttl": 1}, 24},
		"check of a GCRA": {func() error {
			_, err := core.Limits.Allow(ctx, "gcra", "ada")
			return err
		}, redistest.Commands{"evalsha": 1, "time": 1, "get": 1, "set": 1}, 28},
	} {
		t.Run(name, func(t *testing.T) { cost.check(t, server) })
	}
}

// TestCosts_OfUnreadCounts counts a user's unread messages in 200 chats of 16 partitions.
func TestCosts_OfUnreadCounts(t *testing.T) {
	ctx := t.Context()
	server, builtins := costing(t, func(*chatcore.Config) {})
	if err := builtins.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	started(t, builtins)() // read models are kept from then on
	core := must[*chatcore.Core](t)(chatcore.New(ctx, chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}}))
	t.Cleanup(func() { _ = core.Close() })
	const chats = 200
	for i := range chats {
		chat := domain.ChatID(fmt.Sprint("c", i))
		must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: chat, Actor: "ada", Members: []domain.UserID{"ben"}}))
		must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: chat, Actor: "ada", Content: "hi"}))
	}
	var counts map[domain.ChatID]domain.Ordinal
	unread := func() (err error) {
		counts, err = core.Queries.UnreadOf(ctx, "ben")
		return err
	}
	wait.Until(t, "ben is in all chats", func() bool { return unread() == nil && len(counts) == chats })
	costOf{unread, redistest.Commands{
		"evalsha": 2, "mget": 2, "hmget": 201, // two calls of at most 128 chats
		"multi": 1, "hgetall": 1, "exec": 1, // the user's chats
	}, 900}.check(t, server)
}
