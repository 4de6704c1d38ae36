package pubsub_test

import (
	"context"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/wireformat"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// done is a group.Handler that finishes deliveries and does nothing else.
type done chan group.Delivery

func (h done) Handle(d group.Delivery) { h <- d }

func (done) Reclaim() []group.Delivery { return nil }

// TestDelivery_Allocations bounds the allocations of a delivery: the read of its entry, its way to the handler, and its share of a commit. It is not
// parallel, because other tests allocate too.
func TestDelivery_Allocations(t *testing.T) {
	r := newRig(t, redistest.Shared(t), 1)
	const n = 20_000
	type test struct {
		most    float64
		decodes bool // the handler gets the decoded event
		add     func(router *pubsub.Router, c settings, count func()) error
	}
	tests := map[string]test{
		"watermill": {15, false, func(router *pubsub.Router, c settings, count func()) error {
			return router.AddGroup(pubsub.Topic, c.SubscriberConfig, func(*message.Message) error { count(); return nil })
		}},
		"without decoding": {8, false, func(router *pubsub.Router, c settings, count func()) error {
			h := make(done, 64)
			t.Cleanup(func() { close(h) })
			go func() {
				for d := range h {
					count()
					d.Done(nil)
				}
			}()
			return router.AddCalls(pubsub.Topic, c.SubscriberConfig, h)
		}},
		"plain": {8, true, func(router *pubsub.Router, c settings, count func()) error {
			return router.AddCalls(pubsub.Topic, c.SubscriberConfig, group.Calls(func(context.Context, ports.Delivery) error { count(); return nil }))
		}},
		"batch": {8, true, func(router *pubsub.Router, c settings, count func()) error {
			c.Batch = func(_ context.Context, batches []*ports.ChatBatch) {
				for _, b := range batches {
					for range b.Deliveries {
						count()
					}
					b.Done = len(b.Deliveries)
				}
			}
			return router.AddCalls(pubsub.Topic, c.SubscriberConfig, nil)
		}},
	}
	for name := range tests {
		r.start(r.config(name), nothing).stop() // the group begins here, so that its events come from the stream
	}
	r.send(n/200, chats(200)...)
	entries, err := r.client.XRangeN(t.Context(), r.topic(), "-", "+", 1).Result()
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := entries[0].Values[wireformat.FieldPayload].(string)
	codec := wireformat.New()
	decoding := testing.AllocsPerRun(100, func() {
		if _, err := codec.Decode([]byte(payload)); err != nil {
			t.Fatal(err)
		}
	})
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.decodes {
				test.most += decoding
			}
			router, err := pubsub.NewRouter(patience, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			var handled atomic.Int64
			all := make(chan struct{})
			err = test.add(router, r.open(r.config(name)), func() {
				if handled.Add(1) == n {
					close(all)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			go func() { ended <- router.Run(ctx) }()
			receive(t, all)
			runtime.ReadMemStats(&after)
			cancel()
			if err := receive(t, ended); err != nil {
				t.Error(err)
			}
			each := float64(after.Mallocs-before.Mallocs) / n
			if each > test.most {
				t.Errorf("%.1f allocations, at most %.0f are allowed", each, test.most)
			} else {
				t.Logf("%.1f allocations, %.0f of them of the codec", each, map[bool]float64{true: decoding}[test.decodes])
			}
		})
	}
}
