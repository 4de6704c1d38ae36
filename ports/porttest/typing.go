package porttest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports"
)

// Typing tests typing marks together with the log whose appends remove them. The adapter's clock must be about the machine's time when the subtest
// starts; it need not run. open may return the same marks for every subtest. forward lets the given time pass for them.
func Typing(t *testing.T, open func(t *testing.T) (marks ports.TypingMarks, log Log, forward func(time.Duration))) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, marks typing, log Log)
	}{
		{"a start sets the mark once", testStart},
		{"one of several concurrent starts sets the mark", testConcurrentStarts},
		{"marks are one user's in one chat", testMarksApart},
		{"an append ends typing", testEndsTyping},
		{"an ended context sets no mark", testEndedTyping},
		{"the latest of very many users are returned", testVeryManyTyping},
		{"random typing", testRandomTyping},
	} {
		t.Run(test.name, func(t *testing.T) {
			marks, log, forward := open(t)
			test.run(t, typing{t, marks, forward}, log)
		})
	}
}

type typing struct {
	t       tb
	marks   ports.TypingMarks
	forward func(time.Duration)
}

func (m typing) of(c domain.ChatID, want ...domain.UserID) {
	m.t.Helper()
	got, err := m.marks.Of(m.t.Context(), c)
	slices.Sort(got)
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		m.t.Fatalf("in %q type %q, error %v, want %q", c, got, err, want)
	}
}

func start(c domain.ChatID, user domain.UserID) domain.TypingStart {
	at := now()
	return domain.TypingStart{Chat: c, User: user, ExpiresAt: at.Add(domain.TypingTTL), At: at}
}

func (m typing) start(c domain.ChatID, user domain.UserID, want bool) {
	m.t.Helper()
	got, err := m.marks.Start(m.t.Context(), start(c, user))
	if err != nil || got != want {
		m.t.Fatalf("start of %q in %q gave %v, error %v, want %v", user, c, got, err, want)
	}
}

func (m typing) stop(c domain.ChatID, user domain.UserID) {
	m.t.Helper()
	if err := m.marks.Stop(m.t.Context(), c, user); err != nil {
		m.t.Fatalf("stop of %q in %q: %v", user, c, err)
	}
}

func testStart(t *testing.T, marks typing, _ Log) {
	c := NewChatID()
	marks.stop(c, ann)
	for range 3 {
		marks.start(c, ann, true)
		marks.start(c, ann, false)
		marks.start(c, ann, false)
		marks.of(c, ann)
		marks.stop(c, ann)
		marks.of(c)
		marks.stop(c, ann)
	}
}

