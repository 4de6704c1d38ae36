package pubsub_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/ports"
)

// lateCalls is a group.Handler that waits before its calls, as a process does that is suspended between the start of a handler and its call.
type lateCalls struct {
	group.Calls
	wait func()
}

func (l lateCalls) Handle(d group.Delivery) {
	go func() {
		l.wait()
		l.Calls.Handle(d)
	}()
}

// lateRouter is a log of a Watermill router that waits where the router logs a message that it has received, before it calls the handler.
type lateRouter struct {
	slog.Handler
	wait func()
}

func (lateRouter) Enabled(context.Context, slog.Level) bool { return true }

func (l lateRouter) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "Received message") {
		l.wait()
	}
	return nil
}

func (l lateRouter) WithAttrs([]slog.Attr) slog.Handler { return l }

// TestSuspension_NoHandlerAfterTheLease suspends a process between the start of a handler and its call, beyond the lease. Another process may own the
// partition by then: the handler must not be called before the lease is renewed.
func TestSuspension_NoHandlerAfterTheLease(t *testing.T) {
	ways(t, func(t *testing.T, plain bool) {
		synctest.Test(t, func(t *testing.T) {
			b := newBubble(t)
			var down atomic.Bool
			suspend := sync.OnceFunc(func() {
				down.Store(true) // nor does the process renew its lease
				time.Sleep(time.Minute)
			})
			var starts []ports.Delivery
			handlers := pubsub.NewHandlers(map[string]pubsub.Handler{pubsub.AnyType: func(_ context.Context, d ports.Delivery) error {
				if down.Load() {
					t.Error("the handler is called after the lease")
				}
				starts = append(starts, d)
				return nil
			}}, b.counters)
			config := b.config("g", group.Config{})
			config.Stores = memgroup.WithFaults(b.groups, func(memgroup.Call) memgroup.Fault { return memgroup.Fault{NotMade: down.Load()} })
			var err error
			if plain {
				err = b.router.AddCalls(pubsub.Topic, config, lateCalls{handlers.Handle, suspend})
			} else {
				b.router, err = pubsub.NewRouter(time.Minute, slog.New(lateRouter{slog.DiscardHandler, suspend}))
				b.check(err)
				err = b.router.AddGroup(pubsub.Topic, config, handlers.Consume(config.Codec))
			}
			b.check(err)
			ended := b.start()
			b.pass(time.Second)
			b.send("c", 1)
			b.pass(2 * time.Minute)
			if len(starts) != 0 || !down.Load() {
				t.Errorf("%d calls while the lease is over", len(starts))
			}
			down.Store(false)
			b.pass(time.Minute)
			if len(starts) != 1 || starts[0].Attempt != 1 {
				t.Errorf("calls %+v", starts)
			}
			b.cancel()
			b.check(<-ended)
		})
	})
}
