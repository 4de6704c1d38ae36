package pubsub_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"chatcore/adapters/pubsub"
	"chatcore/ports"
)

// TestHandlerTimeout_IsAFailedAttempt has handlers that observe their context: each start ends after the timeout, and the last makes a dead letter.
func TestHandlerTimeout_IsAFailedAttempt(t *testing.T) {
	var seen calls
	var last time.Duration
	handle := func(ctx context.Context, d ports.Delivery) error {
		seen.add(d)
		if d.ID.Seq == 2 {
			return nil
		}
		began := time.Now()
		<-ctx.Done()
		last = time.Since(began)
		return errors.Join(ports.ErrUnavailable, ctx.Err()) // as a port returns if its context ended during the call
	}
	inBubble(t, pubsub.SubscriberConfig{Retry: pubsub.RetryPolicy{Attempts: 3}}, handle, 20*time.Second, func(b *bubble) {
		b.send("c", 2)
		b.pass(2 * time.Minute)
		letters := b.letters()
		if len(letters) != 1 || letters[0].Attempts != 3 || last != 20*time.Second {
			t.Errorf("dead letters %+v, the last start took %v", letters, last)
		}
		if n := len(seen.of("c")); n != 4 {
			t.Errorf("%d starts", n)
		}
	})
}

// TestHungHandlers_AreNamed has a handler that ignores its context. Its chat waits, others continue, and the handler is named among the running ones.
func TestHungHandlers_AreNamed(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"with a timeout": 10 * time.Second, "without": 0} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			var seen calls
			handle := func(_ context.Context, d ports.Delivery) error {
				seen.add(d)
				if d.ID.Chat == "hung" && d.ID.Seq == 1 {
					for range 90 * 60 { // a channel from outside of the bubble would stop its clock
						time.Sleep(time.Second)
						select {
						case <-release:
							return nil
						default:
						}
					}
				}
				return nil
			}
			inBubble(t, pubsub.SubscriberConfig{}, handle, timeout, func(b *bubble) {
				began := time.Now()
				b.send("hung", 2)
				b.send("other", 2)
				b.pass(25 * time.Second)
				if s := b.state(); s.Blocked != 0 {
					t.Errorf("after 25 s it is %+v", s)
				}
				b.pass(10 * time.Second)
				s := b.state()
				if s.Blocked != 1 || s.Longest[0].Chat != "hung" || s.Longest[0].Seq != 1 || s.Longest[0].Reason != pubsub.BlockedSlow ||
					s.Longest[0].Since.Sub(began).Abs() > time.Second || b.counters.BlockedSlow.Load() != 1 {
					t.Fatalf("after 35 s it is %+v", s)
				}
				b.pass(time.Hour)
				if hung, other := len(seen.of("hung")), len(seen.of("other")); hung != 1 || other != 2 {
					t.Errorf("%d starts of the chat that waits, %d of the other", hung, other)
				}
				close(release)
				b.pass(time.Minute)
				if s := b.state(); len(seen.of("hung")) != 2 || s.Blocked+s.Failing+s.Letters != 0 || b.counters.BlockedSlow.Load() != 0 {
					t.Errorf("in the end it is %+v after %d starts", s, len(seen.of("hung")))
				}
			})
		})
	}
}

// TestHandlersThatDoNotReturn_HaveFailed has handlers that panic, or end their goroutine as testing.T.FailNow does.
func TestHandlersThatDoNotReturn_HaveFailed(t *testing.T) {
	var seen calls
	handle := func(_ context.Context, d ports.Delivery) error {
		seen.add(d)
		switch d.Attempt {
		case 1:
			runtime.Goexit()
		case 2:
			panic("no")
		}
		return nil
	}
	inBubble(t, pubsub.SubscriberConfig{}, handle, time.Minute, func(b *bubble) {
		b.send("c", 2)
		b.pass(10 * time.Second)
		found := seen.of("c")
		if len(found) != 6 || found[2].Attempt != 3 || found[2].ID.Seq != 1 || found[5].ID.Seq != 2 {
			t.Errorf("starts %+v", found)
		}
		if s := b.state(); s.Failing+s.Letters != 0 || s.Lag != 0 {
			t.Errorf("left: %+v", s)
		}
	})
}

// otherPath runs a handler for the messages of another subscriber than the package's own.
func otherPath(t *testing.T, letters pubsub.DeadLetters, handle message.NoPublishHandlerFunc) (publish func(uuid string), counters *pubsub.Counters, stop func()) {
	t.Helper()
	channel := gochannel.NewGoChannel(gochannel.Config{OutputChannelBuffer: 8}, watermill.NopLogger{})
	counters = &pubsub.Counters{}
	router, err := pubsub.NewRouter(letters, func(string) *pubsub.Counters { return counters }, machine{}, pubsub.RetryPolicy{Attempts: 3}, time.Minute, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := router.AddGroup("g", []string{"topic"}, channel, handle); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- router.Run(ctx) }()
	<-router.Running()
	publish = func(uuid string) {
		if err := channel.Publish("topic", message.NewMessage(uuid, nil)); err != nil {
			t.Fatal(err)
		}
	}
	return publish, counters, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := channel.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestOtherSubscribers_TransientFailuresAreNoAttempts checks the same promise for a log with another delivery.
func TestOtherSubscribers_TransientFailuresAreNoAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pass := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		letters := &keptLetters{}
		var starts, attempts atomic.Int64
		down := atomic.Bool{}
		down.Store(true)
		publish, counters, stop := otherPath(t, letters, func(msg *message.Message) error {
			starts.Add(1)
			attempts.Store(int64(pubsub.Attempt(msg)))
			switch {
			case msg.UUID == "exits" && pubsub.Attempt(msg) < 3:
				runtime.Goexit()
			case msg.UUID == "panics":
				panic("no")
			case down.Load():
				return ports.ErrUnavailable
			}
			return nil
		})
		publish("held")
		pass(20 * time.Minute)
		if n := starts.Load(); n < 50 || attempts.Load() != 1 || letters.n.Load() != 0 {
			t.Errorf("%d starts, the last was attempt %d; %d dead letters", n, attempts.Load(), letters.n.Load())
		}
		down.Store(false)
		pass(time.Minute)
		starts.Store(0)
		publish("exits")
		pass(time.Minute)
		if n := starts.Load(); n != 3 || letters.n.Load() != 0 {
			t.Errorf("a handler that exits is started %d times; %d dead letters", n, letters.n.Load())
		}
		publish("panics")
		pass(time.Minute)
		if letters.n.Load() != 1 || letters.last.Attempts != 3 {
			t.Errorf("dead letter %+v of %d", letters.last, letters.n.Load())
		}
		down.Store(true)
		publish("at the end")
		pass(time.Minute)
		began := time.Now()
		stop()
		if took := time.Since(began); took > 10*time.Second || letters.n.Load() != 1 {
			t.Errorf("it stops after %v, with %d dead letters", took, letters.n.Load())
		}
		if counters.Transient.Load() < 50 {
			t.Errorf("%d transient failures are counted", counters.Transient.Load())
		}
	})
}

// keptLetters counts dead letters.
type keptLetters struct {
	n    atomic.Int64
	last pubsub.DeadLetter
}

func (k *keptLetters) Put(_ context.Context, d pubsub.DeadLetter) error {
	d.ID = strconv.FormatInt(k.n.Add(1), 10)
	k.last = d
	return nil
}
