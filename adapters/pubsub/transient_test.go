package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
)

// TestTransientFailures_AreNoAttempts has a dependency of the handler fail for 20 minutes with every error that counts as transient. It guards
// against chats that an outage parks.
func TestTransientFailures_AreNoAttempts(t *testing.T) {
	ways(t, func(t *testing.T, plain bool) {
		for name, fault := range map[string]error{
			"marked":          group.Transient(errDown),
			"unavailable":     fmt.Errorf("saving: %w", ports.ErrUnavailable),
			"overloaded":      ports.ErrOverloaded,
			"outcome unknown": ports.ErrOutcomeUnknown,
			"unconfirmed":     &ports.UnconfirmedError{Wanted: 1},
			"conflict":        &ports.ConflictError{Chat: "c"},
			"rate limited":    ports.ErrRateLimited,
		} {
			t.Run(name, func(t *testing.T) {
				var seen calls
				var down atomic.Bool
				down.Store(true)
				handle := func(_ context.Context, d ports.Delivery) error {
					seen.add(d)
					if d.ID.Chat == "held" && down.Load() {
						return fault
					}
					return nil
				}
				inBubble(t, group.Config{OnPoison: delivery.Park}, plain, handle, 0, func(b *bubble) {
					began := time.Now()
					b.send("held", 3)
					b.pass(5 * time.Second)
					if s := b.state(); s.Blocked != 0 || len(seen.of("held")) < 3 {
						t.Errorf("after a short outage %d chats are reported, %d starts", s.Blocked, len(seen.of("held")))
					}
					b.send("other", 2)
					b.pass(20 * time.Minute)
					if n := len(seen.of("other")); n != 2 {
						t.Errorf("another chat had %d handler starts", n)
					}
					s := b.state()
					if s.Blocked != 1 || len(s.Longest) != 1 {
						t.Fatalf("the partition is %+v", s)
					}
					chat := s.Longest[0]
					if chat.Chat != "held" || chat.Seq != 1 || chat.Reason != groups.BlockedTransient || chat.Error != fault.Error() || chat.Since.Sub(began).Abs() > time.Second {
						t.Errorf("blocked: %+v", chat)
					}
					if n := b.counters.BlockedTransient.Load(); n != 1 {
						t.Errorf("the gauge is at %d", n)
					}
					starts := len(seen.of("held"))
					if starts < 20*60/23 || starts > 20*60/7+20 { // every 7.5 to 22.5 s in the end
						t.Errorf("%d starts in 20 minutes", starts)
					}
					down.Store(false)
					b.pass(23 * time.Second)
					held := seen.of("held")
					for i, d := range held {
						if d.Attempt != 1 || d.Redelivered != (i > 0 && i < len(held)-2) {
							t.Fatalf("start %d of %d: attempt %d, redelivered %v", i, len(held), d.Attempt, d.Redelivered)
						}
					}
					last := held[len(held)-3:]
					if last[0].ID.Seq != 1 || last[1].ID.Seq != 2 || last[2].ID.Seq != 3 {
						t.Errorf("in the end %v, %v, %v", last[0].ID, last[1].ID, last[2].ID)
					}
					if s := b.state(); s.Blocked+s.Failing+s.Letters+s.Parked+s.Behind != 0 || s.Lag != 0 {
						t.Errorf("left: %+v", s)
					}
					if n, transient := b.counters.BlockedTransient.Load(), b.counters.Transient.Load(); n != 0 || int(transient) != len(held)-3 {
						t.Errorf("the gauge is at %d, %d transient failures", n, transient)
					}
				})
			})
		}
	})
}

