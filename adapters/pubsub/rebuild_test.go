package pubsub_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestFromTheBeginningWhileEventsGoOn meets the live stream without a gap and without a double: from the whole stream, from what a trim has left
// of it, and from the log alone.
func TestFromTheBeginningWhileEventsGoOn(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]int64{"whole": 1 << 20, "trimmed": 500, "empty": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, redistest.Shared(t), 2)
			e := newEffects()
			all := chats(300)
			r.send(8, all...)
			for _, l := range r.lanes {
				if err := r.client.XTrimMaxLen(t.Context(), l.Stream, keep).Err(); err != nil {
					t.Fatal(err)
				}
			}
			var sending sync.WaitGroup
			sending.Go(func() {
				for i := range 20 {
					r.send(1, all[i*15:]...)
				}
			})
			r.start(beginning(r.config("g")), e.around(nothing))
			sending.Wait()
			e.complete(r)
			e.once(t)
			r.idle("g")
		})
	}
}

// TestTheStreamIsCutAgainAndAgain by another program that keeps it at a length, below what slow handlers have read and what they have not. Some
// may come twice: whether Redis has lost what was read cannot be told from that.
func TestTheStreamIsCutAgainAndAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	e := newEffects()
	r.start(beginning(r.config("g")), e.around(lingers(4*time.Millisecond)))
	all := chats(40)
	for i := range 40 {
		r.send(5, all[i:]...)
		if err := r.client.XTrimMaxLen(t.Context(), r.topic(), 20).Err(); err != nil {
			t.Fatal(err)
		}
	}
	e.complete(r)
	r.idle("g")
}

// TestRebuildBeginsAgain with the first event of every chat, under a running owner and without one.
func TestRebuildBeginsAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 2)
	var mu sync.Mutex
	seqs := make(map[domain.ChatID][]domain.Seq)
	handle := func(_ context.Context, d ports.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		seqs[d.ID.Chat] = append(seqs[d.ID.Chat], d.ID.Seq)
		return nil
	}
	all := chats(20)
	delivered := func(what string, want ...domain.Seq) {
		t.Helper()
		until(t, what, func() bool {
			mu.Lock()
			defer mu.Unlock()
			for _, chat := range all {
				got := seqs[chat]
				for i, seq := range got {
					if i >= len(want) || seq != want[i] {
						t.Fatalf("%s: %s got %v, want %v", what, chat, got, want)
					}
				}
				if len(got) < len(want) {
					return false
				}
			}
			return true
		})
		mu.Lock()
		defer mu.Unlock()
		clear(seqs)
	}
	idle := func() {
		t.Helper()
		until(t, "nothing is left to do", func() bool {
			list, err := r.groups().List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range list[0].Lanes {
				if l.Lag > 0 || l.Behind > 0 || l.CatchesUp {
					return false
				}
			}
			return true
		})
	}
	rebuild := func() {
		t.Helper()
		if err := r.groups().Rebuild(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
	}
	first := r.start(r.config("g"), handle)
	r.send(3, all...)
	delivered("what is new", 1, 2, 3)
	idle()
	rebuild()
	delivered("all again", 1, 2, 3)
	idle()
	r.send(1, all...)
	delivered("what is new", 4)
	first.stop()
	rebuild()
	r.send(1, all...)
	r.start(r.config("g"), handle)
	delivered("all again", 1, 2, 3, 4, 5)
	idle()
}

// TestProgressIsTold while all chats are looked at, and no more is read of the log than handlers can keep up with.
func TestProgressIsTold(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	all := chats(12_000)
	r.send(2, all...)
	if err := r.client.XTrimMaxLen(t.Context(), r.topic(), 0).Err(); err != nil {
		t.Fatal(err)
	}
	e := newEffects()
	hold := make(chan struct{})
	r.start(beginning(r.config("g")), e.around(func(context.Context, ports.Delivery) error {
		<-hold
		return nil
	}))
	until(t, "some are looked at", func() bool {
		l := r.lane("g")
		return l.CatchesUp && l.Walked > 1000 && l.Chats == len(all)
	})
	<-time.After(quick)
	if l := r.lane("g"); l.Walked > len(all)/2 {
		t.Errorf("%d of %d chats are looked at though no handler has ended", l.Walked, l.Chats)
	}
	if n := r.counters.CaughtUp.Load(); n > 6_000 {
		t.Errorf("%d events wait for handlers", n)
	}
	close(hold)
	e.complete(r)
	e.once(t)
	r.idle("g")
	if l := r.lane("g"); l.Chats != 0 || l.Walked != 0 {
		t.Errorf("at the end %d of %d chats are looked at", l.Walked, l.Chats)
	}
}
