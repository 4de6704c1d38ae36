package pubsub_test

import (
	"fmt"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"chatcore/adapters/pubsub"
	"chatcore/tests/redistest"
)

// TestTwoSubscriptionsOfOneSubscriber share a group as two processes do: one has the lane, and nobody is put out of it again and again.
func TestTwoSubscriptionsOfOneSubscriber(t *testing.T) {
	client, counters := connect(t, redistest.Shared(t).Addr()), &pubsub.Counters{}
	stream := "twice-" + uuid.NewString()
	publisher, err := pubsub.NewPublisher(client)
	if err != nil {
		t.Fatal(err)
	}
	subscriber, err := pubsub.NewSubscriber(pubsub.SubscriberConfig{Client: client, Group: "g", Lease: quick, Counters: counters})
	if err != nil {
		t.Fatal(err)
	}
	all := make(chan *message.Message)
	for range 2 {
		messages, err := subscriber.Subscribe(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for msg := range messages {
				all <- msg
			}
		}()
	}
	const n = 200
	for i := range n {
		if err := publisher.Publish(stream, message.NewMessage(fmt.Sprint(i), nil)); err != nil {
			t.Fatal(err)
		}
		msg := receive(t, all)
		msg.Ack()
		if msg.UUID != fmt.Sprint(i) {
			t.Fatalf("got %s at %d", msg.UUID, i)
		}
	}
	if err := subscriber.Close(); err != nil {
		t.Error(err)
	}
	if fenced := counters.Fenced.Load(); fenced != 0 {
		t.Errorf("lanes were lost %d times", fenced)
	}
}