// TestTransient_Classification checks which errors are attempts.
func TestTransient_Classification(t *testing.T) {
	for _, c := range []struct {
		err       error
		transient bool
	}{
		{nil, false},
		{errDown, false},
		{context.Canceled, false},
		{context.DeadlineExceeded, false},
		{ports.ErrCorrupt, false},
		{ports.ErrTooLarge, false},
		{ports.ErrLogLost, true},
		{ports.ErrEvicting, true},
		{ports.Unavailable(context.Background(), ports.ErrClosed), true},
		{group.Transient(nil), false},
		{fmt.Errorf("a: %w", group.Transient(errDown)), true},
		{errors.Join(errDown, ports.ErrUnavailable), true},
		{group.Permanent(ports.ErrUnavailable), false},
		{group.Permanent(group.Transient(errDown)), false},
		{group.Transient(group.Permanent(errDown)), false},
		{fmt.Errorf("%w: %w", group.ErrHandlerTimeout, ports.ErrUnavailable), true},
		{fmt.Errorf("%w: %w: %w", group.ErrHandlerTimeout, ports.ErrUnavailable, context.DeadlineExceeded), false},
		{fmt.Errorf("%w: %w", group.ErrHandlerTimeout, group.Transient(context.DeadlineExceeded)), true},
	} {
		if got := group.IsTransient(c.err); got != c.transient {
			t.Errorf("%v: %v", c.err, got)
		}
	}
	if !errors.Is(group.Transient(errDown), errDown) {
		t.Error("the mark hides the error")
	}
}

// TestDefaultRetries_SpanMinutes guards against a policy whose attempts end within the time of a failover.
func TestDefaultRetries_SpanMinutes(t *testing.T) {
	ways(t, func(t *testing.T, plain bool) {
		var seen calls
		handle := func(_ context.Context, d ports.Delivery) error {
			seen.add(d)
			return errDown
		}
		inBubble(t, group.Config{}, plain, handle, 0, func(b *bubble) {
			b.send("c", 1)
			b.pass(90 * time.Second)
			if n := len(b.letters()); n != 0 {
				t.Errorf("a dead letter within 90 s, after %d starts", len(seen.of("c")))
			}
			b.pass(4 * time.Minute)
			if letters := b.letters(); len(letters) != 1 || letters[0].Attempts != 10 {
				t.Errorf("dead letters %+v", letters)
			}
		})
	})
}

// outcome is the result of a handler start.
type outcome uint8

const (
	succeeds outcome = iota
	fails
	failsTransiently
	failsOnNewer
	isPermanent
	panics
	exits
	outcomes
)

// TestAttempts_Model compares the deliveries to handlers with a model, for random sequences of outcomes.
func TestAttempts_Model(t *testing.T) {
	ways(t, func(t *testing.T, plain bool) {
		const attempts = 3
		rapid.Check(t, func(rt *rapid.T) {
			plan := make(map[domain.ChatID][][]outcome) // by chat and seq; later events succeed
			for _, chat := range chats(rapid.IntRange(1, 3).Draw(rt, "chats")) {
				plan[chat] = rapid.SliceOfN(rapid.SliceOfN(rapid.Map(rapid.Uint8Range(0, uint8(outcomes)-1), func(n uint8) outcome { return outcome(n) }), 0, 6), 1, 4).Draw(rt, string(chat))
			}
			var mu sync.Mutex
			var faults []string
			starts, counted := make(map[ports.DeliveryID]int), make(map[ports.DeliveryID]int)
			next := make(map[domain.ChatID]domain.Seq)
			letters := make(map[string]int)
			handle := func(_ context.Context, d ports.Delivery) error {
				mu.Lock()
				id := d.ID
				at, seq := starts[id], next[id.Chat]+1
				if id.Seq != seq || d.Attempt != counted[id]+1 {
					faults = append(faults, fmt.Sprintf("%s: %d, attempt %d; the model says %d, attempt %d", id.Chat, id.Seq, d.Attempt, seq, counted[id]+1))
				}
				starts[id]++
				what := succeeds
				if row := plan[id.Chat][id.Seq-1]; at < len(row) {
					what = row[at]
				}
				ends := what == succeeds || what == isPermanent
				if what == fails || what == panics || what == exits {
					counted[id]++
					ends = counted[id] == attempts
				}
				if ends {
					next[id.Chat] = id.Seq
					if what != succeeds {
						letters[fmt.Sprint(id.Chat, id.Seq)] = counted[id]
					}
					if what == isPermanent {
						letters[fmt.Sprint(id.Chat, id.Seq)]++
					}
				}
				mu.Unlock()
				switch what {
				case failsTransiently:
					return ports.ErrUnavailable
				case failsOnNewer:
					return fmt.Errorf("loading: %w", &ports.NewerVersionError{Type: "message:later", Version: 1})
				case isPermanent:
					return group.Permanent(ports.ErrUnavailable)
				case fails:
					return errDown
				case panics:
					panic("no")
				case exits:
					runtime.Goexit()
				case succeeds, outcomes:
				}
				return nil
			}
			config := group.Config{Retry: delivery.RetryPolicy{Attempts: attempts}}
			inBubble(t, config, plain, handle, 0, func(b *bubble) {
				for chat, rows := range plan {
					b.send(chat, len(rows))
				}
				b.pass(time.Hour)
				mu.Lock()
				defer mu.Unlock()
				for chat, rows := range plan {
					if next[chat] != domain.Seq(len(rows)) {
						faults = append(faults, fmt.Sprintf("%s has come to %d of %d", chat, next[chat], len(rows)))
					}
				}
				found := b.letters()
				for _, l := range found {
					if n, expected := letters[fmt.Sprint(l.Chat, l.Seq)]; !expected || l.Attempts != n {
						faults = append(faults, fmt.Sprintf("dead letter %s %d after %d attempts; the model says %d", l.Chat, l.Seq, l.Attempts, n))
					}
				}
				if s := b.state(); len(found) != len(letters) || s.Failing+s.Blocked+s.Behind != 0 {
					faults = append(faults, fmt.Sprintf("%d dead letters, the model says %d; left %+v", len(found), len(letters), s))
				}
				if n := b.counters.BlockedTransient.Load() + b.counters.BlockedNewer.Load() + b.counters.BlockedSlow.Load(); n != 0 {
					faults = append(faults, fmt.Sprintf("the gauges are at %d", n))
				}
			})
			if len(faults) > 0 {
				rt.Fatal(strings.Join(faults, "\n"))
			}
		})
	})
}

