package chatcore_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"chatcore"
	"chatcore/app"
	"chatcore/chatcoretest"
	"chatcore/domain"
	"chatcore/helpers"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestASubscriptionHearsWhatTheCoreAnnounces hears events on the channel that they have by the core's names.
func TestASubscriptionHearsWhatTheCoreAnnounces(t *testing.T) {
	client := goredis.NewClient(&goredis.Options{Addr: redistest.Shared(t).Addr()})
	t.Cleanup(func() { _ = client.Close() })
	namespace := "hears-" + uuid.NewString()
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: namespace}, Log: chatcore.LogConfig{Partitions: 1}}
	config.Redis.Names.Channels = map[string]string{"message:new": "new-message"}
	core := opened(t)(chatcore.New(t.Context(), config))
	heard := make(chan string, 8)
	for _, channel := range []string{"new-message", "message:new"} {
		if _, err := helpers.SubscribeTo(t.Context(), core.Helpers, channel, func(_ context.Context, e struct{ Content string }) { heard <- e.Content }); err != nil {
			t.Fatal(err)
		}
	}
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: "hello"}))
	client.Publish(t.Context(), namespace+":new-message", `{"content":"from elsewhere"}`)
	var all []string
	for range 4 {
		all = append(all, receive(t, heard))
	}
	if slices.Sort(all); !slices.Equal(all, []string{"from elsewhere", "from elsewhere", "hello", "hello"}) {
		t.Errorf("heard %q", all)
	}
}

// TestWaitIdle_WaitsForChannels settles while a handler has not ended.
func TestWaitIdle_WaitsForChannels(t *testing.T) {
	core := chatcoretest.New(t)
	core.Start()
	var heard atomic.Int64
	if _, err := core.Helpers.Subscribe(t.Context(), "x", func(ctx context.Context, payload json.RawMessage) {
		if heard.Add(1) < 5 {
			if err := core.Helpers.Publish(ctx, "x", payload); err != nil {
				t.Error(err)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := core.Helpers.Publish(t.Context(), "x", 1); err != nil {
		t.Fatal(err)
	}
	core.WaitIdle()
	if heard.Load() != 5 {
		t.Errorf("settled after %d", heard.Load())
	}
}

// TestHelpersLeaveTheLogAlone uses every chance to remove it.
func TestHelpersLeaveTheLogAlone(t *testing.T) {
	server := redistest.Start(t)
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Logger: slog.New(slog.DiscardHandler)}
	core := opened(t)(chatcore.New(t.Context(), config))
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	stop := start(t, core)
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: "hello"}))
	stop()
	core = opened(t)(chatcore.New(t.Context(), config))
	client := server.Client(t)
	dump := func() map[string]string {
		all := make(map[string]string)
		for _, key := range client.Keys(t.Context(), "*").Val() {
			if !strings.HasPrefix(key, "chat:unread:") {
				all[key] = client.Dump(t.Context(), key).Val()
			}
		}
		return all
	}
	before := dump()
	if len(before) < 10 {
		t.Fatalf("the log has %d keys", len(before))
	}
	rapid.Check(t, func(rt *rapid.T) {
		pattern := rapid.OneOf(rapid.StringMatching(`(c|cc|cc:|m|me|message-delivery-stream|[a-z])[*?:{\[\]\\a-z^-]{0,6}\*?`), rapid.SampledFrom(slices.Collect(maps.Keys(before)))).Draw(rt, "pattern")
		_, _ = core.Helpers.DelPattern(rt.Context(), pattern)
		key := rapid.SampledFrom(slices.Collect(maps.Keys(before))).Draw(rt, "key")
		if _, err := core.Helpers.Del(rt.Context(), key); !errors.Is(err, domain.ErrInvalid) {
			rt.Fatalf("del of %q: %v", key, err)
		}
		if !maps.Equal(before, dump()) {
			rt.Fatalf("the log has changed after %q", pattern)
		}
	})
	must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: "still there"}))
}

// TestHelpersCanBeKeptElsewhere replaces one of the three.
func TestHelpersCanBeKeptElsewhere(t *testing.T) {
	a := opened(t)(chatcore.NewInMemory(chatcore.Config{}))
	counts := &counted{}
	b := opened(t)(chatcore.NewInMemory(chatcore.Config{}, chatcore.WithHelpers(nil, counts, nil)))
	if n := must[int64](t)(b.Helpers.Incr(t.Context(), "a")); n != 42 || counts.calls != 1 {
		t.Errorf("counted to %d", n)
	}
	if n := must[int64](t)(a.Helpers.Incr(t.Context(), "a")); n != 1 {
		t.Errorf("counted to %d", n)
	}
	if n := must[int](t)(b.Helpers.SAdd(t.Context(), "s", "m")); n != 1 {
		t.Errorf("%d were added", n)
	}
}

type counted struct {
	ports.Counters
	calls int
}

func (c *counted) Incr(context.Context, string) (int64, error) { c.calls++; return 42, nil }
