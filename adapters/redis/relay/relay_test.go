package relay_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub/live"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/relay"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// open returns the relay of a process, with its own subscriptions.
func open(t *testing.T, client goredis.UniversalClient, keys keyspace.Relays) *relay.Relay {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	subscriptions := live.NewPubSub(live.PubSubConfig{Client: client, Logger: logger})
	r := relay.New(relay.Config{Client: client, Subscriptions: subscriptions, Keys: keys, Logger: logger})
	t.Cleanup(func() {
		r.Close()
		if err := subscriptions.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestRelay(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		porttest.Relay(t, func(t *testing.T) (asker, answerer ports.Relay) {
			keys := rig.NewKeys(t, 1).Relays()
			return open(t, client, keys), open(t, client, keys)
		})
	})
}

func echo(_ context.Context, request []byte) []byte { return request }

// TestRelay_LostConnection closes the connections of the process that answers: requests reach it again, and none says that it is gone.
func TestRelay_LostConnection(t *testing.T) {
	server := redistest.Start(t)
	client, keys := rig.Connect(t, server.URL()), rig.NewKeys(t, 1).Relays()
	asker, answerer := open(t, client, keys), open(t, client, keys)
	stop, err := answerer.Answer(t.Context(), "i", echo)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for range 5 {
		if err := client.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
			t.Fatal(err)
		}
		wait.Until(t, "the process answers", func() bool {
			got, err := asker.Ask(t.Context(), "i", []byte("x"))
			if errors.Is(err, ports.ErrNoInstance) {
				t.Fatal("a process that subscribes anew counts as gone")
			}
			return err == nil && string(got) == "x"
		})
	}
}

// TestRelay_WithoutRedis stops the server: a request returns an error that says so.
func TestRelay_WithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	client, keys := rig.Connect(t, server.URL()), rig.NewKeys(t, 1).Relays()
	r := open(t, client, keys)
	server.Kill()
	if _, err := r.Ask(t.Context(), "i", nil); !errors.Is(err, ports.ErrUnavailable) {
		t.Errorf("a request without a server: %v", err)
	}
}
