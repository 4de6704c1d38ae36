package attempt_test

import (
	"errors"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/attempt"
	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func TestWebhookAttempts(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		porttest.WebhookAttempts(t, func(t *testing.T) (ports.WebhookAttempts, func(time.Duration)) {
			keys := rig.NewKeys(t, 1)
			return attempt.New(client, keys.Webhooks()), rig.Forward(t, client, keys)
		})
	})
}

// TestWebhookAttempts_Damaged puts something else among the attempts: the others are read.
func TestWebhookAttempts_Damaged(t *testing.T) {
	client, keys := rig.Connect(t, redistest.Shared(t).URL()), rig.NewKeys(t, 1)
	store := attempt.New(client, keys.Webhooks())
	a := ports.WebhookAttempt{StartedAt: time.UnixMilli(5).UTC(), Event: "e"}
	if err := store.Record(t.Context(), "hook", []ports.WebhookAttempt{a}); err != nil {
		t.Fatal(err)
	}
	client.LPush(t.Context(), keys.Webhooks().Failed("hook"), "{", "5", `{"at":"x"}`)
	if got, err := store.Attempts(t.Context(), "hook", true); err != nil || len(got) != 1 || got[0] != a {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestWebhookAttempts_WithoutRedis stops the server: every call returns an error that says so.
func TestWebhookAttempts_WithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	client, err := conn.Connect(t.Context(), conn.Options{URL: server.URL(), Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	store := attempt.New(client, rig.PlainKeys(t).Webhooks())
	server.Kill()
	_, read := store.Attempts(t.Context(), "hook", false)
	for i, err := range []error{read, store.Record(t.Context(), "hook", make([]ports.WebhookAttempt, 1)), store.Remove(t.Context(), "hook")} {
		if !errors.Is(err, ports.ErrUnavailable) {
			t.Errorf("call %d: %v", i+1, err)
		}
	}
}
