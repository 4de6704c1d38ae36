package pubsub_test

import (
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub"
	"chatcore/tests/redistest"
)

// TestAGroupsKeysLieWithItsStream has streams with tags, or what looks like some, on a Cluster.
func TestAGroupsKeysLieWithItsStream(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{cluster.Masters[0].Addr()}})
	t.Cleanup(func() { _ = client.Close() })
	publisher, err := pubsub.NewPublisher(client)
	if err != nil {
		t.Fatal(err)
	}
	for _, stream := range []string{"plain", "a:{tag}", "{tag}:a", "{open", "close}{d}", "{{a}}"} {
		subscriber, err := pubsub.NewSubscriber(pubsub.SubscriberConfig{Client: client, Group: "g", Lease: quick})
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
