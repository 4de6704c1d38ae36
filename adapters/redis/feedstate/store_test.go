package feedstate_test

import (
	"errors"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/feedstate"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func TestFeedState(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		porttest.FeedState(t, func(t *testing.T) (ports.FeedState, func(time.Duration)) {
			keys := rig.NewKeys(t, 1)
			return feedstate.New(client, keys.Feeds()), rig.Forward(t, client, keys)
		})
	})
}

// TestFeedState_ForeignValues puts a value of another type under a key: there is no value, and the other one stays.
func TestFeedState_ForeignValues(t *testing.T) {
	client, keys := rig.Connect(t, redistest.Shared(t).URL()), rig.NewKeys(t, 1)
	store := feedstate.New(client, keys.Feeds())
	client.HSet(t.Context(), keys.Feeds().State("k"), "f", "v")
	_, got, err1 := store.Get(t.Context(), "k")
	_, taken, err2 := store.Take(t.Context(), "k")
	if got || taken || err1 != nil || err2 != nil || client.Exists(t.Context(), keys.Feeds().State("k")).Val() != 1 {
		t.Error(got, taken, err1, err2)
	}
}

// TestFeedState_WithoutRedis stops the server: every call returns an error that says so.
func TestFeedState_WithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	client, err := conn.Connect(t.Context(), conn.Options{URL: server.URL(), Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	store := feedstate.New(client, rig.PlainKeys(t).Feeds())
	server.Kill()
	_, _, err1 := store.Get(t.Context(), "k")
	_, _, err2 := store.Take(t.Context(), "k")
	for i, err := range []error{err1, err2, store.Keep(t.Context(), "k", nil, time.Hour)} {
		if !errors.Is(err, ports.ErrUnavailable) {
			t.Errorf("call %d: %v", i+1, err)
		}
	}
}
