package redis_test

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"chatcore/adapters/pubsub/live"
	"chatcore/adapters/redis/attempt"
	"chatcore/adapters/redis/cache"
	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/definitions"
	"chatcore/adapters/redis/effect"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/feedstate"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/kv"
	"chatcore/adapters/redis/limit"
	"chatcore/adapters/redis/relay"
	"chatcore/adapters/redis/session"
	"chatcore/adapters/redis/typing"
	"chatcore/adapters/redis/view"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
)

// TestInterrupted_Ports delays replies. The deadline of a socket, which comes from the caller's context, often fires before the context ends.
func TestInterrupted_Ports(t *testing.T) {
	proxy := redistest.StartProxy(t, redistest.Start(t))
	client, err := conn.Connect(t.Context(), conn.Options{URL: proxy.URL(), Timeout: time.Second, PoolSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	keys := rig.NewKeys(t, 1)
	config := eventlog.Config{Keys: keys, Durability: eventlog.Durability{Replicas: 1, Timeout: time.Millisecond}}
	confirming, err := eventlog.Open(t.Context(), client, wireformat.New(), config)
	if err != nil {
		t.Fatal(err)
	}
	subscriptions := live.NewPubSub(live.PubSubConfig{Client: client, Logger: slog.New(slog.DiscardHandler)})
	relays := relay.New(relay.Config{Client: client, Subscriptions: subscriptions, Keys: keys.Relays(), Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		relays.Close()
		if err := subscriptions.Close(); err != nil {
			t.Error(err)
		}
	})
	porttest.Interrupted(t, porttest.Stores{
		Log: rig.Open(t, client, keys), Confirmer: confirming,
		Effects: effect.New(client, keys.Custom(), time.Hour), Effect: ports.Effect{Commands: []ports.Command{{"INCR", "interrupted"}}},
		Values: kv.New(client, keys.Custom()), Limiter: limit.New(client, keys.Limits()), Typing: typing.New(client, keys.Typing(), domain.TypingTTL),
		Presence: rig.NewPresence(t, client, keys), Sessions: session.New(client, keys.Sessions(), porttest.SessionPolicy()),
		Cache: cache.New(client, keys.Caches()), View: view.NewUserChats(client, keys.Views()), Feeds: feedstate.New(client, keys.Feeds()),
		Attempts:    attempt.New(client, keys.Webhooks()),
		Definitions: definitions.New(client, keys.Definitions()), Relay: relays,
		Hold: func() func() {
			held := make(chan struct{})
			hold := func([]byte) bool {
				<-held
				return true
			}
			proxy.Reply.Store(&hold)
			return sync.OnceFunc(func() {
				proxy.Reply.Store(nil)
				close(held)
			})
		},
	})
}
