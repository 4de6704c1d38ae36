//go:build interop

package interop

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// both returns a core and a peer on one Redis. The test has to run the core.
func both(t *testing.T) (*chatcore.Core, *peer) {
	t.Helper()
	return bothWith(t, chatcore.Config{})
}

func bothWith(t *testing.T, config chatcore.Config) (*chatcore.Core, *peer) {
	t.Helper()
	server := redistest.Start(t)
	config.Redis.URL, config.Limits.Rates = server.URL(), map[string]app.Limit{app.LimitLogin: {Rate: 5, Per: 15 * time.Minute}}
	core, err := chatcore.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := core.Close(); err != nil {
			t.Error(err)
		}
	})
	return core, startPeer(t, server.URL())
}

func run(t *testing.T, core *chatcore.Core) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		if err := core.Wait(); err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
	if err := core.Start(ctx); err != nil {
		t.Fatal(err)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func next[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// TestThePeerHearsEveryEvent runs every kind of command, and checks the messages on the channels.
func TestThePeerHearsEveryEvent(t *testing.T) {
	core, p := both(t)
	fields := map[string][]string{
		"message:new":      {"messageId", "chatId", "senderId", "content", "seq"},
		"message:edit":     {"messageId", "chatId", "editorId", "content", "revision", "seq"},
		"message:delete":   {"messageId", "chatId", "deletedBy", "seq"},
		"message:reaction": {"messageId", "chatId", "userId", "emoji", "action", "seq"},
		"read:receipt":     {"chatId", "userId", "messageId", "readSeq", "seq"},
		"chat:update":      {"chatId", "actorId", "change", "seq"},
		"user:status":      {"userId", "status", "lastSeen"},
		"typing:start":     {"chatId", "userId", "expiresAt"},
		"typing:stop":      {"chatId", "userId"},
	}
	for channel := range fields {
		does[any](p, "subscribe", channel)
	}
	ctx, chats := t.Context(), core.Chats
	must[app.Done](t)(chats.Create(ctx, domain.Create{Chat: "room", Actor: "ada", Title: "Garden"}))
	must[app.Done](t)(chats.Add(ctx, domain.Add{Chat: "room", Actor: "ada", User: "ben"}))
	must[bool](t)(chats.StartTyping(ctx, domain.Typing{Chat: "room", Actor: "ada"}))
	must[app.Sent](t)(chats.Send(ctx, domain.Send{Chat: "room", Actor: "ada", MessageID: "m", Content: "<hello> & “good morning”"}))
	must[app.Done](t)(chats.Edit(ctx, domain.Edit{Chat: "room", Actor: "ada", MessageID: "m", Content: "hello"}))
	must[app.Done](t)(chats.React(ctx, domain.React{Chat: "room", Actor: "ben", MessageID: "m", Emoji: "👍"}))
	must[app.Marked](t)(chats.MarkRead(ctx, domain.MarkRead{Chat: "room", Actor: "ben", MessageID: "m"}))
	must[app.Done](t)(chats.Delete(ctx, domain.Delete{Chat: "room", Actor: "ada", MessageID: "m"}))
	if err := core.Presence.Heartbeat(ctx, "ada", "phone", ""); err != nil {
		t.Fatal(err)
	}
	must[bool](t)(core.Presence.SetStatus(ctx, "ada", domain.Busy))

	heard := make(map[string]map[string]any)
	for channel, names := range fields {
		e := p.message(channel)
		heard[channel] = e
		for _, name := range append(names, "eventId", "type", "timestamp", "v") {
			if e[name] == nil {
				t.Errorf("on %s there is no %s: %v", channel, name, e)
			}
		}
		at, _ := e["timestamp"].(string)
		if _, err := time.Parse("2006-01-02T15:04:05.000Z", at); err != nil || e["type"] != channel || e["v"] != 1.0 {
			t.Errorf("on %s came %v", channel, e)
		}
	}
	if e := heard["message:new"]; e["content"] != "<hello> & “good morning”" || e["seq"] != 3.0 || e["senderId"] != "ada" {
		t.Errorf("the message came as %v", e)
	}
	if e := heard["chat:update"]; e["change"] != "created" || e["title"] != "Garden" || e["seq"] != 1.0 {
		t.Errorf("the creation came as %v", e)
	}
	if e := heard["read:receipt"]; e["readSeq"] != 3.0 || e["userId"] != "ben" {
		t.Errorf("the receipt came as %v", e)
	}
}

// TestWhatThePeerPublishesIsHeard has the peer publish as the guide does: without any of chatcore's fields.
func TestWhatThePeerPublishesIsHeard(t *testing.T) {
	core, p := both(t)
	heard := make(chan string, 16)
	say := func(parts ...string) { heard <- strings.Join(parts, " ") }
	if err := core.Listen(
		chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.MessageNew]) {
			say(string(l.Event.Message), string(l.Event.Chat), string(l.Event.Sender), string(l.Event.Content))
		}),
		chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.TypingStart]) {
			say("typing", string(l.Event.Chat), string(l.Event.User), l.Event.ExpiresAt.Sub(l.Event.At).String())
		}),
		chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.UserStatus]) { say("status", string(l.Event.User)) }),
	); err != nil {
		t.Fatal(err)
	}
	run(t, core)
	for _, told := range []struct {
		channel string
		message map[string]any
		want    string
	}{
		{"message:new", map[string]any{"messageId": "msg-123", "chatId": "chat-456", "senderId": "user-789", "content": "Hello!", "timestamp": "2026-01-02T03:04:05.678Z"}, "msg-123 chat-456 user-789 Hello!"},
		{"typing:start", map[string]any{"chatId": "chat-456", "userId": "user-789"}, "typing chat-456 user-789 5s"},
		{"user:status", map[string]any{"userId": "user-789", "status": "away"}, "status user-789"},
	} {
		if n := does[int](p, "publish", told.channel, told.message); n != 1 {
			t.Errorf("%d heard %s", n, told.channel)
		}
		if got := next(t, heard); got != told.want {
			t.Errorf("heard %q of %v", got, told.message)
		}
	}
	if chats := must[[]domain.ChatID](t)(core.Queries.Chats(t.Context())); len(chats) > 0 {
		t.Errorf("what was published is in the logs of %q", chats)
	}
}

