package consume_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"chatcore/consume"
	"chatcore/ports/groups"
	"chatcore/tests/wait"
)

// TestRun delivers the events of several chats, each chat's in order, with several credits.
func TestRun(t *testing.T) {
	for _, credit := range []int{1, 3, 64} {
		t.Run(fmt.Sprint("credit ", credit), func(t *testing.T) {
			i, l := serve(t, groups.Definition{}), newLedger()
			var now, most atomic.Int64
			stop := run(t, consume.Config{URLs: []string{i.url}, Credit: credit}, func(_ context.Context, d consume.Delivery) error {
				most.Store(max(most.Load(), now.Add(1)))
				defer now.Add(-1)
				l.note(d)
				return nil
			})
			chats := []string{"a", "b", "c", "d", "e"}
			i.send(t, 20, chats...)
			for _, chat := range chats {
				wait.Until(t, "all events of a chat come", func() bool { return len(l.firsts(chat)) == 21 })
				l.mu.Lock()
				if n := len(l.seqs[chat]); n != 21 {
					t.Errorf("chat %s has %d deliveries of 21 events", chat, n)
				}
				l.mu.Unlock()
			}
			if most.Load() > int64(credit) {
				t.Errorf("%d handlers ran at a time, with a credit of %d", most.Load(), credit)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRun_Outcomes returns each kind of error from the handler.
func TestRun_Outcomes(t *testing.T) {
	i := serve(t, groups.Definition{Retry: groups.Retry{Attempts: 3, First: time.Millisecond, Max: time.Millisecond}})
	i.send(t, 6, "a")
	failure := errors.New("no")
	l := newLedger()
	var postponed atomic.Bool
	stop := run(t, consume.Config{URLs: []string{i.url}}, func(_ context.Context, d consume.Delivery) error {
		l.note(d)
		switch d.Event.GetSeq() {
		case 2:
			return consume.Permanent(failure)
		case 3:
			if d.Attempt == 1 {
				return consume.RetryAfter(time.Millisecond, failure)
			}
		case 4:
			if !postponed.Swap(true) {
				return consume.NotNow(time.Millisecond, failure)
			}
			if d.Attempt != 1 {
				t.Errorf("a postponed event comes in attempt %d", d.Attempt)
			}
		case 5:
			panic(failure)
		case 6:
			return failure
		}
		return nil
	})
	wait.Until(t, "the last event comes", func() bool { return len(l.firsts("a")) == 7 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	var reasons []string
	wait.Until(t, "three events become dead letters", func() bool {
		reasons = nil
		for letter, err := range i.groups.DeadLettersAfter(t.Context(), "g", "") {
			if err != nil {
				t.Fatal(err)
			}
			reasons = append(reasons, fmt.Sprint(letter.Seq, " ", letter.Attempts, " ", letter.Reason))
		}
		return len(reasons) == 3
	})
	for n, want := range []string{"2 1 no", "5 3 the handler panicked: no", "6 3 no"} {
		if reasons[n] != want {
			t.Errorf("dead letter %q, want %q", reasons[n], want)
		}
	}
}

// TestRun_ServerStops stops the instance of a consumer while it handles events: the handlers settle what they have, and the consumer goes on at another one.
func TestRun_ServerStops(t *testing.T) {
	first, second := serve(t, groups.Definition{}), serve(t, groups.Definition{})
	first.send(t, 3, "a")
	second.send(t, 2, "b")
	l := newLedger()
	begun, release := make(chan struct{}, 10), make(chan struct{})
	stop := run(t, consume.Config{URLs: []string{first.url, second.url}}, func(_ context.Context, d consume.Delivery) error {
		l.note(d)
		if d.Event.GetChatId() == "a" {
			begun <- struct{}{}
			<-release
		}
		return nil
	})
	<-begun
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		first.stop()
	}()
	wait.Until(t, "the server drains", func() bool { return first.draining() })
	close(release)
	<-stopped
	wait.Until(t, "the other instance's events come", func() bool { return len(l.firsts("b")) == 3 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for event, attempt := range l.attempts {
		if attempt != 1 {
			t.Errorf("event %s came in attempt %d", event, attempt)
		}
	}
}

// TestRun_Lease runs a handler for longer than its lease: the lease is extended, and the event comes once.
func TestRun_Lease(t *testing.T) {
	i, l := serve(t, groups.Definition{}), newLedger()
	i.send(t, 0, "a")
	done := make(chan struct{})
	stop := run(t, consume.Config{URLs: []string{i.url}, Lease: time.Second, Stale: func(d consume.Delivery) { t.Errorf("%v was stale", d.Event) }}, func(ctx context.Context, d consume.Delivery) error {
		l.note(d)
		select {
		case <-time.After(3 * time.Second):
		case <-ctx.Done():
			t.Error("the context ended:", context.Cause(ctx))
		}
		close(done) // a second time panics
		return nil
	})
	<-done
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestRun_Refused returns errors that another connection would not change.
func TestRun_Refused(t *testing.T) {
	i := serve(t, groups.Definition{})
	handle := func(context.Context, consume.Delivery) error { return nil }
	for name, c := range map[string]consume.Config{
		"no such group": {URLs: []string{i.url}, Group: "none"}, "a wrong token": {URLs: []string{i.url}, Group: "g", Token: "cc_x_y"},
		"no URL": {Group: "g"}, "a URL without a scheme": {URLs: []string{"localhost"}, Group: "g"}, "no group": {URLs: []string{i.url}},
		"too much credit": {URLs: []string{i.url}, Group: "g", Credit: 5000}, "a short lease": {URLs: []string{i.url}, Group: "g", Lease: time.Millisecond},
	} {
		if err := consume.Run(t.Context(), c, handle); err == nil {
			t.Errorf("%s is not refused", name)
		}
	}
	if err := consume.Run(t.Context(), consume.Config{URLs: []string{i.url}, Group: "g"}, nil); err == nil {
		t.Error("a consumer without a handler is not refused")
	}
}
