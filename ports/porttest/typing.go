package porttest

import (
	"context"
	"sync"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// Typing tests typing marks together with the log whose appends remove them. The adapter's clock must tell about the machine's time
// when the subtest starts; it need not run. open may give the same marks for every subtest.
func Typing(t *testing.T, open func(t *testing.T) (ports.TypingMarks, Log)) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, marks typing, log Log)
	}{
		{"a start sets the mark once", testStart},
		{"of concurrent starts one sets the mark", testConcurrentStarts},
		{"marks are one user's in one chat", testMarksApart},
		{"an append ends typing", testEndsTyping},
		{"an ended context sets no mark", testEndedTyping},
	} {
		t.Run(test.name, func(t *testing.T) {
			marks, log := open(t)
			test.run(t, typing{t, marks}, log)
		})
	}
}

type typing struct {
	t     *testing.T
	marks ports.TypingMarks
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
		m.t.Fatal(err)
	}
}

func testStart(t *testing.T, marks typing, _ Log) {
	c := NewChatID()
	marks.stop(c, ann)
	for range 3 {
		marks.start(c, ann, true)
		marks.start(c, ann, false)
		marks.start(c, ann, false)
		marks.stop(c, ann)
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
	ended(true, send(0))
	marks.start(c, ann, true)
	marks.start(c, bob, false)
	marks.start(other, ann, false)

	batched := then(sent(c, "m2", bob))
	batched.EndsTyping = bob
	h.appendBatch(send(0), batched)
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
	marks.start(c, ann, false)
}