func testConcurrentStarts(t *testing.T, marks typing, _ Log) {
	c := NewChatID()
	var set [32]bool
	var errs [32]error
	var wg sync.WaitGroup
	for i := range set {
		wg.Go(func() { set[i], errs[i] = marks.marks.Start(t.Context(), start(c, ann)) })
	}
	wg.Wait()
	n := 0
	for i := range set {
		if errs[i] != nil {
			t.Error(errs[i])
		}
		if set[i] {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d of %d starts set the mark, want 1", n, len(set))
	}
}

func testMarksApart(t *testing.T, marks typing, _ Log) {
	c := NewChatID()
	pairs := []struct {
		chat domain.ChatID
		user domain.UserID
	}{
		{c, "a:b"},
		{c + ":a", "b"},
		{c + ":a:b", ":"},
		{c, "a"},
		{c, "a%3Ab"},
	}
	for _, odd := range oddIDs()[:len(oddIDs())-1] { // all but the longest
		pairs = append(pairs, struct {
			chat domain.ChatID
			user domain.UserID
		}{c + "~" + domain.ChatID(odd), domain.UserID(odd)})
	}
	for _, p := range pairs {
		marks.start(p.chat, p.user, true)
	}
	for _, p := range pairs {
		marks.stop(p.chat, p.user)
		marks.start(p.chat, p.user, true)
		marks.start(p.chat, p.user, false)
	}
	in := make(map[domain.ChatID][]domain.UserID)
	for _, p := range pairs {
		in[p.chat] = append(in[p.chat], p.user)
	}
	for chat, users := range in {
		marks.of(chat, users...)
	}
}

func testEndsTyping(t *testing.T, marks typing, log Log) {
	h, c, other := newHarness(t, log), NewChatID(), NewChatID()
	marks.start(c, ann, true)
	marks.start(c, bob, true)
	marks.start(other, ann, true)
	h.append(then(created(c)))
	marks.start(c, ann, false)

	send := func(condition domain.Seq) ports.Append {
		a := given{at(domain.MessageEntity("m"), condition)}.then(sent(c, "m", ann))
		a.EndsTyping = ann
		return a
	}
	ended := func(want bool, a ports.Append) {
		t.Helper()
		if got := h.append(a).EndedTyping; got != want {
			t.Fatalf("the append ended typing: %v, want %v", got, want)
		}
	}
	ended(false, send(5)) // a conflict ends nothing
	marks.start(c, ann, false)
	marks.of(c, ann, bob)
	ended(true, send(0))
	marks.of(c, bob)
	marks.start(c, ann, true)
	marks.start(c, bob, false)
	marks.start(other, ann, false)

	batched := then(sent(c, "m2", bob))
	batched.EndsTyping = bob
	h.appendBatch(send(0), batched)
	marks.of(c, ann)
	marks.of(other, ann)
	marks.start(c, bob, true)
	marks.start(c, ann, false)
	marks.stop(c, ann)
	ended(false, send(2)) // no mark to remove
	h.verify()
}

func testEndedTyping(t *testing.T, marks typing, _ Log) {
	c := NewChatID()
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if set, err := marks.marks.Start(ctx, start(c, ann)); set || err == nil {
		t.Errorf("start gave %v, error %v, want an error", set, err)
	}
	marks.start(c, ann, true)
	if err := marks.marks.Stop(ctx, c, ann); err == nil {
		t.Error("stop gave no error")
	}
	if _, err := marks.marks.Of(ctx, c); err == nil {
		t.Error("a list of typing users gave no error")
	}
	marks.start(c, ann, false)
}

func testVeryManyTyping(t *testing.T, marks typing, _ Log) {
	c := NewChatID()
	for i := range ports.MaxTyping + 44 {
		marks.start(c, domain.UserID(fmt.Sprint("u", i)), true)
		if i == 43 {
			marks.forward(time.Second)
		}
	}
	got, err := marks.marks.Of(t.Context(), c)
	slices.Sort(got)
	if err != nil || len(slices.Compact(got)) != ports.MaxTyping || slices.Contains(got, "u0") || slices.Contains(got, "u43") {
		t.Errorf("%d are returned, error %v: %q", len(got), err, got)
	}
}

// testRandomTyping has users start, stop and send while time passes in whole seconds. It compares the marks with the domain's rules.
func testRandomTyping(t *testing.T, marks typing, log Log) {
	const patience = 900 * time.Millisecond // the model would be a second off if more time passed by itself
	users := []domain.UserID{ann, bob, "a:b%"}
	rapid.Check(t, func(rt *rapid.T) {
		h, c, began := newHarness(rt, log), NewChatID(), time.Now()
		marks := typing{rt, marks.marks, marks.forward}
		h.append(then(created(c)))
		model, at, sends := make(map[domain.UserID]*domain.TypingMark), now(), 0
		for _, user := range users {
			model[user] = &domain.TypingMark{}
		}
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			user := rapid.SampledFrom(users).Draw(rt, "user")
			var did, want bool
			does := rapid.SampledFrom([]string{"start", "start", "stop", "send", "wait"}).Draw(rt, "does")
			switch does {
			case "start":
				want = !model[user].Active(at) || at.Sub(model[user].PublishedAt) >= domain.TypingInterval
				var err error
				if did, err = marks.marks.Start(rt.Context(), start(c, user)); err != nil {
					rt.Fatal(err)
				}
				if want {
					model[user].Apply(domain.TypingStart{At: at, ExpiresAt: at.Add(domain.TypingTTL)})
				}
			case "stop":
				marks.stop(c, user)
				model[user].Apply(domain.TypingStop{})
			case "send":
				sends++
				a := then(sent(c, domain.MessageID(fmt.Sprint("m", sends)), user))
				a.EndsTyping = user
				want = model[user].Active(at)
				did = h.append(a).EndedTyping
				model[user].Apply(domain.MessageNew{})
			case "wait":
				step := time.Duration(rapid.IntRange(1, 6).Draw(rt, "seconds")) * time.Second
				marks.forward(step)
				at = at.Add(step)
			}
			got, err := marks.marks.Of(rt.Context(), c)
			if time.Since(began) > patience {
				return
			}
			var standing []domain.UserID
			for _, user := range users {
				if model[user].Active(at) {
					standing = append(standing, user)
				}
			}
			slices.Sort(got)
			slices.Sort(standing)
			if did != want || err != nil || !slices.Equal(got, standing) {
				rt.Fatalf("%s of %q changed a mark: %v, want %v; typing are %q, error %v, want %q", does, user, did, want, got, err, standing)
			}
		}
	})
}
