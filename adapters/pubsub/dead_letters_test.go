package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
)

// refuses returns a handler that fails for good at one seq of a chat, until succeed is set.
func refuses(chat domain.ChatID, seq domain.Seq, succeed *atomic.Bool) pubsub.Handler {
	return func(_ context.Context, d ports.Delivery) error {
		if d.ID.Chat == chat && d.ID.Seq == seq && !succeed.Load() {
			return group.Permanent(errors.New("refused"))
		}
		return nil
	}
}

// TestAParkedChatWaitsForADecision covers all ways to decide: while its owner runs, while no member runs, and after another member has acquired the
// partition. The chat then continues in order, with the event itself or with the next one.
func TestAParkedChatWaitsForADecision(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		for _, decision := range []string{"retry", "drop"} {
			for _, when := range []string{"by another process", "while nobody runs", "after a takeover"} {
				t.Run(decision+" "+when, func(t *testing.T) {
					t.Parallel()
					r := newRig(t, redistest.Shared(t), 1).plainly(plain)
					e := newEffects()
					var succeed atomic.Bool
					config := beginning(r.config("g"))
					config.OnPoison = delivery.Park
					handle := e.around(refuses("c", 3, &succeed))
					first := r.start(config, handle)
					r.send(5, "c", "d")
					until(t, "it is parked", func() bool { return r.partition("g").Parked == 1 })
					r.send(5, "c", "d")
					until(t, "the other chat goes on", func() bool { return e.done("d") == 10 })
					until(t, "the position is the end", func() bool { return r.partition("g").Lag == 0 })
					letters := r.letters("g")
					if len(letters) != 1 || !letters[0].Parked || letters[0].Chat != "c" || letters[0].Seq != 3 || letters[0].Attempts != 1 || letters[0].Reason != "refused" {
						t.Fatalf("dead letters %+v", letters)
					}
					if done := e.done("c"); done != 2 {
						t.Fatalf("%d events of the parked chat are done", done)
					}

					if when != "by another process" {
						first.stop()
					}
					if when == "after a takeover" {
						r.start(config, handle)
						until(t, "another has the partition", func() bool { return r.partition("g").Owner != "" })
					}
					succeed.Store(true)
					decide := r.groups().Retry
					if decision == "drop" {
						decide = r.groups().Drop
						e.skip("c", 3)
					}
					if err := decide(t.Context(), "g", letters[0].ID); err != nil {
						t.Fatal(err)
					}
					if when == "while nobody runs" {
						kept := 1 // until a handler succeeds
						if decision == "drop" {
							kept = 0
						}
						if l := r.partition("g"); l.Parked != 0 || l.Behind != 1 || l.Letters != kept {
							t.Errorf("decided, the partition is %+v", l)
						}
						r.start(config, handle)
					}
					r.send(5, "c", "d")
					e.complete(r)
					until(t, "nothing is left", func() bool { l := r.partition("g"); return l.Parked+l.Behind+l.Letters+l.Failing == 0 && l.Lag == 0 })
					if err := decide(t.Context(), "g", letters[0].ID); !errors.Is(err, groups.ErrDeadLetterNotFound) {
						t.Errorf("decided again: %v", err)
					}
					e.once(t)
				})
			}
		}
	})
}

// TestARetryThatFailsParksAgain repeats that several times, and checks the number of all attempts each time.
func TestARetryThatFailsParksAgain(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		e := newEffects()
		var succeed atomic.Bool
		var starts atomic.Int64
		config := beginning(r.config("g"))
		config.OnPoison = delivery.Park
		r.start(config, e.around(func(_ context.Context, d ports.Delivery) error {
			if d.ID.Seq != 2 || succeed.Load() {
				return nil
			}
			starts.Add(1)
			return errors.New("no answer")
		}))
		r.send(6, "c")
		var first groups.DeadLetter
		for round := range int64(3) {
			until(t, "it is parked", func() bool { return r.partition("g").Parked == 1 })
			letters := r.letters("g")
			if len(letters) != 1 || letters[0].Attempts != int(3*(round+1)) || starts.Load() != 3*(round+1) {
				t.Fatalf("round %d: %d starts, dead letters %+v", round, starts.Load(), letters)
			}
			if round == 0 {
				first = letters[0]
			}
			if l := letters[0]; l.ID != first.ID || !l.At.Equal(first.At) || !l.Parked || l.Again || l.FailedAt.IsZero() != (round == 0) {
				t.Errorf("round %d: dead letter %+v, at first %+v", round, l, first)
			}
			succeed.Store(round == 2)
			if err := r.groups().Retry(t.Context(), "g", letters[0].ID); err != nil {
				t.Fatal(err)
			}
		}
		e.complete(r)
		e.once(t)
	})
}

// TestManyChatsAreParkedAndRetried retries in any order while events are appended.
func TestManyChatsAreParkedAndRetried(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 4).plainly(plain)
		e := newEffects()
		var succeed atomic.Bool
		config := beginning(r.config("g"))
		config.OnPoison = delivery.Park
		handle := e.around(func(_ context.Context, d ports.Delivery) error {
			if d.ID.Seq == 5 && !succeed.Load() {
				return group.Permanent(errors.New("five"))
			}
			return nil
		})
		one := r.start(config, handle)
		r.start(config, handle)
		all := chats(40)
		r.send(20, all...)
		until(t, "all are parked", func() bool { return len(r.letters("g")) == len(all) })
		succeed.Store(true)
		for i, letter := range r.letters("g") {
			if i == len(all)/2 {
				go one.stop()
			}
			if err := r.groups().Retry(t.Context(), "g", letter.ID); err != nil {
				t.Fatal(err)
			}
			r.send(1, all[i])
		}
		e.complete(r)
		e.once(t)
	})
}

