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

	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
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
	memory   *pubsub.Memory
	counters *pubsub.Counters
	stop     func()
}

// inBubble runs a test with a group of the handler, which its caller may wrap.
func inBubble(t *testing.T, c pubsub.SubscriberConfig, handle pubsub.Handler, timeout time.Duration, run func(b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		codec := wireformat.New()
		b := &bubble{t: t, log: memory.New(codec, machine{}, nil), counters: &pubsub.Counters{}}
		b.memory = pubsub.NewMemory(b.log, codec, machine{}, nil)
		c.Group, c.FromBeginning, c.Counters, c.Logger = "g", true, b.counters, slog.New(slog.DiscardHandler)
		subscriber, err := b.memory.Subscriber(c)
		if err != nil {
			t.Fatal(err)
		}
		router, err := pubsub.NewRouter(nil, func(string) *pubsub.Counters { return b.counters }, machine{}, pubsub.RetryPolicy{}, time.Minute, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		consume := pubsub.NewConsumer(codec, b.log.ID(), machine{}, map[string]pubsub.Handler{pubsub.AnyType: handle}, b.counters)
		if timeout > 0 {
			consume = pubsub.WithTimeout(timeout, consume)
		}
		if err := router.AddGroup("g", []string{b.memory.Topic()}, subscriber, consume); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- router.Run(ctx) }()
		b.stop = sync.OnceFunc(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		defer b.stop()
		<-router.Running()
		run(b)
	})
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

func (b *bubble) state() pubsub.PartitionState {
	b.t.Helper()
	list, err := b.memory.List(b.t.Context())
	if err != nil || len(list) != 1 {
		b.t.Fatalf("groups %v: %v", list, err)
	}
	return list[0].Partitions[0]
}

func (b *bubble) letters() (letters []pubsub.DeadLetter) {
	b.t.Helper()
	for letter, err := range b.memory.DeadLetters(b.t.Context(), "g") {
		if err != nil {
			b.t.Fatal(err)
		}
		letters = append(letters, letter)
	}
	return letters
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
