package pubsub_test

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestDeadLetterBound_HoldsWhatWouldBeOneMore guards against dead letters without end, and against the loss of a delivery for which there is no room.
func TestDeadLetterBound_HoldsWhatWouldBeOneMore(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		const bound, bad = 5, 12
		for name, poison := range map[string]delivery.Poison{"skip": delivery.Skip, "park": delivery.Park} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, redistest.Shared(t), 1).plainly(plain)
				e := newEffects()
				var mended atomic.Bool
				config := beginning(r.config("g"))
				config.OnPoison, config.DeadLetterBound = poison, bound
				handle := func(ctx context.Context, d ports.Delivery) error {
					if d.ID.Chat[0] == 'b' && !mended.Load() {
						return group.Permanent(errRefused)
					}
					return e.around(nothing)(ctx, d)
				}
				first := r.start(config, handle)
				var refused []domain.ChatID
				for i := range bad {
					refused = append(refused, domain.ChatID(fmt.Sprint("bad-", i)))
				}
				r.send(1, refused...)
				r.send(3, chats(10)...)
				until(t, "the rest is held", func() bool { return r.counters.Held.Load() >= bad-bound && r.partition("g").LettersFull })
				for _, chat := range chats(10) {
					until(t, "other chats go on", func() bool { return e.done(chat) == 3 })
				}
				first.stop()
				r.start(config, handle) // which finds the held delivery where the first member left it
				held := r.counters.Held.Load()
				until(t, "they are held again", func() bool { return r.counters.Held.Load() >= held+bad-bound })
				letters := r.letters("g")
				if len(letters) != bound {
					t.Fatalf("there are %d dead letters, want %d", len(letters), bound)
				}
				if err := r.groups().Drop(t.Context(), "g", letters[0].ID); err != nil {
					t.Fatal(err)
				}
				until(t, "another one takes the room", func() bool {
					now := r.letters("g")
					return len(now) == bound && now[0].ID != letters[0].ID
				})
				e.skip(letters[0].Chat, 1)
				mended.Store(true)
				until(t, "what was held is handled", func() bool { return r.partition("g").Failing == 0 })
				for _, d := range r.letters("g") {
					if err := r.groups().Retry(t.Context(), "g", d.ID); err != nil {
						t.Fatal(err)
					}
				}
				e.complete(r)
				until(t, "there are no dead letters", func() bool { l := r.partition("g"); return l.Letters == 0 && !l.LettersFull })
			})
		}
	})
}

// TestStreamBound_WithoutAGroup guards against a stream that grows as long as no group runs that trims it. A group that returns loses nothing.
func TestStreamBound_WithoutAGroup(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	log, err := eventlog.Open(t.Context(), r.client, wireformat.New(), eventlog.Config{Keys: r.keys, StreamBound: 300})
	if err != nil {
		t.Fatal(err)
	}
	r.log = log
	e := newEffects()
	i := r.start(beginning(r.config("g")), e.around(nothing))
	r.send(1, chats(20)...)
	e.complete(r)
	r.idle("g")
	i.stop()
	r.send(100, chats(20)...)
	if n := r.length(); n > 500 { // trimming removes whole nodes of a hundred
		t.Errorf("the stream has %d entries", n)
	}
	r.start(r.config("g"), e.around(nothing))
	e.complete(r)
	r.idle("g")
}

// TestAcquire_ReadsLargeHashesInPages checks an acquire with more chats left to the log, failing chats and retried dead letters than one reply holds.
func TestAcquire_ReadsLargeHashesInPages(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	const n = 3000
	r.start(beginning(r.config("g")), nothing).stop()
	left, failing := make([]any, 0, 2*n), make([]any, 0, 2*n)
	all := chats(n)
	for i, chat := range all {
		as := "behind"
		if i%3 == 0 {
			as = "parked"
		}
		left = append(left, string(chat), as)
		failing = append(failing, string(chat), "1:"+strconv.Itoa(2))
	}
	base := r.partitions[0].Base
	if err := r.client.HSet(t.Context(), base+"g:left:g", left...).Err(); err != nil {
		t.Fatal(err)
	}
	if err := r.client.HSet(t.Context(), base+"g:failing:g", failing...).Err(); err != nil {
		t.Fatal(err)
	}
	r.send(2, all...)
	var parked, first atomic.Int64
	e := newEffects()
	r.start(r.config("g"), func(ctx context.Context, d ports.Delivery) error {
		var i int
		if _, err := fmt.Sscanf(string(d.ID.Chat), "chat-%d", &i); err != nil || i%3 == 0 {
			parked.Add(1)
			return nil
		}
		if d.ID.Seq == 1 && d.Attempt != 3 {
			first.Add(1)
		}
		return e.around(nothing)(ctx, d)
	})
	for i, chat := range all {
		if i%3 == 0 {
			e.skip(chat, 2)
		}
	}
	e.complete(r)
	if parked.Load() > 0 || first.Load() > 0 {
		t.Errorf("%d events of parked chats were delivered, %d with another attempt than the third", parked.Load(), first.Load())
	}
	until(t, "those that are parked stay", func() bool { l := r.partition("g"); return l.Parked == n/3 && l.Behind == 0 && l.Lag == 0 })
}