// TestTransientFailures_ConsumeNoReservedAttempt has starts that are recorded before they begin, as each is after the first failure, and that fail
// transiently: over a takeover in order, and over a lease that is lost meanwhile.
func TestTransientFailures_ConsumeNoReservedAttempt(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		r.send(1, "c")
		config := beginning(r.config("g"))
		config.Retry = delivery.RetryPolicy{Attempts: 5, First: time.Millisecond, Max: 20 * time.Millisecond}
		failing := func() string { return r.client.HGet(t.Context(), r.partitions[0].Base+"g:failing:g", "c").Val() }
		var attempts [8]atomic.Int64
		first := r.start(config, func(_ context.Context, d ports.Delivery) error {
			attempts[d.Attempt].Add(1)
			if d.Attempt == 1 {
				return errDown
			}
			return ports.ErrUnavailable
		})
		until(t, "it fails transiently again and again", func() bool { return attempts[2].Load() > 10 })
		first.stop()
		if got := failing(); got != "1:1" || attempts[3].Load() != 0 {
			t.Fatalf("after a takeover in order Redis counts %q", got)
		}

		begun, release := make(chan ports.Delivery, 64), make(chan error)
		r.start(config, func(_ context.Context, d ports.Delivery) error {
			begun <- d
			return <-release
		})
		if d := receive(t, begun); d.Attempt != 2 {
			t.Fatalf("attempt %d follows one that failed", d.Attempt)
		}
		release <- ports.ErrUnavailable
		if d := receive(t, begun); d.Attempt != 2 { // the first start after a takeover is not recorded beforehand, this one is
			t.Fatalf("attempt %d", d.Attempt)
		}
		if got := failing(); !strings.HasPrefix(got, "1:2:") {
			t.Fatalf("the start is recorded as %q", got)
		}
		// As after a failover to a replica that lacks the last commit: the partition is acquired anew while the handler runs.
		state := r.partitions[0].Base + "g:state:g"
		epoch := r.client.HGet(t.Context(), state, "epoch").Val()
		if err := r.client.HSet(t.Context(), state, "commit", "9999").Err(); err != nil {
			t.Fatal(err)
		}
		until(t, "the partition is taken anew", func() bool { return r.client.HGet(t.Context(), state, "epoch").Val() != epoch })
		release <- ports.ErrUnavailable
		if d := receive(t, begun); d.Attempt != 2 {
			t.Errorf("attempt %d follows a start that failed transiently under a lost lease", d.Attempt)
		}
		close(release)
		r.idle("g")
	})
}
