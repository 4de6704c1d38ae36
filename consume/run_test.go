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
