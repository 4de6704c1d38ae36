package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// machine is the time of the bubble that a test runs in.
type machine struct{}

func (machine) Now() time.Time { return time.Now() }

func (machine) Sleep(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bubble is a log with one group in memory, in the virtual time of a synctest bubble.
type bubble struct {
	t        *testing.T
	log      *memory.Log
	groups   *memgroup.Groups
	counters *group.Counters
	router   *pubsub.Router
	cancel   context.CancelFunc // of the router
	stop     func()             // ends the router and waits for it
}

// inBubble runs a test with a group of the handler, which has middlewares around it unless it is called without Watermill.
func inBubble(t *testing.T, c group.Config, plain bool, handle pubsub.Handler, timeout time.Duration, run func(b *bubble), around ...message.HandlerMiddleware) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		config := b.config("g", c)
		handlers := pubsub.NewHandlers(map[string]pubsub.Handler{pubsub.AnyType: handle}, b.counters)
		consume, calls := handlers.Consume(config.Codec), group.Calls(handlers.Handle)
		if timeout > 0 {
			consume, calls = pubsub.WithTimeout(timeout, consume), calls.WithTimeout(timeout)
		}
		if plain {
			b.check(b.router.AddCalls(pubsub.Topic, config, calls))
		} else {
			b.check(b.router.AddGroup(pubsub.Topic, config, consume, around...))
		}
		ended := b.start()
		b.stop = sync.OnceFunc(func() {
			b.cancel()
			b.check(<-ended)
		})
		defer b.stop()
		run(b)
	})
}

// newBubble returns a log in the bubble that it is called in, and a router that does not run yet.
func newBubble(t *testing.T) *bubble {
	t.Helper()
	codec := wireformat.New()
	b := &bubble{t: t, log: memory.New(codec, machine{}, nil), counters: &group.Counters{}}
	b.groups = memgroup.New(memgroup.Config{Log: b.log, Codec: codec, Clock: machine{}})
	var err error
	b.router, err = pubsub.NewRouter(time.Minute, slog.New(slog.DiscardHandler))
	b.check(err)
	return b
}

// config returns the configuration of a group that begins with the first event.
func (b *bubble) config(name string, c group.Config) pubsub.SubscriberConfig {
	c.Group, c.Start.Beginning, c.Counters, c.Logger = name, true, b.counters, slog.New(slog.DiscardHandler)
	c.LogID, c.Backlog, c.Codec = b.log.ID(), b.log, wireformat.New()
	return pubsub.SubscriberConfig{Config: c, Stores: b.groups}
}

// start runs the router until cancel is called, and waits until every group reads.
func (b *bubble) start() (ended chan error) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	b.cancel, ended = cancel, make(chan error, 1)
	go func() { ended <- b.router.Run(ctx) }()
	<-b.router.Running()
	return ended
}

func (b *bubble) check(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Error(err)
	}
}

// send appends n messages to a chat.
func (b *bubble) send(chat domain.ChatID, n int) {
	b.t.Helper()
	for range n {
		id := fmt.Sprintf("%s-%d", chat, time.Now().UnixNano())
		time.Sleep(time.Nanosecond) // virtual: the next id is another
		e := domain.MessageNew{Chat: chat, Message: domain.MessageID(id), Sender: "ada", Content: "hi", At: time.Now().UTC().Truncate(time.Millisecond)}
		if _, err := b.log.Append(b.t.Context(), ports.Append{Chat: chat, Events: []ports.NewEvent{{ID: domain.EventID("e-" + id), Event: e, Moves: domain.Moves(e)}}}); err != nil {
			b.t.Fatal(err)
		}
	}
}

// pass lets virtual time pass.
func (b *bubble) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *bubble) state() groups.PartitionState {
	b.t.Helper()
	list, err := b.groups.List(b.t.Context())
	if err != nil || len(list) != 1 {
		b.t.Fatalf("groups %v: %v", list, err)
	}
	return list[0].Partitions[0]
}

func (b *bubble) letters() []groups.DeadLetter {
	b.t.Helper()
	return lettersOf(b.t, b.groups, "g")
}

// calls records the calls of a handler.
type calls struct {
	mu  sync.Mutex
	all []ports.Delivery
}

func (c *calls) add(d ports.Delivery) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, d)
	return len(c.all)
}

func (c *calls) of(chat domain.ChatID) (found []ports.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.all {
		if d.ID.Chat == chat {
			found = append(found, d)
		}
	}
	return found
}

var errDown = errors.New("the database is down")
