package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports"
)

func mark(seq domain.Seq) domain.Message {
	return domain.Message{ID: domain.MessageID(fmt.Sprint("m", seq)), Seq: seq}
}

// call is one call of do, and its result.
type call struct {
	led   bool
	err   error
	done  bool
	tells chan readOutcome // the result of its lead
	tried chan domain.Seq  // the seq that it is to record
}

// begin calls do on a goroutine of its own; its lead takes the highest mark, and waits for its outcome.
func begin(ctx context.Context, r *readCoalescer, seq domain.Seq) *call {
	c := &call{tells: make(chan readOutcome), tried: make(chan domain.Seq, 1)}
	go func() {
		c.led, c.err = r.do(ctx, readKey{chat: "c", user: "u"}, mark(seq), anyone, func(highest func() domain.Message) readOutcome {
			c.tried <- highest().Seq
			return <-c.tells
		})
		c.done = true
	}()
	synctest.Wait()
	return c
}

func (c *call) leads(t *testing.T, want domain.Seq) {
	t.Helper()
	select {
	case got := <-c.tried:
		if got != want {
			t.Fatalf("the leader records %d, want %d", got, want)
		}
	default:
		t.Fatal("the call does not lead")
	}
}

func (c *call) returns(t *testing.T, o readOutcome) {
	t.Helper()
	c.tells <- o
	synctest.Wait()
	if !c.done || !c.led || c.err != nil {
		t.Fatalf("the leader's call is %+v", c)
	}
}

func (c *call) follows(t *testing.T) {
	t.Helper()
	if len(c.tried) > 0 || c.done {
		t.Fatalf("the call is %+v, want it to wait", c)
	}
}

func (c *call) ends(t *testing.T, want error) {
	t.Helper()
	if !c.done || c.led || !errors.Is(c.err, want) || want == nil && c.err != nil {
		t.Fatalf("the call is %+v, want it to have returned %v", c, want)
	}
}

func TestReadCoalescer_LateMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReadCoalescer()
		first := begin(t.Context(), r, 5)
		first.leads(t, 5)
		lower, equal, late := begin(t.Context(), r, 3), begin(t.Context(), r, 5), begin(t.Context(), r, 9)
		lower.follows(t)
		late.follows(t)
		first.returns(t, readOutcome{recorded: 5})
		lower.ends(t, nil)
		equal.ends(t, nil)
		late.leads(t, 9) // 5 does not cover it
		late.returns(t, readOutcome{recorded: 9})
		if n := r.flights.Len(); n != 0 {
			t.Errorf("%d flights are left", n)
		}
	})
}

func TestReadCoalescer_OtherUsersDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReadCoalescer()
		first := begin(t.Context(), r, 5)
		for _, key := range []readKey{{chat: "c", user: "v"}, {chat: "d", user: "u"}} {
			led, err := r.do(t.Context(), key, mark(1), anyone, func(func() domain.Message) readOutcome { return readOutcome{recorded: 1} })
			if !led || err != nil {
				t.Errorf("%v: led %v, error %v", key, led, err)
			}
		}
		first.leads(t, 5)
		first.returns(t, readOutcome{})
	})
}

func TestReadCoalescer_LeaderFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, broken := newReadCoalescer(), errors.New("broken")
		first := begin(t.Context(), r, 5)
		first.leads(t, 5)
		lower, late := begin(t.Context(), r, 3), begin(t.Context(), r, 9)
		first.returns(t, readOutcome{failed: 5, err: broken}) // the log's failure
		lower.ends(t, broken)
		late.leads(t, 9)
		follower := begin(t.Context(), r, 7)
		late.returns(t, readOutcome{}) // its own
		follower.leads(t, 7)
		follower.returns(t, readOutcome{recorded: 7})
	})
}

func TestReadCoalescer_LeaderPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, stay := newReadCoalescer(), make(chan struct{})
		go func() {
			defer func() { _ = recover() }()
			_, _ = r.do(t.Context(), readKey{chat: "c", user: "u"}, mark(5), anyone, func(func() domain.Message) readOutcome {
				<-stay
				panic("leader")
			})
		}()
		synctest.Wait()
		follower := begin(t.Context(), r, 5)
		follower.follows(t)
		close(stay)
		synctest.Wait()
		follower.leads(t, 5)
		follower.returns(t, readOutcome{recorded: 5})
	})
}

func TestReadCoalescer_FollowerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReadCoalescer()
		first := begin(t.Context(), r, 5)
		first.leads(t, 5)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		hasty := begin(ctx, r, 9)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		hasty.ends(t, context.DeadlineExceeded)
		first.returns(t, readOutcome{recorded: 5})
	})
}

// marked is a call of a random history.
type marked struct {
	Seq     domain.Seq
	At      time.Duration // when it comes
	Patient time.Duration // when its ctx ends; 0: never
	Takes   time.Duration // how long it records, if it leads
	Fails   int           // if it leads: 1 on its own account, 2 because of the log, else not
}

