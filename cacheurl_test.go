package chatcore_test

import (
	"strings"
	"testing"
	"time"

	"chatcore/domain"

	"chatcore"
	"chatcore/app"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestOnlyCachesLieOnTheCacheServer has all other keys where other programs use them: sessions, counters, presence and values of helpers.
func TestOnlyCachesLieOnTheCacheServer(t *testing.T) {
	shared, cache := redistest.Start(t), redistest.Start(t)
	ctx, client, cached := t.Context(), shared.Client(t), cache.Client(t)
	core := opened(t)(chatcore.New(ctx, quick(chatcore.Config{
		Redis:  chatcore.RedisConfig{URL: shared.URL(), CacheURL: cache.URL()},
		Limits: chatcore.LimitsConfig{Rates: map[string]app.Limit{app.LimitLogin: {Rate: 5, Per: 15 * time.Minute}}},
	})))
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
	must[bool](t)(core.Chats.StartTyping(ctx, domain.Typing{Chat: "c", Actor: "ada"}))
	must[app.OpenedSession](t)(core.Sessions.Open(ctx, domain.OpenSession{User: "ada"}))
	if err := core.Presence.Heartbeat(ctx, "ada", "phone", ""); err != nil {
		t.Fatal(err)
	}
	if err := core.Helpers.Set(ctx, "profile:ada", "x", time.Hour); err != nil {
		t.Fatal(err)
	}
	if n := cached.DBSize(ctx).Val(); n != 0 {
		t.Errorf("before anything is cached the cache's server has %q", cached.Keys(ctx, "*").Val())
	}

	// The guide's services and the limit count on one key.
	if d := must[ports.Decision](t)(core.Limits.Allow(ctx, app.LimitLogin, "ada")); d.Remaining != 4 {
		t.Errorf("%+v", d)
	}
	if n := must[int64](t)(core.Helpers.IncrWithExpiry(ctx, "ratelimit:login:ada", 15*time.Minute)); n != 2 {
		t.Errorf("helpers count %d", n)
	}
	if n := client.Incr(ctx, "ratelimit:login:ada").Val(); n != 3 {
		t.Errorf("another program counts %d", n)
	}
	if d := must[ports.Decision](t)(core.Limits.Allow(ctx, app.LimitLogin, "ada")); d.Remaining != 1 {
		t.Errorf("%+v", d)
	}

	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	defer run(core)()
	sent := must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
	must[app.MessageView](t)(core.Queries.Message(ctx, "c", sent.MessageID))
	must[bool](t)(core.Chats.StartTyping(ctx, domain.Typing{Chat: "c", Actor: "ada"}))
	for _, key := range cached.Keys(ctx, "*").Val() {
		if !strings.HasPrefix(key, "message:") && !strings.HasPrefix(key, "chat:list:") && !strings.HasPrefix(key, "contact:list:") && !strings.HasPrefix(key, "cc:{") {
			t.Errorf("%s is where caches are", key)
		}
	}
	if n := cached.DBSize(ctx).Val(); n == 0 {
		t.Error("nothing is cached")
	}
	for _, pattern := range []string{"session:ada:*", "cc:sessions:ada", "presence:ada", "user:status:ada", "typing:c:ada", "profile:ada", "ratelimit:login:ada", "cc:log"} {
		if keys := client.Keys(ctx, pattern).Val(); len(keys) != 1 {
			t.Errorf("%s: %q on the shared server", pattern, keys)
		}
	}
	for _, pattern := range []string{"message:*", "chat:list:*"} {
		if keys := client.Keys(ctx, pattern).Val(); len(keys) != 0 {
			t.Errorf("%q are on the shared server", keys)
		}
	}
}
