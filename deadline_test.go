package chatcore_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/helpers"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestDeadline_OfTheCaller keeps back Redis's replies from callers with a deadline, and from callers without.
func TestDeadline_OfTheCaller(t *testing.T) {
	proxy := redistest.StartProxy(t, redistest.Shared(t))
	const commandTimeout = 500 * time.Millisecond
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{
		Redis:  chatcore.RedisConfig{URL: proxy.URL(), Namespace: "deadline-" + uuid.NewString(), CommandTimeout: commandTimeout, PoolSize: 200},
		Log:    chatcore.LogConfig{Partitions: 1},
		Limits: chatcore.LimitsConfig{Rates: map[string]app.Limit{"open": {Rate: 1000, Per: time.Minute}, "login": {Rate: 1000, Per: time.Minute}}},
	}))
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	load := func(ctx context.Context, _ string) (string, error) { return "v", ctx.Err() }
	cached, err := chatcore.NewCache(core, chatcore.CacheConfig{Prefix: "deadline:", TTL: time.Minute}, load)
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]func(context.Context) error{
		"limit that fails open":   func(ctx context.Context) error { return failure(core.Limits.Allow(ctx, "open", "ada")) },
		"limit that fails closed": func(ctx context.Context) error { return failure(core.Limits.Allow(ctx, "login", "ada")) },
		"helper": func(ctx context.Context) error {
			var v string
			return failure(core.Helpers.Get(ctx, "k", &v))
		},
		"loading helper": func(ctx context.Context) error {
			return failure(helpers.GetOrSet(ctx, core.Helpers, "k", time.Minute, func(context.Context) (string, error) { return "v", nil }))
		},
		"publishing": func(ctx context.Context) error { return core.Helpers.Publish(ctx, "ch", "x") },
		"subscribing": func(ctx context.Context) error {
			return failure(core.Helpers.Subscribe(ctx, "ch", func(context.Context, json.RawMessage) {}))
		},
		"cache": func(ctx context.Context) error { return failure(cached.Get(ctx, "i")) },
		"query": func(ctx context.Context) error { return failure(core.Queries.History(ctx, "c", domain.Span{Limit: 1})) },
		"command": func(ctx context.Context) error {
			return failure(core.Chats.Rename(ctx, domain.Rename{Chat: "c", Actor: "ada", Title: "t"}))
		},
	}
	held := make(chan struct{})
	hold := func([]byte) bool {
		<-held
		return true
	}
	release := sync.OnceFunc(func() {
		proxy.Reply.Store(nil)
		close(held)
	})
	defer release()
	proxy.Reply.Store(&hold)
	var running sync.WaitGroup
	for name, call := range calls {
		for i := range 50 {
			running.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(20+i)*time.Millisecond)
				defer cancel()
				if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
	}
	running.Wait()
	if n := core.Stats().Unchecked; n != 0 {
		t.Errorf("%d expired calls were let through", n)
	}

	unbounded := map[string]func(context.Context) error{
		"limit that fails closed": calls["limit that fails closed"], "helper": calls["helper"], "publishing": calls["publishing"], "query": calls["query"],
		"command": calls["command"], "health": func(ctx context.Context) error { return core.Health(ctx).NotReady },
		"groups": func(ctx context.Context) error {
			return failure(core.Groups().List(ctx))
		},
		"server's state": func(ctx context.Context) error { return core.Health(ctx).Log[0].Err },
	}
	for name, call := range unbounded {
		running.Go(func() {
			err := call(t.Context())
			if !errors.Is(err, ports.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
				t.Errorf("%s of a caller without a deadline: %v", name, err)
			}
		})
	}
	running.Wait()
	if _, err := core.Limits.Allow(t.Context(), "open", "ada"); err != nil || core.Stats().Unchecked == 0 {
		t.Errorf("a limit that fails open, without a deadline: %v", err)
	}
}

// TestRun_EndsWithItsDeadline shows that a deadline ends Run as a cancellation does, also while it starts.
func TestRun_EndsWithItsDeadline(t *testing.T) {
	proxy := redistest.StartProxy(t, redistest.Shared(t))
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: proxy.URL(), Namespace: "deadline-" + uuid.NewString()}, Log: chatcore.LogConfig{Partitions: 1}}))
	if err := core.Listen(chatcore.OnLive(func(context.Context, chatcore.Live[domain.TypingStart]) {})); err != nil {
		t.Fatal(err)
	}
	swallow := func([]byte) bool { return false }
	proxy.Reply.Store(&swallow)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := core.Run(ctx); err != nil {
		t.Errorf("Run ended with %v", err)
	}
}
