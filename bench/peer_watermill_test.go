package bench

import (
	"context"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	goredis "github.com/redis/go-redis/v9"
)

// watermillPeer publishes on one stream with the stock publisher, handles in a consumer group of the stock subscriber and listens with another one, which
// has no group.
func watermillPeer(b *testing.B) *peer {
	b.Helper()
	const topic = "messages"
	server, client := start(b)
	publisher, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: client}, watermill.NopLogger{})
	if err != nil {
		b.Fatal(err)
	}
	follow := func(group string, arrived *arrivals) {
		own := goredis.NewClient(&goredis.Options{Addr: server.Addr()}) // the subscriber closes it
		subscriber, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{
			Client: own, ConsumerGroup: group, OldestId: "$", DisableIndefiniteInitialBlock: true,
		}, watermill.NopLogger{})
		if err != nil {
			b.Fatal(err)
		}
		messages, err := subscriber.Subscribe(context.WithoutCancel(b.Context()), topic)
		if err != nil {
			b.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for m := range messages {
				arrived.add(idIn(m.Payload))
				m.Ack()
			}
		}()
		b.Cleanup(func() {
			_ = subscriber.Close()
			<-ended
		})
	}
	return &peer{
		name: "watermill-redisstream", durable: true,
		send: func(_ context.Context, chat int, id string) error {
			m := message.NewMessage(id, encodedMessage(chat, id))
			m.Metadata.Set("type", "message:new")
			return publisher.Publish(topic, m)
		},
		cpu:     func() float64 { return cpu(b, client) },
		stored:  func() float64 { return info(b, client, "memory", "used_memory") },
		deliver: func(handled, heard *arrivals) { follow("bench", handled); follow("", heard) },
	}
}
