package pubsub_test

import (
	"math/rand/v2"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/wireformat"
	"chatcore/tests/redistest"
)

// TestChatsBeyondThoseKeptGoOnWhereTheyWere has more chats than lines are kept for: one that comes again begins behind its checkpoint.
func TestChatsBeyondThoseKeptGoOnWhereTheyWere(t *testing.T) {
	r := newRig(t, redistest.Shared(t), 1)
	e := newEffects()
	r.start(beginning(r.config("g")), e.around(nothing))
	const kept = 8192
	all := chats(kept + 6_000)
	r.send(1, all[:kept-500]...)
	for n := kept - 500; n < len(all); n++ {
		r.send(1, all[n], all[rand.IntN(n)], all[rand.IntN(n)])
	}
	e.complete(r)
	e.once(t)
}

// TestAStreamThatIsNoLane is read as one of other programs, whatever its entries say: there is no log to ask for what is missing between them.
func TestAStreamThatIsNoLane(t *testing.T) {
	r := newRig(t, redistest.Shared(t), 1)
	r.send(3, "c")
	subscriber, err := pubsub.NewSubscriber(pubsub.SubscriberConfig{Client: r.client, Group: "plain", Lease: quick})
	if err != nil {
		t.Fatal(err)
	}
	messages, err := subscriber.Subscribe(t.Context(), r.topic())
	if err != nil {
		t.Fatal(err)
	}
	r.send(2, "c")
	if err := r.client.XAdd(t.Context(), &goredis.XAddArgs{Stream: r.topic(), Values: []any{wireformat.FieldUUID, "x", wireformat.FieldPayload, "p", "seq", "7"}}).Err(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"e-c-4", "e-c-5", "x"} {
		msg := receive(t, messages)
		if msg.UUID != want {
			t.Errorf("got %s, want %s", msg.UUID, want)
		}
		msg.Ack()
	}
	if err := subscriber.Close(); err != nil {
		t.Error(err)
	}
}
