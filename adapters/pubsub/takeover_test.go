package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestTwoSubscriptionsOfOneSubscriber checks that they share a group as two processes do: one has the partition, and neither repeatedly takes it from
// the other.
func TestTwoSubscriptionsOfOneSubscriber(t *testing.T) {
	t.Parallel()
	client, counters := connect(t, redistest.Shared(t).Addr()), &group.Counters{}
	stream := "twice-" + uuid.NewString()
	publisher, err := newPublisher(client)
	if err != nil {
		t.Fatal(err)
	}
	subscriber, err := pubsub.NewSubscriber(pubsub.SubscriberConfig{Stream: streams(t, client).Stream, Config: group.Config{Group: "g", Lease: quick, Counters: counters}})
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
		t.Errorf("partitions were lost %d times", fenced)
	}
}

// TestAPartitionThatIsNotGivenAwayAfterAll starts a member and stops it again while handlers still hold the partitions assigned to it. The first owner
// continues, with the retries that became due meanwhile.
func TestAPartitionThatIsNotGivenAwayAfterAll(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 8).plainly(plain)
		release := make(chan struct{})
		e := newEffects()
		failed := make(chan struct{}, 64)
		config := r.config("g")
		config.Order = delivery.Unordered
		config.Retry = delivery.RetryPolicy{Attempts: 3, First: 200 * time.Millisecond}
		r.start(config, func(ctx context.Context, d ports.Delivery) error {
			switch {
			case d.ID.Seq == 0 || d.ID.Chat[0] == 'h':
				<-release
				return nil
			case d.Attempt == 1:
				e.begin(d)
				failed <- struct{}{}
				return e.end(d, errors.New("not yet"))
			}
			return e.around(nothing)(ctx, d)
		})
		holders, held := map[int]domain.ChatID{}, 0
		for i := 0; held < 8; i++ { // one handler that holds each partition
			chat := domain.ChatID(fmt.Sprint("holds-", i))
			if p := r.keys.Partition(chat); holders[p] == "" {
				holders[p] = chat
				r.send(1, chat)
				held++
			}
		}
		r.send(1, chats(64)...)
		for range 64 {
			receive(t, failed)
		}
		other := r.start(r.config("g"), nothing)
		members := r.partitions[0].Base + "g:members:g"
		until(t, "there are two", func() bool { return r.client.ZCard(t.Context(), members).Val() == 2 })
		<-time.After(2 * quick) // the backoffs are over
		other.stop()
		close(release)
		for _, chat := range holders {
			e.skip(chat, 1)
		}
		e.complete(r)
	})
}

// TestAStartThatDidNotComeIsNotCounted guards against attempts that are counted at delivery, as those of a Redis consumer group are. Starts were due
// when the member stopped, and no handler was free for them.
func TestAStartThatDidNotComeIsNotCounted(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		config := r.config("g")
		config.Concurrency = 1
		failed, holding, release := make(chan domain.ChatID, 32), make(chan struct{}), make(chan struct{})
		first := r.start(config, func(_ context.Context, d ports.Delivery) error {
			if d.ID.Chat == "holds" {
				close(holding)
				<-release
				return nil
			}
			if d.Attempt > 1 {
				t.Errorf("attempt %d at %s", d.Attempt, d.ID.Chat)
			}
			failed <- d.ID.Chat
			return errors.New("not yet")
		})
		due := chats(20)
		r.send(1, due...)
		r.send(1, "holds")
		for range due {
			receive(t, failed)
		}
		receive(t, holding)
		failing := r.partitions[0].Base + "g:failing:g"
		until(t, "the next starts are taken down", func() bool {
			values := r.client.HVals(t.Context(), failing).Val()
			return len(values) == len(due) && !slices.ContainsFunc(values, func(v string) bool { return !strings.HasPrefix(v, "1:2:") })
		})
		stopped := make(chan struct{})
		go func() { defer close(stopped); first.stop() }()
		until(t, "they are taken back", func() bool {
			return !slices.ContainsFunc(r.client.HVals(t.Context(), failing).Val(), func(v string) bool { return v != "1:1" })
		})
		close(release)
		receive(t, stopped)
		attempts := make(chan int, 32)
		r.start(r.config("g"), func(_ context.Context, d ports.Delivery) error {
			attempts <- d.Attempt
			return nil
		})
		for range due {
			if n := receive(t, attempts); n != 2 {
				t.Errorf("attempt %d follows the first", n)
			}
		}
		until(t, "none fails any more", func() bool { return r.partition("g").Failing == 0 })
	})
}

