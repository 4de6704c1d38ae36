package pubsub_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/group"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// TestFilter_KeepsOrder filters by chat and type. A filtered event stays behind an unfinished earlier one, wanted ones behind both, and it is no attempt.
func TestFilter_KeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		var mu sync.Mutex
		var seqs []domain.Seq
		failing := true
		calls := group.Calls(func(_ context.Context, d ports.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			if failing && d.ID.Seq == 1 {
				return group.NotNow(time.Second, nil)
			}
			seqs = append(seqs, d.ID.Seq)
			return nil
		})
		wants := groups.Filter{Chats: []domain.ChatID{"c", "x"}, Types: []string{"message:new"}}.Wants()
		b.check(b.router.Add(pubsub.Group{Topic: pubsub.Topic, Config: b.config("g", group.Config{CountHandled: true}), Calls: calls, Wants: wants}))
		ended := b.start()
		b.send("c", 3)
		b.send("other", 5)
		b.pass(10 * time.Second)
		if len(seqs) > 0 || b.counters.Ignored.Load() != 5 {
			t.Errorf("behind a postponed event came %v, %d ignored", seqs, b.counters.Ignored.Load())
		}
		if n := b.counters.Blocked(groups.BlockedPostponed); n != 1 {
			t.Errorf("%d chats are blocked by a postponed event", n)
		}
		mu.Lock()
		failing = false
		mu.Unlock()
		b.pass(time.Minute)
		if !slices.Equal(seqs, []domain.Seq{1, 2, 3}) || b.counters.Handled.Load() != 3 || b.counters.Blocked(groups.BlockedPostponed) != 0 {
			t.Errorf("handled %v, counted %d", seqs, b.counters.Handled.Load())
		}
		b.cancel()
		b.check(<-ended)
	})
}

// TestFilter_Panic makes a dead letter of an event for which the filter panics. Its retry reaches the handler.
func TestFilter_Panic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		handled := make(chan domain.Seq, 8)
		b.check(b.router.Add(pubsub.Group{
			Topic: pubsub.Topic, Config: b.config("g", group.Config{}), Wants: func(domain.ChatID, string) bool { panic("no filter") },
			Calls: group.Calls(func(_ context.Context, d ports.Delivery) error { handled <- d.ID.Seq; return nil }),
		}))
		ended := b.start()
		b.send("c", 1)
		b.pass(time.Minute)
		if state := b.state(); state.Letters != 1 || len(handled) != 0 {
			t.Errorf("%d dead letters, %d handled", state.Letters, len(handled))
		}
		for letter, err := range b.groups.DeadLettersAfter(t.Context(), "g", "") {
			b.check(err)
			b.check(b.groups.Retry(t.Context(), "g", letter.ID))
		}
		b.pass(time.Minute)
		if len(handled) != 1 || b.state().Letters != 0 {
			t.Errorf("after the retry: %d handled, %d dead letters", len(handled), b.state().Letters)
		}
		b.cancel()
		b.check(<-ended)
	})
}

// TestAttachment_Concurrency changes the concurrency of an attachment to 0 and back. With 0 it starts nothing, and keeps its partitions.
func TestAttachment_Concurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		ended := b.start()
		handled := make(chan domain.ChatID, 100)
		g := pubsub.Group{Topic: pubsub.Topic, Config: b.config("g", group.Config{}), Calls: group.Calls(func(_ context.Context, d ports.Delivery) error {
			handled <- d.ID.Chat
			return nil
		})}
		a, err := b.router.Attach(t.Context(), g)
		if err != nil {
			t.Fatal(err)
		}
		b.pass(time.Second)
		if _, err := b.router.Attach(t.Context(), g); !errors.Is(err, pubsub.ErrDuplicateGroup) {
			t.Errorf("attached twice: %v", err)
		}
		a.SetConcurrency(0)
		b.send("c", 10)
		b.send("d", 10)
		b.pass(time.Hour)
		if len(handled) != 0 || len(b.router.Owned("g")) == 0 || b.counters.Blocked(groups.BlockedSlow) != 0 {
			t.Errorf("with concurrency 0: %d handled, owned %v", len(handled), b.router.Owned("g"))
		}
		a.SetConcurrency(2)
		b.pass(time.Minute)
		if len(handled) != 20 {
			t.Errorf("then: %d handled", len(handled))
		}
		if running := a.Detach(t.Context()); len(running) > 0 {
			t.Errorf("running are %v", running)
		}
		if len(b.router.Owned("g")) != 0 || len(b.router.Groups()) != 0 {
			t.Errorf("detached, it owns %v", b.router.Owned("g"))
		}
		b.cancel()
		b.check(<-ended)
		if _, err := b.router.Attach(t.Context(), g); !errors.Is(err, group.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}
