package porttest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports"
)

// EffectStore is a store of effects, with functions that count and fail them.
type EffectStore struct {
	ports.Effects
	// Add returns an effect that adds one to a counter. Counters with the same hash tag share a slot.
	Add func(counter string) ports.Effect
	// Count returns the value of a counter.
	Count func(counter string) int
	// Fail makes adding to a counter fail until mend is called.
	Fail func(counter string) (mend func())
}

// Effects tests a store of effects. open may return the same store for every subtest.
func Effects(t *testing.T, open func(t *testing.T) EffectStore) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s effects)
	}{
		{"an effect is made once", testOnce},
		{"effects differ by name, identity and place", testEffectsApart},
		{"order does not matter", testEffectsOutOfOrder},
		{"of concurrent calls one makes the effect", testConcurrentEffects},
		{"an effect that failed is made later", testFailedEffect},
		{"invalid effects are refused", testNoEffect},
		{"an ended context makes nothing", testEndedEffect},
		{"random deliveries", testRandomEffects},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, effects{t, open(t)}) })
	}
}

type effects struct {
	t tb
	EffectStore
}

func newCounter() string { return "{" + rand.Text() + "}:counter" }

func delivered(seq domain.Seq) ports.DeliveryID {
	return ports.DeliveryID{Log: "log", Chat: NewChatID(), Seq: seq, Event: domain.EventID(rand.Text())}
}

func (s effects) once(name string, id ports.DeliveryID, counter string, want bool) {
	s.t.Helper()
	made, err := s.Once(s.t.Context(), name, id, s.Add(counter))
	if err != nil || made != want {
		s.t.Fatalf("effect %q of %+v on %q: made is %v, error %v, want %v", name, id, counter, made, err, want)
	}
}

func (s effects) counted(counter string, want int) {
	s.t.Helper()
	if n := s.Count(counter); n != want {
		s.t.Fatalf("counter %q stands at %d, want %d", counter, n, want)
	}
}

func testOnce(_ *testing.T, s effects) {
	counter, id := newCounter(), delivered(7)
	s.once("badge", id, counter, true)
	for range 3 {
		s.once("badge", id, counter, false)
	}
	s.counted(counter, 1)
	s.once("badge", delivered(7), counter, true)
	s.counted(counter, 2)
}

func testEffectsApart(_ *testing.T, s effects) {
	counter, id := newCounter(), delivered(7)
	s.once("badge", id, counter, true)
	others := []ports.DeliveryID{id, id, id, id}
	others[0].Log = "another log"
	others[1].Chat += "x"
	others[2].Seq++
	others[3].Event += "x"
	for _, other := range others {
		s.once("badge", other, counter, true)
	}
	s.once("badge:2", id, counter, true)
	s.once("|[]{}^\\`-:%*?", id, counter, true)
	s.counted(counter, 7)
	elsewhere := newCounter()
	s.once("badge", id, elsewhere, true)
	s.once("badge", id, elsewhere+"2", true)
	s.counted(elsewhere, 1)
	for _, again := range append(others, id) {
		s.once("badge", again, counter, false)
	}
	s.counted(counter, 7)
}

// testEffectsOutOfOrder delivers seqs out of order, as dead letters are, and deliveries that are in no log.
func testEffectsOutOfOrder(_ *testing.T, s effects) {
	counter, base := newCounter(), delivered(0)
	at := func(seq domain.Seq) ports.DeliveryID {
		id := base
		id.Seq, id.Event = seq, domain.EventID(fmt.Sprint("event-", seq))
		return id
	}
	for i, seq := range []domain.Seq{5, 9, 3, 1, 8} {
		s.once("badge", at(seq), counter, true)
		s.counted(counter, i+1)
	}
	for _, seq := range []domain.Seq{1, 3, 5, 8, 9} {
		s.once("badge", at(seq), counter, false)
	}
	foreign := newCounter()
	for _, event := range []domain.EventID{"b", "a", "c"} {
		id := ports.DeliveryID{Chat: base.Chat, Event: domain.EventID(base.Event) + event}
		s.once("badge", id, foreign, true)
		s.once("badge", id, foreign, false)
	}
	s.counted(foreign, 3)
}

func testConcurrentEffects(t *testing.T, s effects) {
	const calls, identities = 12, 8
	counter := newCounter()
	var made [identities][calls]bool
	var errs [identities][calls]error
	var wg sync.WaitGroup
	for i := range identities {
		id := delivered(domain.Seq(i)) //nolint:gosec // an index
		for c := range calls {
			wg.Go(func() { made[i][c], errs[i][c] = s.Once(t.Context(), "badge", id, s.Add(counter)) })
		}
	}
	wg.Wait()
	for i := range identities {
		n := 0
		for c := range calls {
			if errs[i][c] != nil {
				t.Error(errs[i][c])
			}
			if made[i][c] {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d of %d calls made effect %d, want 1", n, calls, i)
		}
	}
	s.counted(counter, identities)
}

func testFailedEffect(t *testing.T, s effects) {
	counter, id := newCounter(), delivered(3)
	mend := s.Fail(counter)
	for range 2 {
		if made, err := s.Once(t.Context(), "badge", id, s.Add(counter)); made || err == nil {
			t.Fatalf("made is %v, error %v, want an error", made, err)
		}
	}
	mend()
	s.once("badge", id, counter, true)
	s.once("badge", id, counter, false)
	s.counted(counter, 1)
}

func testNoEffect(t *testing.T, s effects) {
	counter := newCounter()
	for what, call := range map[string]func() (bool, error){
		"no name":     func() (bool, error) { return s.Once(t.Context(), "", delivered(1), s.Add(counter)) },
		"an odd name": func() (bool, error) { return s.Once(t.Context(), "a b", delivered(1), s.Add(counter)) },
		"no identity": func() (bool, error) {
			return s.Once(t.Context(), "badge", ports.DeliveryID{Log: "log", Chat: "c", Seq: 1}, s.Add(counter))
		},
		"no effect": func() (bool, error) { return s.Once(t.Context(), "badge", delivered(1), ports.Effect{On: counter}) },
	} {
		if made, err := call(); made || !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%s: made is %v, error %v, want ErrInvalid", what, made, err)
		}
	}
	s.counted(counter, 0)
}

func testEndedEffect(t *testing.T, s effects) {
	counter, id := newCounter(), delivered(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if made, err := s.Once(ctx, "badge", id, s.Add(counter)); made || !errors.Is(err, context.Canceled) {
		t.Errorf("made is %v, error %v, want that of the context", made, err)
	}
	s.counted(counter, 0)
	s.once("badge", id, counter, true)
}

func testRandomEffects(t *testing.T, s effects) {
	rapid.Check(t, func(rt *rapid.T) {
		s.t = rt
		base, tag := delivered(1), rand.Text()
		type effect struct {
			name, counter string
			id            ports.DeliveryID
		}
		made, counts := make(map[effect]bool), make(map[string]int)
		for range rapid.IntRange(1, 30).Draw(rt, "deliveries") {
			id := base
			id.Seq = domain.Seq(rapid.IntRange(0, 5).Draw(rt, "seq")) //nolint:gosec // from 0
			id.Event += domain.EventID(rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "event"))
			e := effect{rapid.SampledFrom([]string{"badge", "bell"}).Draw(rt, "name"), fmt.Sprintf("{%s}%d", tag, rapid.IntRange(0, 1).Draw(rt, "counter")), id}
			s.once(e.name, e.id, e.counter, !made[e])
			if !made[e] {
				made[e] = true
				counts[e.counter]++
			}
		}
		for counter, n := range counts {
			s.counted(counter, n)
		}
	})
}