// TestAnUnsubscribedPeerHearsNothing checks that the guide's unsubscribe ends its subscribe.
func TestAnUnsubscribedPeerHearsNothing(t *testing.T) {
	core, p := both(t)
	for _, channel := range []string{"typing:start", "message:new"} {
		does[any](p, "subscribe", channel)
	}
	does[any](p, "unsubscribe", "typing:start")
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "room", Actor: "ada"}))
	must[bool](t)(core.Chats.StartTyping(t.Context(), domain.Typing{Chat: "room", Actor: "ada"}))
	must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "room", Actor: "ada", Content: "x"}))
	p.message("message:new")
	if n := len(p.hears("typing:start")); n != 0 {
		t.Errorf("%d came on a channel that nobody listens to", n)
	}
}

// TestEntriesOfThePeerAreDelivered has the peer add entries of a stock publisher to the delivery stream, and unreadable ones.
func TestEntriesOfThePeerAreDelivered(t *testing.T) {
	core, p := both(t)
	arrived := make(chan chatcore.Delivery[domain.Durable], 16)
	if err := core.Subscribe("push", chatcore.FromBeginning(), chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.Durable]) error {
		arrived <- d
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	run(t, core)
	does[string](p, "xadd", map[string]string{"job": "not one of ours"})
	does[string](p, "xadd", map[string]string{
		"_watermill_message_uuid": "7a6b", "payload": `{"type":"message:new","messageId":"m","chatId":"elsewhere","senderId":"u","content":"by hand"}`,
	})
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "room", Actor: "ada"}))
	var got []string
	for range 2 {
		got = append(got, string(next(t, arrived).Event.ChatID()))
	}
	slices.Sort(got)
	if !slices.Equal(got, []string{"elsewhere", "room"}) {
		t.Errorf("delivered were events of %v", got)
	}
}

// TestSocketIOSharesTheRedis runs two Socket.IO servers with the Redis adapter while the core is busy.
func TestSocketIOSharesTheRedis(t *testing.T) {
	core, p := both(t)
	live := make(chan domain.Seq, 1024)
	if err := core.Listen(chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.MessageNew]) { live <- l.Seq })); err != nil {
		t.Fatal(err)
	}
	run(t, core)
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "room", Actor: "ada"}))
	const messages = 200
	sent := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < messages && err == nil; i++ {
			_, err = core.Chats.Send(context.WithoutCancel(t.Context()), domain.Send{Chat: "room", Actor: "ada", Content: "x"})
		}
		sent <- err
	}()
	heard := does[[][][]int](p, "rooms", messages)
	if err := next(t, sent); err != nil {
		t.Fatal(err)
	}
	want := make([]int, messages)
	for i := range want {
		want[i] = i
	}
	for at, from := range heard {
		for who, got := range from {
			if !slices.Equal(got, want) {
				t.Errorf("the client at %d heard of %d %v", at, who, got)
			}
		}
	}
	for i := range messages {
		if seq := next(t, live); seq != domain.Seq(i+2) {
			t.Fatalf("live event %d is %d", i, seq)
		}
	}
	if s := core.Stats(); s.LiveUnreadable != 0 || s.LiveDropped != 0 {
		t.Errorf("%d unreadable, %d dropped", s.LiveUnreadable, s.LiveDropped)
	}
}
