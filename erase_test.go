package chatcore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// keysWith returns the keys of a server whose name or value contains a text.
func keysWith(t *testing.T, client *goredis.Client, text string) (found []string) {
	t.Helper()
	ctx := t.Context()
	for _, key := range client.Keys(ctx, "*").Val() {
		var value any
		switch client.Type(ctx, key).Val() {
		case "string":
			value = client.Get(ctx, key).Val()
		case "hash":
			value = client.HGetAll(ctx, key).Val()
		case "set":
			value = client.SMembers(ctx, key).Val()
		case "zset":
			value = client.ZRange(ctx, key, 0, -1).Val()
		case "list":
			value = client.LRange(ctx, key, 0, -1).Val()
		case "stream":
			value = client.XRange(ctx, key, "-", "+").Val()
		}
		if strings.Contains(key+fmt.Sprint(value), text) {
			found = append(found, key)
		}
	}
	return found
}

// TestErase_LeavesNoCopyInRedis erases a message that is in the log, a snapshot, a delivery stream, a dead letter and the caches of two processes, while one
// group has not read it. The search for its text through all keys finds nothing, and the group reads the erased form from the log, in order.
func TestErase_LeavesNoCopyInRedis(t *testing.T) {
	const secret = "kept-from-all"
	server := redistest.Start(t)
	client := server.Client(t)
	open := func() *chatcore.Core {
		return opened(t)(chatcore.New(t.Context(), quick(chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 2}})))
	}
	ctx := t.Context()
	late := open()
	var mu sync.Mutex
	var heard []domain.Durable
	listen := func(core *chatcore.Core) error {
		return core.Subscribe("late", chatcore.FromBeginning(), chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.Durable]) error {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, d.Event)
			return nil
		}))
	}
	if err := listen(late); err != nil {
		t.Fatal(err)
	}
	stop := start(t, late) // creates the group, which then stays behind
	must[app.Done](t)(late.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
	wait.Until(t, "the group to run", func() bool { mu.Lock(); defer mu.Unlock(); return len(heard) == 1 })
	stop()
	one, two := open(), open()
	for _, core := range []*chatcore.Core{one, two} {
		if err := errors.Join(core.SubscribeBuiltins(), core.Subscribe("fails", chatcore.On(func(context.Context, chatcore.Delivery[domain.MessageNew]) error {
			return chatcore.Permanent(errors.New("broken"))
		}))); err != nil {
			t.Fatal(err)
		}
		start(t, core)
	}
	must[app.Sent](t)(one.Chats.Send(ctx, domain.Send{
		Chat: "c", Actor: "ada", MessageID: "m", Content: secret, ClientMeta: `{"` + secret + `":1}`,
		Attachments: []domain.Attachment{{Name: secret, URL: "https://example.org/" + secret}},
	}))
	for i := range 260 {
		must[app.Done](t)(one.Chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "ada", MessageID: "m", Content: fmt.Sprint(secret, i)}))
	}
	must[app.Sent](t)(two.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "next", Content: "hello"}))
	wait.Until(t, "dead letters", func() bool {
		n := 0
		for _, err := range one.Groups().DeadLetters(ctx, "fails") {
			if err == nil {
				n++
			}
		}
		return n == 2
	})
	wait.Until(t, "the caches", func() bool {
		for _, core := range []*chatcore.Core{one, two} {
			if m, err := core.Queries.Message(ctx, "c", "m"); err != nil || m.Content != secret+"259" {
				return false
			}
		}
		return client.Exists(ctx, "message:m").Val() == 1
	})
	if keys := keysWith(t, client, secret); len(keys) < 4 {
		t.Errorf("only %q have the text before the erasure", keys)
	}

	status := func() map[string]ports.ErasureStatus {
		places, err := two.VerifyErasure(ctx, "c", "m")
		if err != nil {
			t.Fatal(err)
		}
		found := make(map[string]ports.ErasureStatus)
		for _, p := range places {
			found[p.Place] = p.Status
		}
		return found
	}
	before := status()
	for _, place := range []string{chatcore.PlaceLog, chatcore.PlaceStreams, chatcore.PlaceCaches} {
		if before[place] != ports.ErasurePending {
			t.Errorf("%s before the erasure: %v", place, before[place])
		}
	}
	erased, err := two.Chats.Erase(ctx, domain.Erase{Chat: "c", Actor: "ada", MessageID: "m"})
	if err != nil || len(erased.Attachments) != 1 {
		t.Fatalf("%+v, error %v", erased, err)
	}
	wait.Until(t, "the text to go", func() bool { return len(keysWith(t, client, secret)) == 0 })
	for _, core := range []*chatcore.Core{one, two} {
		wait.Until(t, "the caches to follow", func() bool {
			m, err := core.Queries.Message(ctx, "c", "m")
			return err == nil && m.Erased && m.Content == "" && m.Attachments == nil
		})
	}
	want := map[string]ports.ErasureStatus{
		chatcore.PlaceLog: ports.ErasureDone, chatcore.PlaceSnapshots: ports.ErasureDone, chatcore.PlaceStreams: ports.ErasureDone,
		chatcore.PlaceDeadLetters: ports.ErasureDone, chatcore.PlaceCaches: ports.ErasureDone, chatcore.PlaceLists: ports.ErasureDone, chatcore.PlaceVault: ports.ErasureUnreachable,
		chatcore.PlaceRedisFiles: ports.ErasureUnreachable, chatcore.PlaceChat: ports.ErasureUnreachable,
	}
	if after := status(); !maps.Equal(after, want) {
		t.Errorf("after the erasure the places are %v, want %v", after, want)
	}
	for d, err := range one.Groups().DeadLetters(ctx, "fails") {
		if err != nil || strings.Contains(string(d.Payload), secret) || len(d.Payload) == 0 {
			t.Errorf("a dead letter is %s, error %v", d.Payload, err)
		}
	}
	again := open()
	if err := listen(again); err != nil {
		t.Fatal(err)
	}
	start(t, again)
	const events = 1 + 1 + 260 + 1 + 2
	wait.Until(t, "the group that was behind", func() bool { mu.Lock(); defer mu.Unlock(); return len(heard) == events })
	for i, e := range heard {
		if sent, is := e.(domain.MessageNew); is && (sent.Message == "m") != sent.Erased {
			t.Errorf("event %d is %+v", i+1, e)
		}
		if strings.Contains(fmt.Sprintf("%+v", e), secret) {
			t.Errorf("event %d has the text: %+v", i+1, e)
		}
	}
	if keys := keysWith(t, client, secret); len(keys) > 0 {
		t.Errorf("%q have the text again", keys)
	}
}