// TestNothingIsHandedOutAfterTheLease receives no messages until another member has acquired the partition and delivered everything. Messages that
// the first member had ready by then must not be delivered.
func TestNothingIsHandedOutAfterTheLease(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	config := r.config("g")
	config.client = goredis.NewClient(options(r.server.Addr()))
	late, messages := r.subscribe(config)
	r.send(2, chats(40)...)
	receive(t, messages).Nack() // it has the partition and has read the rest
	if err := config.client.Close(); err != nil {
		t.Fatal(err)
	}
	e := newEffects()
	r.start(r.config("g"), e.around(nothing))
	e.complete(r)
	select {
	case msg := <-messages:
		t.Errorf("%s is handed out late", msg.UUID)
	case <-time.After(quick / 2):
	}
	if err := late.Close(); err != nil {
		t.Error(err)
	}
}

// TestMiddlewares_LeaseExpires holds a delivery in a middleware until another member has handled it. The first member has lost its connections and
// does not know of the other: its handler must not start after the lease's deadline.
func TestMiddlewares_LeaseExpires(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	held, release, returned := make(chan struct{}), make(chan struct{}), make(chan struct{})
	wait := func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			close(held)
			<-release
			defer close(returned)
			return next(msg)
		}
	}
	started := make(chan struct{}, 1)
	first := r.start(r.config("g"), func(context.Context, ports.Delivery) error {
		started <- struct{}{}
		return nil
	}, wait)
	r.send(1, "c")
	receive(t, held)
	first.crash()
	e := newEffects()
	r.start(r.config("g"), e.around(nothing))
	e.complete(r)
	close(release)
	receive(t, returned)
	select {
	case <-started:
		t.Error("the handler started after the lease's deadline")
	default:
	}
}

// TestWhatRedisLostIsDeliveredAnew restarts Redis with an older state, and uses the lost seqs again.
func TestWhatRedisLostIsDeliveredAnew(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		server := redistest.Start(t)
		r := newRig(t, server, 2).plainly(plain)
		var mu sync.Mutex
		got := make(map[domain.EventID]bool)
		has := func(id domain.EventID) bool { mu.Lock(); defer mu.Unlock(); return got[id] }
		r.start(beginning(r.config("g")), func(_ context.Context, d ports.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			got[d.ID.Event] = true
			return nil
		})
		all := chats(6)
		send := func(name string, chats ...domain.ChatID) {
			for _, chat := range chats {
				id := name + string(chat)
				e := domain.MessageNew{Chat: chat, Message: domain.MessageID(id), Sender: "ada", Content: "hi", At: fixedClock{}.Now()}
				until(t, "it is appended", func() bool {
					_, err := r.log.Append(t.Context(), ports.Append{Chat: chat, Events: []ports.NewEvent{{ID: domain.EventID(id), Event: e, Moves: domain.Moves(e)}}})
					return err == nil
				})
			}
		}
		arrived := func(name string, chats ...domain.ChatID) {
			t.Helper()
			for _, chat := range chats {
				until(t, name+string(chat)+" is delivered", func() bool { return has(domain.EventID(name + string(chat))) })
			}
		}
		send("kept-", all...)
		arrived("kept-", all...)
		if err := r.client.Save(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			send(fmt.Sprint("lost-", i), all...)
			arrived(fmt.Sprint("lost-", i), all...)
		}
		r.idle("g")
		server.Kill()
		server.Restart(t)
		send("new-", all...)
		arrived("new-", all...)
	})
}

// TestAHandlerOfALostPartitionHoldsUpItsChatOnly has the same member acquire the partition again: no two handlers of the chat run at a time, and no other
// chat waits.
func TestAHandlerOfALostPartitionHoldsUpItsChatOnly(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		begun, end := make(chan struct{}), make(chan struct{})
		var running, starts atomic.Int64
		var others sync.Map
		r.start(beginning(r.config("g")), func(_ context.Context, d ports.Delivery) error {
			if d.ID.Chat != "long" {
				others.Store(fmt.Sprint(d.ID.Chat, d.Epoch), true)
				return nil
			}
			if running.Add(1) > 1 {
				t.Error("the chat is handled twice at a time")
			}
			defer running.Add(-1)
			if starts.Add(1) == 1 {
				close(begun)
				<-end
			}
			return nil
		})
		r.reading("g")
		r.send(1, "long", "c")
		receive(t, begun)
		if err := r.groups().Rebuild(t.Context(), "g"); err != nil { // which fences every owner
			t.Fatal(err)
		}
		until(t, "the partition is taken again, and the other chat goes on", func() bool {
			l := r.partition("g")
			_, again := others.Load(fmt.Sprint("c", l.Epoch))
			return l.Owner != "" && again
		})
		<-time.After(quick)
		close(end)
		until(t, "the chat goes on", func() bool { return starts.Load() == 2 })
		r.idle("g")
	})
}