func drawMarked(t *rapid.T) marked {
	soon := rapid.Int64Range(0, 20)
	m := marked{
		Seq: domain.Seq(rapid.Uint64Range(1, 6).Draw(t, "seq")), At: time.Duration(soon.Draw(t, "at")), Takes: time.Duration(soon.Draw(t, "takes")),
		Fails: rapid.IntRange(0, 5).Draw(t, "fails"),
	}
	if rapid.Bool().Draw(t, "hasty") {
		m.Patient = m.At + time.Duration(soon.Draw(t, "patient"))
	}
	return m
}

// TestReadCoalescer_RandomCalls checks that a call without an error has its mark recorded by then, that one call records at a time, that no
// call has another's own failure, and that every call ends.
func TestReadCoalescer_RandomCalls(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		calls := rapid.SliceOfN(rapid.Custom(drawMarked), 1, 12).Draw(rt, "calls")
		var faults []string
		synctest.Test(t, func(t *testing.T) { faults = playMarks(t, calls) })
		if len(faults) > 0 {
			rt.Fatal(faults)
		}
	})
}

func playMarks(t *testing.T, calls []marked) (faults []string) {
	var (
		r        = newReadCoalescer()
		recorded domain.Seq
		leaders  int
		own, log = errors.New("own"), errors.New("log")
		lock     = make(chan struct{}, 1)
		fault    = func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
		began    = time.Now()
	)
	for i, m := range calls {
		go func() {
			time.Sleep(m.At)
			ctx := t.Context()
			if m.Patient > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithDeadline(ctx, began.Add(m.Patient))
				defer cancel()
			}
			var failure error
			led, err := r.do(ctx, readKey{chat: "c", user: "u"}, mark(m.Seq), anyone, func(highest func() domain.Message) readOutcome {
				lock <- struct{}{}
				leaders++
				if leaders > 1 {
					fault("%d leaders", leaders)
				}
				seq := highest().Seq
				<-lock
				time.Sleep(m.Takes)
				lock <- struct{}{}
				defer func() { leaders--; <-lock }()
				switch m.Fails {
				case 1:
					failure = own
					return readOutcome{}
				case 2:
					failure = log
					return readOutcome{failed: seq, err: log}
				}
				recorded = max(recorded, seq)
				return readOutcome{recorded: seq}
			})
			lock <- struct{}{}
			defer func() { <-lock }()
			switch {
			case led && err != nil:
				fault("call %d led and has the error %v", i, err)
			case errors.Is(err, own):
				fault("call %d has another's failure", i)
			case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
				fault("call %d has another's deadline", i)
			case err == nil && failure == nil && recorded < m.Seq:
				fault("call %d of %d was acknowledged, %d is recorded", i, m.Seq, recorded)
			}
		}()
	}
	time.Sleep(time.Hour)
	synctest.Wait()
	if n := r.flights.Len(); n != 0 {
		fault("%d flights are left", n)
	}
	return slices.Compact(faults)
}

// TestReadCoalescer_KeepsNothing marks for many users: its cost does not grow with them.
func TestReadCoalescer_KeepsNothing(t *testing.T) {
	r := newReadCoalescer()
	for i := range 20_000 {
		key := readKey{chat: "c", user: domain.UserID(fmt.Sprint(i))}
		if _, err := r.do(t.Context(), key, mark(1), anyone, func(func() domain.Message) readOutcome { return readOutcome{recorded: 1} }); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.flights.Len(); n != 0 {
		t.Errorf("%d flights are left", n)
	}
}

// unaware is a context whose deadline has passed, and that does not know yet.
type unaware struct{ context.Context }

func (unaware) Deadline() (time.Time, bool) { return time.Now().Add(-time.Millisecond), true }

func TestSharedFailure(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name string
		ctx  context.Context
		err  error
		want bool
	}{
		{"unavailable", t.Context(), ports.ErrUnavailable, true},
		{"unknown", t.Context(), ports.ErrOutcomeUnknown, true},
		{"unconfirmed", t.Context(), &ports.UnconfirmedError{}, true},
		{"a deadline that the context does not know of", unaware{t.Context()}, ports.ErrUnavailable, false},
		{"a cancelled context", cancelled, ports.ErrUnavailable, false},
		{"a deadline of the leader", t.Context(), fmt.Errorf("%w: %w", ports.ErrUnavailable, context.DeadlineExceeded), false},
		{"a refusal", t.Context(), &domain.Refusal{Reason: domain.ErrCommandReused}, false},
		{"too soon", t.Context(), &domain.TooSoonError{}, false},
		{"a conflict", t.Context(), fmt.Errorf("decided often: %w", &ports.ConflictError{}), false},
	} {
		if got := sharedFailure(test.ctx, test.err); got != test.want {
			t.Errorf("%s: shared is %v", test.name, got)
		}
	}
}

// anyone admits every call.
func anyone(context.Context) error { return nil }