// TestErase_RoundTrips counts the calls of an erasure: one if the process has sent the message, or has it in its cache, and otherwise another one before that loads it.
func TestErase_RoundTrips(t *testing.T) {
	server := redistest.Start(t)
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}}))
	other := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}}))
	client := server.Client(t)
	speak(t, core, "c", 1)
	for _, test := range []struct {
		name   string
		by     *chatcore.Core
		cached bool
		want   int // 0 if it does not matter
	}{
		{"", other, false, 0}, {"", other, true, 0}, // Redis then has the scripts, and both processes the member
		{"sent here", core, false, 1}, {"cached", other, true, 1}, {"unknown", other, false, 2},
	} {
		sent := must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
		if test.cached {
			must[app.MessageView](t)(test.by.Queries.Message(t.Context(), "c", sent.MessageID))
		}
		before := redistest.AllCommands(t, client)
		must[app.Erased](t)(test.by.Chats.Erase(t.Context(), domain.Erase{Chat: "c", Actor: "ada", MessageID: sent.MessageID}))
		after := redistest.AllCommands(t, client)
		scripts, entries := after["evalsha"]-before["evalsha"], after["lindex"]-before["lindex"]
		if test.want > 0 && (scripts != test.want || entries != test.want) { // each script reads the entry once
			t.Errorf("%s: %d script calls, %d entries were read, want %d of both", test.name, scripts, entries, test.want)
		}
	}
}
