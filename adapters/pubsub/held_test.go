package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
)

// TestOneChatHoldsUpNoOther has a chat with a slow handler, one that waits for its next attempt and a parked one, each followed by more than a window
// of entries. Other chats continue. The three resume in order when nothing blocks them any more.
func TestOneChatHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		for _, held := range []string{"long", "failing", "parked"} {
			t.Run(held, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, redistest.Shared(t), 1).plainly(plain)
				e := newEffects()
				var free atomic.Bool
				release := make(chan struct{})
				config := beginning(r.config("g"))
				config.OnPoison = delivery.Park
				config.Retry = delivery.RetryPolicy{Attempts: 1 << 20, First: 200 * time.Millisecond, Max: 400 * time.Millisecond}
				r.start(config, e.around(func(_ context.Context, d ports.Delivery) error {
					if d.ID.Chat != "held" || free.Load() {
						return nil
					}
					switch held {
					case "long":
						<-release
						return nil
					case "failing":
						return errors.New("not yet")
					}
					return group.Permanent(errors.New("no"))
				}))
				r.reading("g")
				r.send(3, "held")
				for range 10 { // more than a window behind few entries
					r.send(100, "other", "third", "fourth")
				}
				for _, chat := range []domain.ChatID{"other", "third", "fourth"} {
					until(t, string(chat)+" goes on", func() bool { return e.done(chat) == r.sent[chat] })
				}
				for range 25 { // and several behind many
					r.send(100, "held", "other", "third", "fourth")
				}
				for _, chat := range []domain.ChatID{"other", "third", "fourth"} {
					until(t, string(chat)+" goes on", func() bool { return e.done(chat) == r.sent[chat] })
				}
				if e.done("held") != 0 {
					t.Fatal("what is held is done")
				}
				state := r.partition("g")
				if held == "parked" && state.Parked != 1 || held != "parked" && state.Behind != 1 {
					t.Errorf("the partition is %+v", state)
				}
				free.Store(true)
				close(release)
				if held == "parked" {
					letters := r.letters("g")
					if len(letters) != 1 || letters[0].Seq != 1 {
						t.Fatalf("dead letters %+v", letters)
					}
					if err := r.groups().Retry(t.Context(), "g", letters[0].ID); err != nil {
						t.Fatal(err)
					}
				}
				e.complete(r)
				e.once(t)
				until(t, "nothing is left behind", func() bool { l := r.partition("g"); return l.Behind+l.Parked+l.Failing+l.Letters == 0 && l.Lag == 0 })
			})
		}
	})
}

// TestAHotChatStarvesNoOther has one chat with many events queued before the single event of each other chat, and fewer handlers than chats.
func TestAHotChatStarvesNoOther(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		e := newEffects()
		r.send(600, "hot")
		others := chats(50)
		r.send(1, others...)
		config := beginning(r.config("g"))
		config.Concurrency = 2
		r.start(config, e.around(lingers(2*time.Millisecond)))
		for _, chat := range others {
			until(t, string(chat)+" has its turn", func() bool { return e.done(chat) == 1 })
		}
		if done := e.done("hot"); done > 300 {
			t.Errorf("%d events of the hot chat came before", done)
		}
		e.complete(r)
		e.once(t)
	})
}

// TestEntriesOfOtherPrograms checks that these entries are delivered in the order of their stream, one after another, beside those of chats. After a
// crash of a member, delivery resumes with the first unfinished one. A member that loses its lease because the machine is busy may start entries again
// that it has not committed.
func TestEntriesOfOtherPrograms(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		publisher, err := newPublisher(r.client)
		if err != nil {
			t.Fatal(err)
		}
		const n = 300
		for i := range n {
			msg := message.NewMessage(fmt.Sprint(i), []byte(`{"messageId":"m","chatId":"c","senderId":"ben","content":"x"}`))
			msg.Metadata.Set("type", "message:new")
			if err := publisher.Publish(r.topic(), msg); err != nil {
				t.Fatal(err)
			}
			if i%3 == 0 {
				r.send(1, "c")
			}
		}
		theirs := make(chan string, 10*n)
		var crash atomic.Bool
		var running sync.Map // the number of handlers by epoch
		e := newEffects()
		handle := func(ctx context.Context, d ports.Delivery) error {
			if d.ID.Seq > 0 {
				return e.around(nothing)(ctx, d)
			}
			count, _ := running.LoadOrStore(d.Epoch, new(atomic.Int64))
			beside := count.(*atomic.Int64) //nolint:forcetypeassert // the only type there
			if beside.Add(1) > 1 {
				t.Errorf("%s comes beside another", d.ID.Event)
			}
			defer beside.Add(-1)
			if d.ID.Event == "100" && !crash.Swap(true) {
				<-ctx.Done()
				return ctx.Err()
			}
			theirs <- string(d.ID.Event)
			return nil
		}
		config := beginning(r.config("g"))
		config.Drain = 100 * time.Millisecond
		first := r.start(config, handle)
		until(t, "it hangs", crash.Load)
		until(t, "what it did is taken down", func() bool { return r.partition("g").Lag <= n-100+n/3 })
		first.crash()
		go first.stop()
		r.start(config, handle)
		e.complete(r)
		for next := 0; next < n; {
			switch got, err := strconv.Atoi(receive(t, theirs)); {
			case err != nil || got > next:
				t.Fatalf("%d comes at %d, error %v", got, next, err)
			case got == next:
				next++
			}
		}
	})
}

// TestOtherProgramsEntriesSideBySide runs a subscriber that allows this: a slow or failing entry delays no other.
func TestOtherProgramsEntriesSideBySide(t *testing.T) {
	t.Parallel()
	client := connect(t, redistest.Shared(t).Addr())
	publisher, err := newPublisher(client)
	if err != nil {
		t.Fatal(err)
	}
	stores := streams(t, client)
	subscriber, err := pubsub.NewSubscriber(pubsub.SubscriberConfig{Stream: stores.Stream, Config: group.Config{
		Group: "g", Order: delivery.Unordered, Concurrency: 8, Lease: quick,
		Retry: delivery.RetryPolicy{Attempts: 3, First: 50 * time.Millisecond}, Logger: slog.New(slog.DiscardHandler),
	}})
	if err != nil {
		t.Fatal(err)
	}
	stream := "side-by-side-" + uuid.NewString()
	messages, err := subscriber.Subscribe(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	const n = 100
	for i := range n {
		if err := publisher.Publish(stream, message.NewMessage(fmt.Sprint(i), nil)); err != nil {
			t.Fatal(err)
		}
	}
	long, attempts, done := (*message.Message)(nil), 0, 0
	for done < n-2 || attempts < 3 {
		msg := receive(t, messages)
		switch msg.UUID {
		case "3":
			long = msg
		case "5":
			if attempts++; pubsub.Attempt(msg) != attempts {
				t.Errorf("attempt %d follows %d", pubsub.Attempt(msg), attempts-1)
			}
			msg.Nack()
		default:
			done++
			msg.Ack()
		}
	}
	state := func() groups.PartitionState {
		list, err := stores.Stream(stream).List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return list[0].Partitions[0]
	}
	until(t, "one is set aside, and the position is before the one that takes long", func() bool { s := state(); return s.Letters == 1 && s.Lag == n-3 })
	long.Ack()
	until(t, "the position is the end", func() bool { return state().Lag == 0 })
	if err := subscriber.Close(); err != nil {
		t.Error(err)
	}
}
