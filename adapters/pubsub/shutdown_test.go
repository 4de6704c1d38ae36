package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/pubsub/redisgroup"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestTheClientStaysOpen guards against the behavior of the stock publisher and subscriber, which close their client.
func TestTheClientStaysOpen(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	publisher, err := newPublisher(r.client)
	if err != nil {
		t.Fatal(err)
	}
	config := r.config("g")
	config.client = r.client
	config = r.open(config)
	subscriber, err := pubsub.NewSubscriber(config.SubscriberConfig)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := subscriber.Subscribe(t.Context(), pubsub.Topic); err != nil {
		t.Fatal(err)
	}
	stores, _ := config.Stores.(*redisgroup.Groups)
	if err := errors.Join(publisher.Close(), subscriber.Close(), subscriber.Close(), stores.Close()); err != nil {
		t.Error(err)
	}
	if err := r.client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("the client: %v", err)
	}
	if err := publisher.Publish("x", message.NewMessage("1", nil)); !errors.Is(err, group.ErrClosed) {
		t.Errorf("published after the close: %v", err)
	}
	if _, err := subscriber.Subscribe(t.Context(), pubsub.Topic); !errors.Is(err, group.ErrClosed) {
		t.Errorf("subscribed after the close: %v", err)
	}
}

// TestAcksAfterTheCloseBegan guards against the loss of such acks: the stock subscriber loses 10 of 10. The messages of the first half are acked
// after the member is canceled, those of the second half are redelivered.
func TestAcksAfterTheCloseBegan(t *testing.T) {
	t.Parallel()
	client := connect(t, redistest.Shared(t).Addr())
	publisher, err := newPublisher(client)
	if err != nil {
		t.Fatal(err)
	}
	stream := "acks-" + uuid.NewString()
	const n = 10
	for i := range 2 * n {
		if err := publisher.Publish(stream, message.NewMessage(fmt.Sprint(i), nil)); err != nil {
			t.Fatal(err)
		}
	}
	config := pubsub.SubscriberConfig{Stream: streams(t, client).Stream, Config: group.Config{
		Group: "g", Start: groups.Start{Beginning: true}, Order: delivery.Unordered, Lease: quick, Drain: 5 * time.Second, Logger: slog.New(slog.DiscardHandler),
	}}
	subscriber, err := pubsub.NewSubscriber(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	messages, err := subscriber.Subscribe(ctx, stream)
	if err != nil {
		t.Fatal(err)
	}
	taken := make([]*message.Message, 2*n)
	for i := range taken {
		taken[i] = receive(t, messages)
	}
	cancel()
	closed := make(chan error, 1)
	go func() { closed <- subscriber.Close() }()
	select {
	case err := <-closed:
		t.Fatalf("it is closed while handlers run: %v", err)
	case <-taken[0].Context().Done():
		t.Fatal("a handler's context ends before the drain is over")
	case <-time.After(50 * time.Millisecond):
	}
	for i, msg := range taken {
		if i < n {
			msg.Ack()
		} else {
			msg.Nack()
		}
	}
	if err := receive(t, closed); err != nil {
		t.Error(err)
	}
	if _, open := <-messages; open {
		t.Error("the channel is not closed")
	}

	if subscriber, err = pubsub.NewSubscriber(config); err != nil {
		t.Fatal(err)
	}
	if messages, err = subscriber.Subscribe(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		msg := receive(t, messages)
		if msg.UUID != fmt.Sprint(n+i) {
			t.Errorf("%s comes again", msg.UUID)
		}
		msg.Ack()
	}
	if err := subscriber.Close(); err != nil {
		t.Error(err)
	}
}

// TestTheDrainEnds checks that the drain ends on time, even with handlers that ignore their contexts.
func TestTheDrainEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	config := beginning(r.config("g"))
	config.Drain = 500 * time.Millisecond
	cancelled, deaf := make(chan time.Time, 1), make(chan struct{})
	begun := make(chan struct{}, 2)
	config.client = r.client
	subscriber, messages := r.subscribe(config)
	handled := make(chan struct{})
	go func() {
		defer close(handled)
		for range 2 {
			msg := <-messages
			begun <- struct{}{}
			if msg.UUID == "e-deaf-1" {
				continue
			}
			go func() {
				<-msg.Context().Done()
				cancelled <- time.Now()
			}()
		}
		<-deaf
	}()
	r.send(1, "deaf", "heeds")
	receive(t, begun)
	receive(t, begun)
	from := time.Now()
	if err := subscriber.Close(); err != nil {
		t.Error(err)
	}
	took := time.Since(from)
	if took < config.Drain*8/10 || took > config.Drain+wait.Limit/4 {
		t.Errorf("it took %v", took)
	}
	if at := receive(t, cancelled).Sub(from); at < config.Drain*8/10 || at > took {
		t.Errorf("contexts end after %v", at)
	}
	close(deaf)
	receive(t, handled)
	if l := r.partition("g"); l.Owner != "" || l.Failing != 0 {
		t.Errorf("the partition is left as %+v", l)
	}
}