// TestALetterOfAChatThatWentOn checks that such a letter is redelivered before the chat's records that no handler has started. It remains a dead
// letter while handlers fail, in several processes, and is removed once one succeeds.
func TestALetterOfAChatThatWentOn(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		var succeed atomic.Bool
		seqs := make(chan domain.Seq, 64)
		handle := func(_ context.Context, d ports.Delivery) error {
			seqs <- d.ID.Seq
			if d.ID.Seq == 2 && !succeed.Load() {
				return errors.New("not yet")
			}
			return nil
		}
		expect := func(want ...domain.Seq) {
			t.Helper()
			for _, seq := range want {
				if got := receive(t, seqs); got != seq {
					t.Fatalf("%d comes, want %d", got, seq)
				}
			}
		}
		config := beginning(r.config("g"))
		first := r.start(config, handle)
		r.send(4, "c")
		expect(1, 2, 2, 2, 3, 4)
		until(t, "it is a dead letter", func() bool { return r.partition("g").Letters == 1 })
		before := r.letters("g")[0]
		if before.Parked || before.Again || before.Attempts != 3 || before.Metadata["type"] != "message:new" {
			t.Errorf("dead letter %+v", before)
		}
		if err := r.groups().Retry(t.Context(), "g", before.ID); err != nil {
			t.Fatal(err)
		}
		expect(2, 2, 2)
		until(t, "it is one again", func() bool {
			l := r.letters("g")
			return len(l) == 1 && l[0].ID == before.ID && l[0].At.Equal(before.At) && !l[0].Again && l[0].Attempts == 6 && !l[0].FailedAt.IsZero()
		})
		first.stop()
		letter := r.letters("g")[0]
		if err := r.groups().Retry(t.Context(), "g", letter.ID); err != nil {
			t.Fatal(err)
		}
		if got := r.letters("g"); len(got) != 1 || !got[0].Again {
			t.Errorf("dead letters while nobody runs: %+v", got)
		}
		succeed.Store(true)
		r.start(config, handle)
		expect(2)
		until(t, "it is gone", func() bool { return r.partition("g").Letters == 0 })
		r.send(1, "c")
		expect(5)
		if seq := r.checkpoint("g", "c"); seq == "2" {
			t.Error("the checkpoint went back")
		}
		if n := r.client.HLen(t.Context(), r.partitions[0].Base+"g:again:g").Val(); n != 0 {
			t.Errorf("%d letters are to be given again", n)
		}
	})
}

// TestLettersAreGivenAgainOnce decides about other letters while some are redelivered.
func TestLettersAreGivenAgainOnce(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		var succeed atomic.Bool
		var again atomic.Int64
		const n = 200
		linger := lingers(4 * time.Millisecond)
		r.start(beginning(r.config("g")), func(ctx context.Context, d ports.Delivery) error {
			if !succeed.Load() {
				return group.Permanent(errors.New("no"))
			}
			again.Add(1)
			return linger(ctx, d)
		})
		r.send(1, chats(n)...)
		until(t, "all are dead letters", func() bool { return r.partition("g").Letters == n })
		succeed.Store(true)
		for _, letter := range r.letters("g") {
			if err := r.groups().Retry(t.Context(), "g", letter.ID); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Millisecond)
		}
		until(t, "they are gone", func() bool { return r.partition("g").Letters == 0 })
		if got := again.Load(); got != n {
			t.Errorf("%d letters were given again %d times", n, got)
		}
	})
}

// TestLettersOfOtherPrograms checks that they are redelivered and dropped like those of chats, although they have no chat to park.
func TestLettersOfOtherPrograms(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		publisher, err := newPublisher(r.client)
		if err != nil {
			t.Fatal(err)
		}
		var succeed atomic.Bool
		handled := make(chan domain.EventID, 16)
		config := beginning(r.config("g"))
		config.OnPoison = delivery.Park
		r.start(config, func(_ context.Context, d ports.Delivery) error {
			if !succeed.Load() {
				return group.Permanent(errors.New("no"))
			}
			handled <- d.ID.Event
			return nil
		})
		for i := range 2 {
			msg := message.NewMessage(fmt.Sprint("theirs-", i), []byte(`{"messageId":"m","chatId":"c","senderId":"ben","content":"x"}`))
			msg.Metadata.Set("type", "message:new")
			if err := publisher.Publish(r.topic(), msg); err != nil {
				t.Fatal(err)
			}
		}
		until(t, "both are dead letters", func() bool { return r.partition("g").Letters == 2 })
		letters := r.letters("g")
		if letters[0].EventID != "theirs-0" || letters[0].Parked || letters[0].Seq != 0 {
			t.Errorf("dead letter %+v", letters[0])
		}
		succeed.Store(true)
		if err := errors.Join(r.groups().Retry(t.Context(), "g", letters[0].ID), r.groups().Drop(t.Context(), "g", letters[1].ID)); err != nil {
			t.Fatal(err)
		}
		if id := receive(t, handled); id != "theirs-0" {
			t.Errorf("%s is given again", id)
		}
		until(t, "both are gone", func() bool { return r.partition("g").Letters == 0 })
	})
}
