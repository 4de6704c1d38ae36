package redis_test

import (
	"sync"
	"testing"
	"time"

	"chatcore/adapters/redis"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
)

// TestInterrupted_Ports delays replies. The deadline of a socket, which comes from the caller's context, often fires before the context ends.
func TestInterrupted_Ports(t *testing.T) {
	proxy := redistest.StartProxy(t, redistest.Start(t))
	client, err := redis.Connect(t.Context(), redis.Options{URL: proxy.URL(), Timeout: time.Second, PoolSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	keys := newKeys(t, 1)
	config := redis.LogConfig{Keys: keys, Durability: redis.Durability{Replicas: 1, Timeout: time.Millisecond}}
	confirming, err := redis.Open(t.Context(), client, wireformat.New(), config)
	if err != nil {
		t.Fatal(err)
	}
	porttest.Interrupted(t, porttest.Stores{
		Log: open(t, client, keys), Confirmer: confirming,
		Effects: redis.NewEffects(client, keys, time.Hour), Effect: ports.Effect{Commands: []ports.Command{{"INCR", "interrupted"}}},
		Values: redis.NewStore(client, keys), Limiter: redis.NewLimiter(client, keys), Typing: redis.NewTypingMarks(client, keys, domain.TypingTTL),
		Presence: newPresence(t, client, keys), Sessions: redis.NewSessions(client, keys, porttest.SessionPolicy()),
		Cache: redis.NewCache(client, keys), View: redis.NewUserChats(client, keys),
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
