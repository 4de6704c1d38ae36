package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestAttemptsAreCountedOverProcessesAndRestarts guards against counts that restart, as those of a Redis consumer group do after a restart of Redis.
// Another process makes each attempt, and one ends in the middle of it.
func TestAttemptsAreCountedOverProcessesAndRestarts(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
		r := newRig(t, server, 1).plainly(plain)
		r.send(2, "c")
		config := beginning(r.config("g"))
		config.Retry = delivery.RetryPolicy{Attempts: 5, First: time.Hour, Max: time.Hour} // another process makes the next attempt
		config.Drain = 100 * time.Millisecond
		attempts := make(chan ports.Delivery, 16)
		fails := func(_ context.Context, d ports.Delivery) error {
			attempts <- d
			return errors.New("not yet")
		}
		attempt := func(n int) {
			t.Helper()
			d := receive(t, attempts)
			if d.ID.Seq != 1 || d.Attempt != n || d.Redelivered != (n > 1) {
				t.Errorf("attempt %d of %d, redelivered %v; want %d of 1", d.Attempt, d.ID.Seq, d.Redelivered, n)
			}
		}
		failed := func(n int) {
			t.Helper()
			until(t, "it is taken down", func() bool {
				return r.client.HGet(t.Context(), r.partitions[0].Base+"g:failing:g", "c").Val() == fmt.Sprint("1:", n)
			})
		}
		one := r.start(config, fails)
		attempt(1)
		failed(1)
		one.stop() // releases the partition in order

		two := r.start(config, fails)
		attempt(2)
		failed(2)
		two.crash()
		go two.stop()
		server.Kill()
		server.Restart(t)

		config.Retry.First, config.Retry.Max = 10*time.Millisecond, 10*time.Millisecond
		hangs := make(chan struct{})
		three := r.start(config, func(ctx context.Context, d ports.Delivery) error {
			attempts <- d
			if d.Attempt == 4 {
				close(hangs)
				<-ctx.Done()
			}
			return errors.New("not yet")
		})
		attempt(3)
		attempt(4)
		receive(t, hangs)
		three.crash() // in the middle of the fourth
		go three.stop()

		r.start(config, func(ctx context.Context, d ports.Delivery) error {
			if d.ID.Seq == 1 {
				return fails(ctx, d)
			}
			return nil
		})
		attempt(5)
		until(t, "it is set aside", func() bool { return r.partition("g").Letters == 1 && r.checkpoint("g", "c") == "2" })
		if letter := r.letters("g")[0]; letter.Attempts != 5 || letter.EventID != "e-c-1" || letter.Seq != 1 || letter.Chat != "c" {
			t.Errorf("dead letter %+v", letter)
		}
	})
}

// TestALastAttemptThatDidNotEndIsSetAside ends a process during the last attempt. Another process must not retry forever an event that may have
// killed the first.
func TestALastAttemptThatDidNotEndIsSetAside(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		r.send(2, "c")
		config := beginning(r.config("g"))
		config.Retry.Attempts = 2
		config.Drain = 100 * time.Millisecond
		hangs := make(chan struct{})
		first := r.start(config, func(ctx context.Context, d ports.Delivery) error {
			if d.Attempt == 2 {
				close(hangs)
				<-ctx.Done()
			}
			return errors.New("not yet")
		})
		receive(t, hangs)
		first.crash()
		go first.stop()
		seqs := make(chan domain.Seq, 8)
		r.start(config, func(_ context.Context, d ports.Delivery) error {
			seqs <- d.ID.Seq
			return nil
		})
		if seq := receive(t, seqs); seq != 2 {
			t.Errorf("%d was tried again", seq)
		}
		until(t, "it is set aside", func() bool { return r.partition("g").Letters == 1 && r.checkpoint("g", "c") == "2" })
		if letter := r.letters("g")[0]; letter.Attempts != 2 || letter.EventID != "e-c-1" {
			t.Errorf("dead letter %+v", letter)
		}
	})
}

// TestShutdownIsNoFailure guards against a dead letter for a delivery that the end of the process canceled. A handler that fails for that reason
// makes no dead letter and no attempt.
func TestShutdownIsNoFailure(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		r.send(1, "first", "second")
		config := beginning(r.config("g"))
		config.Retry.Attempts = 2
		config.Drain = 200 * time.Millisecond
		for round := range 3 {
			begun := make(chan ports.Delivery, 8)
			i := r.start(config, func(ctx context.Context, d ports.Delivery) error {
				begun <- d
				if d.ID.Chat == "second" && d.Attempt == 1 {
					return errors.New("a failure")
				}
				<-ctx.Done()
				if d.ID.Chat == "first" {
					return group.Permanent(ctx.Err())
				}
				return ctx.Err()
			})
			for range map[bool]int{true: 3, false: 2}[round == 0] {
				if d := receive(t, begun); d.ID.Chat == "first" && d.Attempt != 1 {
					t.Errorf("attempt %d", d.Attempt)
				}
			}
			i.stop()
			if l := r.partition("g"); l.Letters != 0 || l.Failing != 1 {
				t.Errorf("after the end: %+v", l)
			}
			if failing := r.client.HGetAll(t.Context(), r.partitions[0].Base+"g:failing:g").Val(); failing["second"] != "1:1" {
				t.Errorf("failing are %v", failing)
			}
		}
	})
}

