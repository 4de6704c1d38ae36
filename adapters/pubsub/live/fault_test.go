package live_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub/live"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// gate holds the traffic of one direction of a proxy while it is shut.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while traffic may pass
	held chan struct{} // gets a value, if there is room, when a piece is held
}

func newGate() *gate {
	g := &gate{open: make(chan struct{}), held: make(chan struct{}, 1)}
	close(g.open)
	return g
}

func (g *gate) pass([]byte) bool {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
		return true
	default:
	}
	select {
	case g.held <- struct{}{}:
	default:
	}
	<-open
	return true
}

// shut holds all traffic until the returned function is called, at the latest at the end of the test.
func (g *gate) shut(t *testing.T) (release func()) {
	t.Helper()
	open := make(chan struct{})
	g.mu.Lock()
	g.open = open
	g.mu.Unlock()
	release = sync.OnceFunc(func() { close(open) })
	t.Cleanup(release)
	return release
}

// gated returns a client through a proxy, with a gate for each direction.
func gated(t *testing.T, server *redistest.Server) (client *goredis.Client, requests, replies *gate) {
	t.Helper()
	proxy := redistest.StartProxy(t, server)
	requests, replies = newGate(), newGate()
	request, reply := requests.pass, replies.pass
	proxy.Request.Store(&request)
	proxy.Reply.Store(&reply)
	return connect(t, strings.TrimPrefix(proxy.URL(), "redis://")), requests, replies
}

// TestSubscribeWaitsForItsOwnConfirmation delivers the confirmation of a canceled subscription while the next SUBSCRIBE of the same channel has not
// reached the server.
func TestSubscribeWaitsForItsOwnConfirmation(t *testing.T) {
	server := redistest.Shared(t)
	direct := connect(t, server.Addr())
	client, requests, replies := gated(t, server)
	prefix := "own:" + uuid.NewString() + ":"
	bus := live.NewPubSub(live.PubSubConfig{Client: client, Channel: func(topic string) string { return prefix + topic }, Probe: 10 * time.Minute})
	t.Cleanup(func() { _ = bus.Close() })
	subscribers := func(topic string) int64 {
		return direct.PubSubNumSub(t.Context(), prefix+topic).Val()[prefix+topic]
	}
	publish := func(topic, payload string) {
		if err := direct.Publish(t.Context(), prefix+topic, payload).Err(); err != nil {
			t.Fatal(err)
		}
	}
	other, err := bus.Subscribe(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}

	letReplies := replies.shut(t)
	ctx, giveUp := context.WithCancel(t.Context())
	given := make(chan error, 1)
	go func() {
		_, err := bus.Subscribe(ctx, "x")
		given <- err
	}()
	wait.Until(t, "the first subscription is at the server", func() bool { return subscribers("x") == 1 })
	giveUp()
	if err := receive(t, given); !errors.Is(err, context.Canceled) {
		t.Fatalf("gave up with %v", err)
	}
	wait.Until(t, "the first subscription is undone", func() bool { return subscribers("x") == 0 })

	letRequests := requests.shut(t)
	type result struct {
		messages <-chan *message.Message
		err      error
	}
	second := make(chan result, 1)
	go func() {
		messages, err := bus.Subscribe(t.Context(), "x")
		second <- result{messages, err}
	}()
	receive(t, requests.held)
	letReplies()
	for i := range 50 { // by then the earlier confirmation has had its effect
		publish("other", fmt.Sprint(i))
		receive(t, other).Ack()
	}
	select {
	case r := <-second:
		t.Fatalf("Subscribe returned (%v) while the server has %d subscribers", r.err, subscribers("x"))
	default:
	}
	letRequests()
	r := receive(t, second)
	if r.err != nil {
		t.Fatal(r.err)
	}
	publish("x", "heard")
	if msg := receive(t, r.messages); string(msg.Payload) != "heard" {
		t.Errorf("heard %q", msg.Payload)
	}
}

