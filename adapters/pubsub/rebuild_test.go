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

// TestFromTheBeginningWhileEventsGoOn checks that a new group reaches the stream's end without a gap or a duplicate: from the whole stream, from a
// trimmed one, and from the log alone.
func TestFromTheBeginningWhileEventsGoOn(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]int64{"whole": 1 << 20, "trimmed": 500, "empty": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, redistest.Shared(t), 2)
			e := newEffects()
			all := chats(300)
			r.send(8, all...)
			for _, l := range r.partitions {
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

// TestTheStreamIsCutAgainAndAgain has another program cut the stream to a length, so that slow handlers lose read and unread entries. Some events may
// be delivered twice: this cannot be distinguished from a loss by Redis.
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

// TestRebuildBeginsAgain checks that delivery restarts with the first event of every chat, with a running owner and without one.
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
			for _, l := range list[0].Partitions {
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

// TestProgressIsTold checks the progress while all chats are checked, and that no more is read from the log than handlers can process.
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
		l := r.partition("g")
		return l.CatchesUp && l.Walked > 1000 && l.Chats == len(all)
	})
	<-time.After(quick)
	if l := r.partition("g"); l.Walked > len(all)/2 {
		t.Errorf("%d of %d chats are looked at though no handler has ended", l.Walked, l.Chats)
	}
	if n := r.counters.Backfilled.Load(); n > 6_000 {
		t.Errorf("%d events wait for handlers", n)
	}
	close(hold)
	e.complete(r)
	e.once(t)
	r.idle("g")
	if l := r.partition("g"); l.Chats != 0 || l.Walked != 0 {
		t.Errorf("at the end %d of %d chats are looked at", l.Walked, l.Chats)
	}
}