// TestRefusedMessagesComeBackSlower guards against the stock subscriber's resending in a hot loop.
func TestRefusedMessagesComeBackSlower(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		config := beginning(r.config("g"))
		config.Retry = delivery.RetryPolicy{Attempts: 6, First: 40 * time.Millisecond, Max: 160 * time.Millisecond}
		var mu sync.Mutex
		starts := make(map[domain.ChatID][]time.Time)
		r.start(config, func(_ context.Context, d ports.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			starts[d.ID.Chat] = append(starts[d.ID.Chat], time.Now())
			return errors.New("no")
		})
		all := chats(20)
		r.send(1, all...)
		until(t, "all are set aside", func() bool { return r.partition("g").Letters == len(all) })
		mu.Lock()
		defer mu.Unlock()
		var firsts []time.Duration
		for chat, at := range starts {
			if len(at) != 6 {
				t.Errorf("%s was tried %d times", chat, len(at))
			}
			for i, least := range []time.Duration{20, 40, 80, 80, 80} { // half of the pause, which doubles
				if pause := at[i+1].Sub(at[i]); pause < least*time.Millisecond {
					t.Errorf("%s: attempt %d comes after %v", chat, i+2, pause)
				}
			}
			firsts = append(firsts, at[1].Sub(at[0]))
		}
		if least, most := slices.Min(firsts), slices.Max(firsts); most-least < 10*time.Millisecond {
			t.Errorf("what failed together comes again together: after %v to %v", least, most)
		}
	})
}

// TestDeadLetterAndCheckpointAreOneStep reads Redis while events become dead letters: it never has one without the other.
func TestDeadLetterAndCheckpointAreOneStep(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		config := beginning(r.config("g"))
		r.start(config, func(_ context.Context, d ports.Delivery) error {
			if d.ID.Seq%2 == 0 {
				return group.Permanent(errors.New("even"))
			}
			return nil
		})
		const n = 400
		var sent atomic.Bool
		go func() {
			for range n / 10 {
				r.send(10, "c")
			}
			sent.Store(true)
		}()
		base := r.partitions[0].Base + "g:"
		until(t, "all is done", func() bool {
			var checkpoint *goredis.StringCmd
			var letters *goredis.IntCmd
			if _, err := r.client.TxPipelined(t.Context(), func(p goredis.Pipeliner) error {
				checkpoint, letters = p.HGet(t.Context(), base+"chats:g", "c"), p.XLen(t.Context(), base+"dead:g")
				return nil
			}); err != nil && !errors.Is(err, goredis.Nil) {
				t.Fatal(err)
			}
			seq, _ := checkpoint.Int64() // there is none at first
			if letters.Val() != seq/2 {
				t.Fatalf("at checkpoint %d there are %d dead letters", seq, letters.Val())
			}
			return sent.Load() && seq == n
		})
	})
}

// TestEventsWithoutAHandlerAreFinished guards against endless redelivery of types without a handler.
func TestEventsWithoutAHandlerAreFinished(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		c := newCarrier(t).plainly(plain)
		for i := range 3 {
			c.send(domain.MessageID(fmt.Sprint("m", i)))
		}
		c.run("g", c.handlers(map[string]pubsub.Handler{"message:edit": nothing}))
		until(t, "they are counted", func() bool { return c.counters.Ignored.Load() == 3 })
		until(t, "they are finished", func() bool {
			return c.client.HGet(t.Context(), c.partitions[0].Base+"g:chats:g", "c").Val() == "3"
		})
		if n := len(c.letters("g")); n != 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}

// TestScriptsMayBeForgotten flushes the scripts while they are used.
func TestScriptsMayBeForgotten(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Start(t), 2)
	e := newEffects()
	r.start(beginning(r.config("g")), e.around(nothing))
	for range 50 {
		r.send(3, chats(10)...)
		if err := r.client.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	e.complete(r)
	e.once(t)
}

// TestAnEntryThatCannotBeReadStallsNothing adds unreadable entries among a chat's events, for a group that parks chats. Only the chat of an entry
// that belongs to a chat waits.
func TestAnEntryThatCannotBeReadStallsNothing(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		e := newEffects()
		config := beginning(r.config("g"))
		config.OnPoison = delivery.Park
		r.start(config, e.around(nothing))
		r.send(1, "c", "d")
		e.complete(r)
		for _, values := range [][]any{{"foo", "bar"}, {wireformat.FieldUUID, "x"}, {wireformat.FieldUUID, "x", wireformat.FieldMetadata, "\xc1", wireformat.FieldPayload, "{}"}} {
			if err := r.client.XAdd(t.Context(), &goredis.XAddArgs{Stream: r.topic(), Values: values}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		r.send(1, "c", "d")
		e.complete(r)
		until(t, "they are set aside", func() bool { l := r.partition("g"); return l.Letters == 3 && l.Parked == 0 && l.Lag == 0 })
	})
}