// TestSubscribeAfterAReconnectWaitsForTheNewConnection joins a channel that was confirmed on a lost connection.
func TestSubscribeAfterAReconnectWaitsForTheNewConnection(t *testing.T) {
	server := redistest.Start(t)
	direct := connect(t, server.Addr())
	client, requests, _ := gated(t, server)
	bus := newLive(t, client)
	if _, err := bus.Subscribe(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	letRequests := requests.shut(t)
	lost := bus.Reconnects()
	if err := direct.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	wait.Until(t, "the loss is noticed", func() bool { return bus.Reconnects() > lost })
	joined := make(chan (<-chan *message.Message), 1)
	go func() {
		messages, err := bus.Subscribe(t.Context(), "x")
		if err != nil {
			t.Error(err)
		}
		joined <- messages
	}()
	receive(t, requests.held)
	letRequests()
	messages := receive(t, joined)
	if n, err := direct.Publish(t.Context(), "x", "heard").Result(); err != nil || n != 1 {
		t.Fatalf("%d subscribers, %v", n, err)
	}
	receive(t, messages).Ack()
}

// TestAHangingDialBlocksNobody has the server not answer new connections while those of the pool work.
func TestAHangingDialBlocksNobody(t *testing.T) {
	server := redistest.Start(t)
	direct := connect(t, server.Addr())
	dials := newGate()
	config := options(server.Addr())
	config.DialTimeout, config.DialerRetries = time.Hour, 1
	config.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		passed := make(chan struct{})
		go func() {
			defer close(passed)
			dials.pass(nil)
		}()
		select {
		case <-passed:
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	client := goredis.NewClient(config)
	t.Cleanup(func() { _ = client.Close() })
	bus := newLive(t, client)
	if _, err := bus.Subscribe(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	publish := func() error { return bus.Publish("x", message.NewMessage("1", []byte("p"))) }
	if err := publish(); err != nil { // leaves a connection in the pool
		t.Fatal(err)
	}
	release := dials.shut(t)
	if err := direct.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	receive(t, dials.held)
	returned := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := bus.Subscribe(ctx, "y")
		returned <- err
	}()
	if err := receive(t, returned); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Subscribe: %v", err)
	}
	go func() { returned <- publish() }()
	if err := receive(t, returned); err != nil {
		t.Errorf("Publish: %v", err)
	}
	release()
	messages, err := bus.Subscribe(t.Context(), "y")
	if err != nil {
		t.Fatal(err)
	}
	heard(t, direct, "y", messages)
}

// TestEveryReceivedMessageIsHandledOrDropped overloads subscribers that read, that do not and that leave.
func TestEveryReceivedMessageIsHandledOrDropped(t *testing.T) {
	server := redistest.Start(t)
	publisher := connect(t, server.Addr())
	bus := live.NewPubSub(live.PubSubConfig{Client: connect(t, server.Addr()), Buffer: 8})
	t.Cleanup(func() { _ = bus.Close() })
	const subscribers, n = 4, 5000
	ctx, leave := context.WithCancel(t.Context())
	counts := make([]uint64, subscribers)
	var reading sync.WaitGroup
	stalled := make(chan struct{})
	for i := range subscribers {
		messages, err := bus.Subscribe(ctx, "x")
		if err != nil {
			t.Fatal(err)
		}
		reading.Go(func() {
			if i%2 == 1 {
				<-messages
				counts[i]++
				<-stalled
				for range messages { // the remaining messages no longer belong to this subscriber
					counts[i]++
				}
				return
			}
			for range messages {
				counts[i]++
			}
		})
	}
	for range n / 100 {
		if _, err := publisher.Pipelined(t.Context(), func(p goredis.Pipeliner) error {
			for range 100 {
				p.Publish(t.Context(), "x", "payload")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	wait.Until(t, "all is received", func() bool { return bus.Queued()+bus.Dropped() >= subscribers*n })
	leave()
	close(stalled)
	reading.Wait()
	handled := uint64(0)
	for _, c := range counts {
		handled += c
	}
	if dropped := bus.Dropped(); handled+dropped != subscribers*n || bus.Reconnects() != 0 {
		t.Errorf("%d handled and %d dropped of %d, %d connections lost", handled, dropped, subscribers*n, bus.Reconnects())
	}
	if bus.Queued() != handled {
		t.Errorf("%d count as queued, %d were handled", bus.Queued(), handled)
	}
}

// TestAConnectionThatRedisClosesIsCounted has Redis disconnect a process that does not read fast enough.
func TestAConnectionThatRedisClosesIsCounted(t *testing.T) {
	server := redistest.Start(t, "--client-output-buffer-limit", "pubsub 65536 0 0")
	publisher := connect(t, server.Addr())
	client, _, replies := gated(t, server)
	bus := live.NewPubSub(live.PubSubConfig{Client: client, Probe: 10 * time.Minute})
	t.Cleanup(func() { _ = bus.Close() })
	messages, err := bus.Subscribe(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	release := replies.shut(t)
	payload := strings.Repeat("x", 1<<16)
	wait.Until(t, "Redis gives up", func() bool { // the buffers of the sockets have to fill first
		n, err := publisher.Publish(t.Context(), "x", payload).Result()
		return err == nil && n == 0
	})
	release()
	wait.Until(t, "the loss is counted", func() bool { return bus.Reconnects() == 1 })
	heard(t, publisher, "x", drained(messages))
}

// drained skips messages of the flood.
func drained(messages <-chan *message.Message) <-chan *message.Message {
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for msg := range messages {
			if len(msg.Payload) < 100 {
				out <- msg
				return
			}
		}
	}()
	return out
}
