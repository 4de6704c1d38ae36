package live_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub/live"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func TestMain(m *testing.M) {
	redistest.Main(m)
}

const patience = wait.Limit

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("nothing came for %s", patience)
		panic("unreachable")
	}
}

func options(addr string) *goredis.Options {
	user, password := redistest.Credentials()
	return &goredis.Options{Addr: addr, Username: user, Password: password, ContextTimeoutEnabled: true, MaxRetries: -1}
}

func connect(t *testing.T, addr string) *goredis.Client {
	t.Helper()
	client := goredis.NewClient(options(addr))
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("the client was closed by somebody else: %v", err)
		}
	})
	return client
}

// newLive returns a live bus that gives a silent connection up after 100 ms. On a busy machine that also happens to a connection that works: what is
// published meanwhile is lost, and counted as a reconnect.
func newLive(t *testing.T, client goredis.UniversalClient) *live.PubSub {
	t.Helper()
	return newProbingLive(t, client, "", 0, 50*time.Millisecond)
}

// newPatientLive returns a live bus that gives up only a connection that is broken.
func newPatientLive(t *testing.T, client goredis.UniversalClient, prefix string, buffer int) *live.PubSub {
	t.Helper()
	return newProbingLive(t, client, prefix, buffer, patience)
}

func newProbingLive(t *testing.T, client goredis.UniversalClient, prefix string, buffer int, probe time.Duration) *live.PubSub {
	t.Helper()
	bus := live.NewPubSub(live.PubSubConfig{Client: client, Channel: func(topic string) string { return prefix + topic }, Buffer: buffer, Probe: probe})
	t.Cleanup(func() {
		if err := bus.Close(); err != nil {
			t.Error(err)
		}
	})
	return bus
}