// TestWhatIsPublishedRightAfterSubscribe guards against a group that begins with the entries after its first read: fan-out without a group lost the
// message 50 of 50 times.
func TestWhatIsPublishedRightAfterSubscribe(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 2)
	config := r.config("")
	config.client = r.client
	config = r.open(config) // all groups share a reader
	var subscribers []*pubsub.Subscriber
	for i := range 50 {
		r.send(1, "c")
		config.Group = fmt.Sprint("g", i)
		subscriber, err := pubsub.NewSubscriber(config.SubscriberConfig)
		if err != nil {
			t.Fatal(err)
		}
		subscribers = append(subscribers, subscriber)
		messages, err := subscriber.Subscribe(t.Context(), pubsub.Topic)
		if err != nil {
			t.Fatal(err)
		}
		r.send(1, "c", domain.ChatID(fmt.Sprint("new-", i)))
		ids := make(map[string]bool)
		for range 2 {
			msg := receive(t, messages)
			ids[msg.UUID] = true
			msg.Ack()
		}
		if !ids[fmt.Sprintf("e-c-%d", r.sent["c"])] || !ids[fmt.Sprintf("e-new-%d-1", i)] {
			t.Fatalf("group %d got %v", i, ids)
		}
	}
	for _, s := range subscribers {
		go func() { _ = s.Close() }()
	}
	for _, s := range subscribers {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestALostLogEndsTheSubscription checks that it ends with the same reason as the log's writes.
func TestALostLogEndsTheSubscription(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Start(t), 2)
	testEnd(t, r, ports.ErrLogLost, func() error { return r.client.FlushAll(t.Context()).Err() })
	until(t, "nothing is written any more", func() bool { return len(r.client.Keys(t.Context(), "*").Val()) == 0 })
}

// TestAForgottenGroupEndsTheSubscription also checks that the group leaves no key behind.
func TestAForgottenGroupEndsTheSubscription(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Start(t), 2)
	testEnd(t, r, groups.ErrGroupDeleted, func() error { return r.groups().Delete(t.Context(), "g") })
	until(t, "nothing of it is left", func() bool { return len(r.client.Keys(t.Context(), "*g:g*").Val()) == 0 })
}

func testEnd(t *testing.T, r *rig, reason error, cause func() error) {
	t.Helper()
	config := beginning(r.config("g"))
	config.client = r.client
	subscriber, messages := r.subscribe(config)
	r.send(2, chats(4)...)
	for range 8 {
		receive(t, messages).Ack()
	}
	if err := subscriber.Err(); err != nil {
		t.Errorf("before: %v", err)
	}
	if err := cause(); err != nil {
		t.Fatal(err)
	}
	select {
	case msg, open := <-messages:
		if open {
			t.Errorf("%s comes", msg.UUID)
		}
	case <-time.After(patience):
		t.Fatal("the channel is not closed")
	}
	if err := subscriber.Err(); !errors.Is(err, reason) {
		t.Errorf("it ended because of %v", err)
	}
	if err := subscriber.Close(); err != nil {
		t.Error(err)
	}
}

// TestDeliveryHeals kills connections, and makes connections swallow all traffic. Delivery recovers without waiting for their end, which never comes.
func TestDeliveryHeals(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Start(t), 2).plainly(plain)
		e := newEffects()
		proxy := redistest.StartProxy(t, r.server)
		config := beginning(r.config("g"))
		config.Lease = 3 * time.Second
		config.client = goredis.NewClient(&goredis.Options{Addr: strings.TrimPrefix(proxy.URL(), "redis://"), ContextTimeoutEnabled: true, MaxRetries: -1})
		r.start(config, e.around(nothing))
		for range 3 {
			r.send(2, chats(4)...)
			e.complete(r)
			if err := r.client.ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
				t.Fatal(err)
			}
		}
		proxy.Swallow(true)
		r.send(2, chats(4)...)
		<-time.After(time.Second)
		proxy.Swallow(false) // of new connections: the old ones stay deaf
		r.send(2, chats(4)...)
		e.complete(r)
	})
}
