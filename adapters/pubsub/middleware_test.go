package pubsub_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"chatcore/adapters/pubsub"
)

// routeOther runs a group of another subscriber than the package's own with middlewares. stop ends the router and returns the time that it took to
// end.
func routeOther(t *testing.T, letters pubsub.DeadLetters, handle message.NoPublishHandlerFunc, around ...message.HandlerMiddleware) (router *pubsub.Router, publish func(uuid string), stop func() time.Duration) {
	t.Helper()
	channel := gochannel.NewGoChannel(gochannel.Config{OutputChannelBuffer: 8}, watermill.NopLogger{})
	router, err := pubsub.NewRouter(letters, func(string) *pubsub.Counters { return &pubsub.Counters{} }, machine{}, pubsub.RetryPolicy{Attempts: 3}, 20*time.Second, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := router.AddGroup("g", []string{"topic"}, channel, handle, around...); err != nil {
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
	return router, publish, func() time.Duration {
		began := time.Now()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		return time.Since(began)
	}
}

// TestOtherSubscribers_Middlewares checks that middlewares surround each start, and that neither a context that one leaves behind nor an error that
// one drops ends the retries.
func TestOtherSubscribers_Middlewares(t *testing.T) {
	drop := func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			_, _ = next(msg)
			return nil, nil
		}
	}
	skip := func(message.HandlerFunc) message.HandlerFunc {
		return func(*message.Message) ([]*message.Message, error) { return nil, nil }
	}
	for name, test := range map[string]struct {
		around message.HandlerMiddleware
		starts int
		reason string
	}{
		"Timeout":                    {middleware.Timeout(time.Second), 3, "broken"},
		"one that drops errors":      {drop, 3, "broken"},
		"one that skips the handler": {skip, 0, pubsub.ErrHandlerSkipped.Error()},
		"one that panics": {func(message.HandlerFunc) message.HandlerFunc {
			return func(*message.Message) ([]*message.Message, error) { panic("no") }
		}, 0, "the handler panicked: no"},
		"one that passes on a copy": {func(next message.HandlerFunc) message.HandlerFunc {
			return func(m *message.Message) ([]*message.Message, error) { return next(m.Copy()) }
		}, 3, "broken"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				letters, starts := &keptLetters{}, 0
				_, publish, stop := routeOther(t, letters, func(*message.Message) error {
					starts++
					return errors.New("broken")
				}, test.around)
				publish("e")
				time.Sleep(time.Minute)
				synctest.Wait()
				if starts != test.starts || letters.n.Load() != 1 || letters.last.Reason != test.reason || letters.last.Attempts != 3 {
					t.Errorf("%d starts, %d dead letters, the last is %+v", starts, letters.n.Load(), letters.last)
				}
				stop()
			})
		})
	}
}

// TestOtherSubscribers_AbandonedHandlers checks that they are named and that the router does not wait for them.
func TestOtherSubscribers_AbandonedHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		router, publish, stop := routeOther(t, &keptLetters{}, func(*message.Message) error {
			<-release
			return nil
		})
		publish("e")
		synctest.Wait()
		took := stop()
		if running := router.InFlight(); took > 20*time.Second || len(running) != 1 || running[0].Group != "g" || running[0].Event != "e" {
			t.Errorf("after %v there run %v", took, running)
		}
		close(release)
		synctest.Wait()
		if running := router.InFlight(); len(running) > 0 {
			t.Errorf("there run %v", running)
		}
	})
}
