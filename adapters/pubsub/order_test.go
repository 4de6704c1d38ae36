package pubsub_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/wireformat"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestChatsBeyondThoseKeptGoOnWhereTheyWere has more chats than the partition keeps queues for: an evicted chat continues after its checkpoint.
func TestChatsBeyondThoseKeptGoOnWhereTheyWere(t *testing.T) {
	t.Parallel()
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

// TestAStreamThatIsNoPartition reads such a stream as one of other programs, even if its entries name chats and seqs: no log has the events missing
// between them.
func TestAStreamThatIsNoPartition(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	r.send(3, "c")
	stores := streams(t, r.client)
	subscriber, err := pubsub.NewSubscriber(pubsub.SubscriberConfig{Stream: stores.Stream, Config: group.Config{Group: "plain", Lease: quick}})
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

// TestOrderWhileInstancesComeAndGo starts and stops members under load. They release and acquire partitions in order, so that no event is even
// started twice.
func TestOrderWhileInstancesComeAndGo(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 4).plainly(plain)
		e := newEffects()
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		config := beginning(r.config("g"))
		config.Concurrency = 16
		config.Lease = time.Minute // no lease ends by itself
		all := chats(30)
		handle := e.around(lingers(2 * time.Millisecond))
		running := []*instance{r.start(config, handle)}
		for range 12 {
			for range 10 {
				r.send(1+random.IntN(3), all[random.IntN(len(all)):]...)
			}
			if len(running) < 2 || len(running) < 4 && random.IntN(2) == 0 {
				running = append(running, r.start(config, handle))
				continue
			}
			gone := random.IntN(len(running))
			running[gone].stop()
			running = slices.Delete(running, gone, gone+1)
		}
		e.complete(r)
		e.once(t)
		if n := r.counters.Fenced.Load(); n != 0 {
			t.Errorf("partitions were lost %d times", n)
		}
	})
}

// TestOrderWhileInstancesCrash crashes members under load, with handlers that fail now and then. The next owner repeats uncommitted events in order,
// for consumers that filter effects by their epochs.
func TestOrderWhileInstancesCrash(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 4).plainly(plain)
		e := newEffects()
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		config := beginning(r.config("g"))
		config.Retry.Attempts = 1000
		config.Drain = 100 * time.Millisecond // crashed members cannot commit anything
		all := chats(30)
		linger := lingers(4 * time.Millisecond)
		handle := e.around(func(ctx context.Context, d ports.Delivery) error {
			if rand.IntN(20) == 0 {
				return errors.New("now and then")
			}
			return linger(ctx, d)
		})
		running := []*instance{r.start(config, handle), r.start(config, handle)}
		for range 6 {
			for range 20 {
				r.send(1+random.IntN(3), all[random.IntN(len(all)):]...)
			}
			running = append(running, r.start(config, handle))
			running[0].crash()
			running = running[1:]
		}
		e.complete(r)
		if letters := r.letters("g"); len(letters) != 0 {
			t.Errorf("dead letters: %v", letters)
		}
		if e.starts == e.again || e.again == 0 {
			t.Errorf("%d of %d starts were again: the test crashed nobody who did anything", e.again, e.starts)
		}
	})
}

// TestOrderWhileInstancesFreeze suspends members for longer than their leases, under load, and resumes them.
func TestOrderWhileInstancesFreeze(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 4).plainly(plain)
		e := newEffects()
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		all := chats(30)
		handle := e.around(lingers(4 * time.Millisecond))
		var proxies []*freezer
		for range 3 {
			config := beginning(r.config("g"))
			proxies = append(proxies, newFreezer(t, r.server))
			config.client = proxies[len(proxies)-1].client(t)
			r.start(config, handle)
		}
		const rounds, most = 4, 100 // a member that is frozen while it has nothing to commit is not fenced: then there are further rounds
		for round := 0; round < rounds || round < most && r.counters.Fenced.Load() == 0; round++ {
			frozen := proxies[random.IntN(len(proxies))]
			for i := range 20 {
				r.send(1+random.IntN(3), all[random.IntN(len(all)):]...)
				if i == 10 {
					frozen.freeze()
				}
			}
			e.complete(r) // by the others
			frozen.thaw()
		}
		r.send(2, all...)
		e.complete(r)
		if n := r.counters.Fenced.Load(); n == 0 {
			t.Error("nobody was replaced")
		}
	})
}
