package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/pubsub/redisgroup"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
)

type fixedClock struct{}

func (fixedClock) Now() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func (fixedClock) Sleep(ctx context.Context, _ time.Time) error { return ctx.Err() }

// carrier is a log with one partition, its delivery stream, and their readers.
type carrier struct {
	t          *testing.T
	client     *goredis.Client
	log        *eventlog.Log
	partitions []redisgroup.Partition
	stream     string
	counters   *group.Counters
	plain      bool // handlers are called without Watermill
}

func newCarrier(t *testing.T) *carrier {
	t.Helper()
	client := connect(t, redistest.Shared(t).Addr())
	keys, err := keyspace.New("carry-"+uuid.NewString(), 1, false)
	if err != nil {
		t.Fatal(err)
	}
	log, err := eventlog.Open(t.Context(), client, wireformat.New(), eventlog.Config{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	c := &carrier{t: t, client: client, log: log, counters: &group.Counters{}}
	c.partitions = partitionsOf(keys)
	c.stream = c.partitions[len(c.partitions)-1].Stream
	return c
}

func (c *carrier) send(m domain.MessageID) {
	c.t.Helper()
	e := domain.MessageNew{Chat: "c", Message: m, Sender: "ada", Content: "hi", At: fixedClock{}.Now()}
	_, err := c.log.Append(c.t.Context(), ports.Append{Chat: "c", Events: []ports.NewEvent{{
		ID: domain.EventID("e-" + string(m)), Event: e, Moves: domain.Moves(e), Meta: ports.Meta{CorrelationID: "request-1"},
	}}})
	if err != nil {
		c.t.Fatal(err)
	}
}

// plainly decides whether handlers are called without Watermill.
func (c *carrier) plainly(plain bool) *carrier {
	c.plain = plain
	return c
}

// run starts a group from the beginning of the stream, with middlewares around its handlers unless they are called without Watermill; stop ends it.
func (c *carrier) run(name string, handlers *pubsub.Handlers, middlewares ...message.HandlerMiddleware) (stop func()) {
	c.t.Helper()
	config := pubsub.SubscriberConfig{Stores: c.groups(), Config: group.Config{
		Group: name, LogID: c.log.ID(), Backlog: c.log, Codec: wireformat.New(), Start: groups.Start{Beginning: true},
		Retry: delivery.RetryPolicy{Attempts: 3, First: time.Millisecond}, Counters: c.counters, Logger: slog.New(slog.DiscardHandler),
	}}
	router, err := pubsub.NewRouter(patience, slog.New(slog.DiscardHandler))
	if err != nil {
		c.t.Fatal(err)
	}
	add := func(middlewares ...message.HandlerMiddleware) error {
		if c.plain {
			return router.AddCalls(pubsub.Topic, config, group.Calls(handlers.Handle))
		}
		return router.AddGroup(pubsub.Topic, config, handlers.Consume(config.Codec), middlewares...)
	}
	if err := add(middlewares...); err != nil {
		c.t.Fatal(err)
	}
	if err := add(); !errors.Is(err, pubsub.ErrDuplicateGroup) {
		c.t.Errorf("the group again: %v", err)
	}
	ctx, cancel := context.WithCancel(c.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- router.Run(ctx) }()
	<-router.Running()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := receive(c.t, ended); err != nil {
			c.t.Error(err)
		}
	}
	c.t.Cleanup(stop)
	return stop
}

func (c *carrier) handlers(byType map[string]pubsub.Handler) *pubsub.Handlers {
	return pubsub.NewHandlers(byType, c.counters)
}

func (c *carrier) groups() *redisgroup.Groups {
	return redisgroup.New(redisgroup.Config{Commands: c.client, Blocking: c.client, Partitions: c.partitions, Log: c.log})
}

func (c *carrier) letters(name string) []groups.DeadLetter {
	c.t.Helper()
	return lettersOf(c.t, c.groups(), name)
}

// TestAStockSubscriberReadsOurEntries reads with watermill-redisstream in its default configuration.
func TestAStockSubscriberReadsOurEntries(t *testing.T) {
	c := newCarrier(t)
	c.send("m1")
	own := goredis.NewClient(&goredis.Options{Addr: c.client.Options().Addr}) // the stock subscriber closes its client
	stock, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{Client: own, ConsumerGroup: "stock", OldestId: "0"}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	messages, err := stock.Subscribe(t.Context(), c.stream)
	if err != nil {
		t.Fatal(err)
	}
	msg := receive(t, messages)
	msg.Ack()
	want := map[string]string{"type": "message:new", "chat_id": "c", "occurred_at": "2026-01-02T03:04:05.000Z", "correlation_id": "request-1"}
	if msg.UUID != "e-m1" || fmt.Sprint(msg.Metadata) != fmt.Sprint(want) {
		t.Errorf("read as %s with %v", msg.UUID, msg.Metadata)
	}
	if r, err := wireformat.New().Decode(msg.Payload); err != nil || r.Seq != 1 || r.ID != "e-m1" {
		t.Errorf("payload %s: %v", msg.Payload, err)
	}
	if err := stock.Close(); err != nil {
		t.Error(err)
	}
}

// TestAStockPublisherReachesOurHandlers delivers messages that another Watermill program adds. They are in no log.
func TestAStockPublisherReachesOurHandlers(t *testing.T) {
	ways(t, func(t *testing.T, plain bool) {
		c := newCarrier(t).plainly(plain)
		arrived := make(chan ports.Delivery, 8)
		c.run("g", c.handlers(map[string]pubsub.Handler{pubsub.AnyType: func(_ context.Context, d ports.Delivery) error {
			arrived <- d
			return nil
		}}))
		own := goredis.NewClient(&goredis.Options{Addr: c.client.Options().Addr})
		stock, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: own}, watermill.NopLogger{})
		if err != nil {
			t.Fatal(err)
		}
		msg := message.NewMessage("theirs", []byte(`{"messageId":"m","chatId":"c","senderId":"ben","content":"x"}`))
		msg.Metadata.Set("type", "message:new")
		if err := stock.Publish(c.stream, msg); err != nil {
			t.Fatal(err)
		}
		d := receive(t, arrived)
		if e, ok := d.Event.(domain.MessageNew); !ok || e.Sender != "ben" || d.ID.Event != "theirs" || d.ID.Seq != 0 || d.ID.Log != "" {
			t.Errorf("delivered %+v", d)
		}
		if err := stock.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestEntriesThatAreNoEventsAreSetAside guards against the stock subscriber's behavior, which ends at an entry that it cannot parse.
func TestEntriesThatAreNoEventsAreSetAside(t *testing.T) {
	ways(t, func(t *testing.T, plain bool) {
		c := newCarrier(t).plainly(plain)
		newer := `{"eventId":"x","type":"message:new","v":9,"timestamp":"2026-01-02T03:04:05.000Z","seq":1,"ordinal":1}`
		metadata := string(wireformat.EncodeMetadata(map[string]string{"type": "message:new"}))
		for _, values := range [][]any{
			{"foo", "bar"},
			{wireformat.FieldUUID, "1", wireformat.FieldMetadata, "\xc1garbage", wireformat.FieldPayload, "{}"},
			{wireformat.FieldUUID, "2", wireformat.FieldMetadata, metadata, wireformat.FieldPayload, "no json"},
			{wireformat.FieldUUID, "3", wireformat.FieldPayload, `{"type":"poll:created"}`},
			{wireformat.FieldUUID, "4", wireformat.FieldMetadata, metadata, wireformat.FieldPayload, newer, "chat", "later", "seq", "1"},
		} {
			if err := c.client.XAdd(t.Context(), &goredis.XAddArgs{Stream: c.stream, Values: values}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		c.send("after")
		arrived := make(chan ports.Delivery, 8)
		c.run("g", c.handlers(map[string]pubsub.Handler{"message:new": func(_ context.Context, d ports.Delivery) error {
			arrived <- d
			return nil
		}}))
		if d := receive(t, arrived); d.ID.Event != "e-after" {
			t.Errorf("delivered %+v", d)
		}
		until(t, "four dead letters, and a chat that waits for a later version", func() bool {
			return len(c.letters("g")) == 4 && c.counters.DeadLetters.Load() == 4 && c.counters.BlockedNewer.Load() == 1
		})
		letters := c.letters("g")
		for _, letter := range letters {
			if letter.Group != "g" || letter.Attempts != 1 || !strings.Contains(letter.Reason, group.ErrBroken.Error()) {
				t.Errorf("dead letter %+v", letter)
			}
		}
	})
}

func TestFailuresAreTriedAgainAndThenSetAside(t *testing.T) {
	ways(t, func(t *testing.T, plain bool) {
		c := newCarrier(t).plainly(plain)
		for _, m := range []domain.MessageID{"fails", "gone", "panics", "recovers", "last"} {
			c.send(m)
		}
		starts := make(map[domain.EventID][]int)
		done := make(chan struct{})
		var around atomic.Int64
		stop := c.run("g", c.handlers(map[string]pubsub.Handler{"message:new": func(_ context.Context, d ports.Delivery) error {
			starts[d.ID.Event] = append(starts[d.ID.Event], d.Attempt)
			switch d.ID.Event {
			case "e-fails":
				return errors.New("no answer")
			case "e-gone":
				return fmt.Errorf("wrapped: %w", group.Permanent(errors.New("gone")))
			case "e-panics":
				panic("boom")
			case "e-recovers":
				if d.Attempt < 3 {
					return errors.New("not yet")
				}
			case "e-last":
				close(done)
			}
			return nil
		}}), func(next message.HandlerFunc) message.HandlerFunc {
			return func(msg *message.Message) ([]*message.Message, error) {
				around.Add(1)
				return next(msg)
			}
		})
		receive(t, done)
		stop() // commits the outcomes of all of them
		if n := c.counters.Handled.Load(); n != 2 {
			t.Errorf("%d handled, want 2", n)
		}
		want := map[domain.EventID]string{"e-fails": "[1 2 3]", "e-gone": "[1]", "e-panics": "[1 2 3]", "e-recovers": "[1 2 3]", "e-last": "[1]"}
		for id, attempts := range want {
			if got := fmt.Sprint(starts[id]); got != attempts {
				t.Errorf("%s was started %s, want %s", id, got, attempts)
			}
		}
		var letters []string
		for _, l := range c.letters("g") {
			letters = append(letters, fmt.Sprintf("%v %v", l.EventID, l.Attempts))
			if len(l.Payload) > 0 {
				t.Errorf("the letter has the payload %s, which an erasure would not reach", l.Payload)
			}
		}
		if fmt.Sprint(letters) != "[e-fails 3 e-gone 1 e-panics 3]" {
			t.Errorf("dead letters %v", letters)
		}
		if around.Load() != 11 && !plain {
			t.Errorf("the middleware was called %d times, want once a handler start", around.Load())
		}
	})
}

// TestFinishedDeliveriesStayFinished guards against the loss of acks at close: the stock subscriber loses all of them.
func TestFinishedDeliveriesStayFinished(t *testing.T) {
	ways(t, func(t *testing.T, plain bool) {
		c := newCarrier(t).plainly(plain)
		c.send("m1")
		entered, release := make(chan struct{}), make(chan struct{})
		stop := c.run("g", c.handlers(map[string]pubsub.Handler{"message:new": func(context.Context, ports.Delivery) error {
			close(entered)
			<-release
			return nil
		}}))
		receive(t, entered)
		stopped := make(chan struct{})
		go func() { defer close(stopped); stop() }()
		close(release)
		receive(t, stopped)
		c.send("m2")
		arrived := make(chan domain.EventID, 8)
		c.run("g", c.handlers(map[string]pubsub.Handler{"message:new": func(_ context.Context, d ports.Delivery) error {
			arrived <- d.ID.Event
			return nil
		}}))
		if id := receive(t, arrived); id != "e-m2" {
			t.Errorf("%s is delivered again", id)
		}
	})
}

func TestDeleteRemovesAGroup(t *testing.T) {
	c := newCarrier(t)
	c.send("m1")
	c.run("g", c.handlers(nil))()
	if err := c.groups().Delete(t.Context(), "g"); err != nil {
		t.Fatal(err)
	}
	if err := c.groups().Delete(t.Context(), "g"); !errors.Is(err, groups.ErrGroupNotFound) {
		t.Errorf("forgotten twice: %v", err)
	}
	for _, key := range c.client.Keys(t.Context(), "*:g:*:g").Val() {
		if strings.HasPrefix(key, strings.TrimSuffix(c.partitions[0].Base, ":")) {
			t.Errorf("left is %s", key)
		}
	}
}
