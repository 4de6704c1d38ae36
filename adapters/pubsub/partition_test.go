package pubsub_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestAGroupsKeysLieWithItsStream has streams whose names contain hash tags, or parts of them, on a Cluster.
func TestAGroupsKeysLieWithItsStream(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{cluster.Masters[0].Addr()}})
	t.Cleanup(func() { _ = client.Close() })
	publisher, err := newPublisher(client)
	if err != nil {
		t.Fatal(err)
	}
	stores := streams(t, client)
	for _, stream := range []string{"plain", "a:{tag}", "{tag}:a", "{open", "close}{d}", "{{a}}"} {
		subscriber, err := pubsub.NewSubscriber(pubsub.SubscriberConfig{Stream: stores.Stream, Config: group.Config{Group: "g", Lease: quick}})
		if err != nil {
			t.Fatal(err)
		}
		messages, err := subscriber.Subscribe(t.Context(), stream)
		if err != nil {
			t.Errorf("%s: %v", stream, err)
			continue
		}
		if err := publisher.Publish(stream, message.NewMessage(stream, nil)); err != nil {
			t.Fatal(err)
		}
		msg := receive(t, messages)
		msg.Ack()
		if msg.UUID != stream {
			t.Errorf("%s: got %s", stream, msg.UUID)
		}
		if err := subscriber.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestASlotThatMoves has scripts run while some of their keys are on another node: a script that does not check all keys first fails in the middle.
// The outcomes of handlers are committed as a whole once the slot has moved.
func TestASlotThatMoves(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 2)
	client := func() *goredis.ClusterClient {
		c := goredis.NewClusterClient(&goredis.ClusterOptions{
			Addrs: []string{cluster.Masters[0].Addr()}, ContextTimeoutEnabled: true, MaxRedirects: 3, MaxRetryBackoff: -1,
		})
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	keys, err := keyspace.New("moves", 4, true)
	if err != nil {
		t.Fatal(err)
	}
	log, err := eventlog.Open(t.Context(), client(), wireformat.New(), eventlog.Config{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, log: log, keys: keys, partitions: partitionsOf(keys), counters: &group.Counters{}, sent: make(map[domain.ChatID]domain.Seq)}
	e := newEffects()
	all := chats(40)
	r.send(10, all...)
	config := beginning(r.config("g"))
	config.client, config.OnPoison = client(), delivery.Park
	var refused sync.Map
	linger := lingers(20 * time.Millisecond)
	r.start(config, e.around(func(ctx context.Context, d ports.Delivery) error {
		if _, before := refused.LoadOrStore(d.ID, true); d.ID.Seq == 5 && !before {
			return errors.New("not yet")
		}
		return linger(ctx, d)
	}))
	until(t, "it is on its way", func() bool { return e.done(all[0]) > 2 })
	for range 3 {
		for _, l := range r.partitions {
			end := cluster.Migrate(t, l.Stream)
			<-time.After(50 * time.Millisecond)
			end()
		}
	}
	end := cluster.Migrate(t, r.partitions[0].Stream)
	<-time.After(2 * quick)
	end()
	r.send(2, all...)
	e.complete(r)
	e.once(t)
}
