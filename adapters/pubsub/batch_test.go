package pubsub_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// batches is a batch handler that handles one event after another, and counts its calls.
type batches struct {
	handle pubsub.Handler
	calls  atomic.Int64
	most   atomic.Int64 // chats of one call
}

func (b *batches) handler(ctx context.Context, all []*ports.ChatBatch) {
	b.calls.Add(1)
	b.most.Store(max(b.most.Load(), int64(len(all))))
	for _, c := range all {
		for _, d := range c.Deliveries {
			if c.Err = b.handle(ctx, d); c.Err != nil {
				break
			}
			c.Done++
		}
	}
}

// paced configures a group that reads its streams every few milliseconds.
func paced(c settings, handle group.BatchHandler) settings {
	c.Batch, c.Pace = handle, 20*time.Millisecond
	return c
}

// TestBatch_TakesManyEventsOfManyChats also shows that no read waits for entries: appends wake no reader.
func TestBatch_TakesManyEventsOfManyChats(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newRig(t, server, 2)
	e := newEffects()
	b := &batches{handle: e.around(nothing)}
	r.send(20, chats(60)...)
	r.start(beginning(paced(r.config("g"), b.handler)), nothing)
	e.complete(r)
	if n := b.calls.Load(); n > 300 || b.most.Load() < 2 {
		t.Errorf("%d calls for 1,200 events, of up to %d chats", n, b.most.Load())
	}
	r.reading("g")
	for range 5 {
		r.send(3, chats(9)...)
		e.complete(r)
	}
	e.once(t)
	r.idle("g")
	if n := r.counters.Handled.Load(); n != 1200+5*27 {
		t.Errorf("%d events are counted as handled", n)
	}
	stats := r.client.Info(t.Context(), "commandstats").Val()
	if strings.Contains(stats, "cmdstat_xread:") {
		t.Error("a read waited for entries")
	}
}

// TestBatch_FinishesWhatWasHandledBeforeAFailure checks that only the event that fails becomes a dead letter.
func TestBatch_FinishesWhatWasHandledBeforeAFailure(t *testing.T) {
	t.Parallel()
	for name, poison := range map[string]delivery.Poison{"skip": delivery.Skip, "park": delivery.Park} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, redistest.Shared(t), 1)
			var starts atomic.Int64
			e := newEffects()
			b := &batches{handle: e.around(func(_ context.Context, d ports.Delivery) error {
				if d.ID.Chat == "bad" && d.ID.Seq == 3 {
					if n := starts.Add(1); n < 9 && int64(d.Attempt) != n {
						t.Errorf("attempt %d is said to be %d", n, d.Attempt)
					}
					return errors.New("poison")
				}
				return nil
			})}
			r.send(5, "bad", "good")
			config := beginning(paced(r.config("g"), b.handler))
			config.OnPoison = poison
			r.start(config, nothing)
			until(t, "the event is set aside", func() bool { return r.partition("g").Letters == 1 })
			if l := r.letters("g")[0]; l.Chat != "bad" || l.Seq != 3 || l.Attempts != 3 {
				t.Errorf("set aside is %+v", l)
			}
			want := map[delivery.Poison]string{delivery.Skip: "5", delivery.Park: "2"}[poison]
			until(t, "the rest is done", func() bool { return e.done("good") == 5 && r.checkpoint("g", "bad") == want })
		})
	}
}

// TestBatch_PanicFailsWhatIsNotDone checks that finished events stay finished.
func TestBatch_PanicFailsWhatIsNotDone(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	e := newEffects()
	var panicked atomic.Bool
	b := &batches{handle: e.around(nothing)}
	r.send(4, "c")
	r.start(beginning(paced(r.config("g"), func(ctx context.Context, all []*ports.ChatBatch) {
		if panicked.CompareAndSwap(false, true) {
			panic("oops")
		}
		b.handler(ctx, all)
	})), nothing)
	e.complete(r)
	e.once(t)
	if len(r.letters("g")) > 0 {
		t.Error("there is a dead letter")
	}
}

// TestBatch_LaterHoldsTheChat checks that Later costs no attempt, and that the next call includes events that arrived meanwhile.
func TestBatch_LaterHoldsTheChat(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	e := newEffects()
	b := &batches{handle: e.around(nothing)}
	var mu sync.Mutex
	held, together := 0, 0
	r.start(beginning(paced(r.config("g"), func(ctx context.Context, all []*ports.ChatBatch) {
		mu.Lock()
		defer mu.Unlock()
		var now []*ports.ChatBatch
		for _, c := range all {
			if c.Deliveries[0].ID.Chat == "large" && held < 4 {
				held++
				c.Later = 50 * time.Millisecond
				continue
			}
			if c.Deliveries[0].ID.Chat == "large" {
				together = max(together, len(c.Deliveries))
			}
			now = append(now, c)
		}
		b.handler(ctx, now)
	})), nothing)
	r.reading("g")
	r.send(3, "large")
	until(t, "the chat is held", func() bool { mu.Lock(); defer mu.Unlock(); return held > 0 })
	r.send(3, "large", "small")
	e.complete(r)
	e.once(t)
	if n := r.counters.Transient.Load(); held != 4 || together < 3 || n > 0 || len(r.letters("g")) > 0 {
		t.Errorf("held %d times, then %d events together, %d failures", held, together, n)
	}
	r.idle("g")
}

// TestBatch_TakeoverLosesNothing crashes and stops one owner after the other while they handle batches.
func TestBatch_TakeoverLosesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 2)
	e := newEffects()
	b := &batches{handle: e.around(lingers(time.Millisecond))}
	config := beginning(paced(r.config("g"), b.handler))
	for i := range 4 {
		owner := r.start(config, nothing)
		r.send(10, chats(30)...)
		done := func() domain.Seq { return e.done("chat-3") }
		until(t, "something is done", func() bool { return done() > domain.Seq(10*i) }) //nolint:gosec // small
		if i%2 == 0 {
			owner.crash()
		} else {
			owner.stop()
		}
	}
	r.start(config, nothing)
	e.complete(r)
}

// TestBatch_StopWaitsForTheHandler checks that the events that the handler finished are committed.
func TestBatch_StopWaitsForTheHandler(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	e := newEffects()
	begun, release := make(chan struct{}, 8), make(chan struct{})
	b := &batches{handle: e.around(func(context.Context, ports.Delivery) error {
		begun <- struct{}{}
		<-release
		return nil
	})}
	r.send(3, "c")
	i := r.start(beginning(paced(r.config("g"), b.handler)), nothing)
	receive(t, begun)
	stopped := make(chan struct{})
	go func() { defer close(stopped); i.stop() }()
	until(t, "the handler is known to run", func() bool { return len(i.router.InFlight()) == 1 })
	close(release)
	receive(t, stopped)
	if at := r.checkpoint("g", "c"); at != "3" {
		t.Errorf("the checkpoint is %q", at)
	}
}
