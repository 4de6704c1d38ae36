package pubsub_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/ports"
)

// TestMiddlewares_FailedStarts checks that middlewares surround each start, and that neither a context that one leaves behind nor an error that
// one drops ends the retries.
func TestMiddlewares_FailedStarts(t *testing.T) {
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
			starts := 0
			handle := func(context.Context, ports.Delivery) error {
				starts++
				return errors.New("broken")
			}
			inBubble(t, group.Config{Retry: delivery.RetryPolicy{Attempts: 3}}, false, handle, 0, func(b *bubble) {
				b.send("c", 1)
				b.pass(time.Minute)
				letters := b.letters()
				if starts != test.starts || len(letters) != 1 || letters[0].Reason != test.reason || letters[0].Attempts != 3 {
					t.Errorf("%d starts, dead letters %+v", starts, letters)
				}
			}, test.around)
		})
	}
}

// TestAbandonedHandlers_AreNamed checks that the router names the handlers that it leaves behind, and does not wait for them.
func TestAbandonedHandlers_AreNamed(t *testing.T) {
	ways(t, func(t *testing.T, plain bool) {
		release := make(chan struct{})
		handle := func(context.Context, ports.Delivery) error {
			for {
				select {
				case <-release:
					return nil
				default:
					time.Sleep(time.Second) // a channel from outside of the bubble would stop its clock
				}
			}
		}
		inBubble(t, group.Config{Drain: 10 * time.Second}, plain, handle, 0, func(b *bubble) {
			b.send("c", 1)
			b.pass(time.Second)
			began := time.Now()
			b.stop()
			running := b.router.InFlight()
			if took := time.Since(began); took > 20*time.Second || len(running) != 1 || running[0].Group != "g" || running[0].Chat != "c" || running[0].Seq != 1 || running[0].Event == "" {
				t.Errorf("after %v there run %v", took, running)
			}
			close(release)
			b.pass(time.Minute)
			if running := b.router.InFlight(); len(running) > 0 {
				t.Errorf("there run %v", running)
			}
			synctest.Wait()
		})
	})
}