func TestWhatIsPublishedAfterSubscribeArrives(t *testing.T) {
	server := redistest.Shared(t)
	client, publisher := connect(t, server.Addr()), connect(t, server.Addr())
	prefix := "confirm:" + uuid.NewString() + ":"
	bus := newPatientLive(t, client, prefix, 0)
	for i := range 100 {
		topic := fmt.Sprintf("topic-%d", i)
		messages, err := bus.Subscribe(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		if err := publisher.Publish(t.Context(), prefix+topic, fmt.Sprint(i)).Err(); err != nil {
			t.Fatal(err)
		}
		msg := receive(t, messages)
		msg.Ack()
		if string(msg.Payload) != fmt.Sprint(i) {
			t.Fatalf("topic %d: %q", i, msg.Payload)
		}
	}
	if n := bus.Reconnects(); n > 0 {
		t.Errorf("the connection was lost %d times", n)
	}
}

func TestSubscribersShareOneServerSubscription(t *testing.T) {
	server := redistest.Shared(t)
	client := connect(t, server.Addr())
	prefix := "share:" + uuid.NewString() + ":"
	bus := newPatientLive(t, client, prefix, 0)
	subscribed := func() int64 { return client.PubSubNumSub(t.Context(), prefix+"x").Val()[prefix+"x"] }
	first, err := bus.Subscribe(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	second, err := bus.Subscribe(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if n := subscribed(); n != 1 {
		t.Errorf("%d subscriptions at the server", n)
	}
	if err := bus.Publish("x", message.NewMessage("1", []byte("p"))); err != nil {
		t.Fatal(err)
	}
	for _, messages := range []<-chan *message.Message{first, second} {
		receive(t, messages).Ack()
	}
}

func TestASlowReaderLosesAndHoldsUpNobody(t *testing.T) {
	client := connect(t, redistest.Shared(t).Addr())
	bus := newPatientLive(t, client, "slow:"+uuid.NewString()+":", 4)
	if _, err := bus.Subscribe(t.Context(), "x"); err != nil { // never read
		t.Fatal(err)
	}
	quick, err := bus.Subscribe(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	const n = 50
	for i := range n {
		if err := bus.Publish("x", message.NewMessage("1", []byte(fmt.Sprint(i)))); err != nil {
			t.Fatal(err)
		}
		msg := receive(t, quick)
		msg.Ack()
		if string(msg.Payload) != fmt.Sprint(i) {
			t.Fatalf("the quick reader got %q at %d", msg.Payload, i)
		}
	}
	wait.Until(t, "what the slow reader lost is counted", func() bool { d := bus.Dropped(); return d >= n-6 && d < n })
}

// TestTwoTopicsOfOneChannelBothHear has two topics with the same channel.
func TestTwoTopicsOfOneChannelBothHear(t *testing.T) {
	client := connect(t, redistest.Shared(t).Addr())
	channel := "one:" + uuid.NewString()
	bus := live.NewPubSub(live.PubSubConfig{Client: client, Channel: func(string) string { return channel }})
	t.Cleanup(func() { _ = bus.Close() })
	for _, topic := range []string{"a", "b"} {
		messages, err := bus.Subscribe(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		if err := bus.Publish(topic, message.NewMessage("1", []byte(topic))); err != nil {
			t.Fatal(err)
		}
		if msg := receive(t, messages); string(msg.Payload) != topic {
			t.Errorf("%s heard %q", topic, msg.Payload)
		}
	}
}

// TestWhatALeavingSubscriberHadNotReadDoesNotCount ends a subscription with unread messages.
func TestWhatALeavingSubscriberHadNotReadDoesNotCount(t *testing.T) {
	local := live.NewLocal(4)
	ctx, leave := context.WithCancel(t.Context())
	messages, err := local.Subscribe(ctx, "x")
	if err != nil {
		t.Fatal(err)
	}
	for range 6 {
		if err := local.Publish("x", message.NewMessage("1", []byte("p"))); err != nil {
			t.Fatal(err)
		}
	}
	receive(t, messages)
	leave()
	read := uint64(1)
	for range messages { // until it is closed
		read++
	}
	if n := local.Queued(); n != read {
		t.Errorf("%d count as queued, %d were read", n, read)
	}
	if err := local.Close(); err != nil {
		t.Fatal(err)
	}
}

// heard publishes until something arrives.
func heard(t *testing.T, publisher *goredis.Client, channel string, messages <-chan *message.Message) {
	t.Helper()
	wait.Until(t, "live again", func() bool {
		_ = publisher.Publish(t.Context(), channel, "again").Err()
		select {
		case msg := <-messages:
			msg.Ack()
			return true
		default:
			return false
		}
	})
}

func TestLiveHealsFromKillsAndRestarts(t *testing.T) {
	server := redistest.Start(t)
	client, publisher := connect(t, server.Addr()), connect(t, server.Addr())
	bus := newLive(t, client)
	messages, err := bus.Subscribe(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	heard(t, publisher, "x", messages)
	before := bus.Reconnects()
	if err := publisher.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	wait.Until(t, "a reconnect", func() bool { return bus.Reconnects() > before })
	heard(t, publisher, "x", messages)
	server.Kill()
	server.Restart(t)
	heard(t, publisher, "x", messages)
}

// TestLiveHealsFromABlackHole guards against a connection that is silently dead: go-redis alone does not notice.
func TestLiveHealsFromABlackHole(t *testing.T) {
	server := redistest.Shared(t)
	proxy := redistest.StartProxy(t, server)
	client := goredis.NewClient(&goredis.Options{
		Addr: strings.TrimPrefix(proxy.URL(), "redis://"), ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
		ReadTimeout: 200 * time.Millisecond, WriteTimeout: 200 * time.Millisecond, DialTimeout: 200 * time.Millisecond,
	})
	t.Cleanup(func() { _ = client.Close() })
	publisher := connect(t, server.Addr())
	channel := "hole:" + uuid.NewString()
	bus := newLive(t, client)
	messages, err := bus.Subscribe(t.Context(), channel)
	if err != nil {
		t.Fatal(err)
	}
	heard(t, publisher, channel, messages)
	before := bus.Reconnects()
	proxy.Swallow(true)
	wait.Until(t, "the silence is noticed", func() bool { return bus.Reconnects() > before })
	proxy.Swallow(false)
	heard(t, publisher, channel, messages)
}
