package flight_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"chatcore/internal/flight"
)

type group = flight.Group[string, int, string]

// caller is one caller of Do, on a goroutine of its own.
type caller struct {
	leads  bool        // its Lead was called
	state  func() int  // of its flight
	lands  chan string // the result of its Lead
	result string
	led    bool
	err    error
	done   bool
}

// start begins a call of Do that adds n to the state, and accepts results that are not empty.
func start(ctx context.Context, g *group, n int, admit func(context.Context) error) *caller {
	c := &caller{lands: make(chan string)}
	go func() {
		defer func() {
			_ = recover()
			c.done = true
		}()
		c.result, c.led, c.err = g.Do(ctx, "k", flight.Call[int, string]{
			Admit: admit,
			Enter: func(state *int, _ bool) { *state += n },
			Lead: func(state func() int) string {
				c.leads, c.state = true, state
				result := <-c.lands
				if result == "panic" {
					panic(result)
				}
				return result
			},
			Accept: func(result string) bool { return result != "" },
		})
	}()
	synctest.Wait()
	return c
}

func (c *caller) land(result string) {
	c.lands <- result
	synctest.Wait()
}

// waits fails the test unless the caller waits for another one's flight.
func (c *caller) waits(t *testing.T) {
	t.Helper()
	if c.leads || c.done {
		t.Fatalf("the caller is %+v, want it to wait", c)
	}
}

// got fails the test unless the caller has got another one's result.
func (c *caller) got(t *testing.T, want string, wantErr error) {
	t.Helper()
	if !c.done || c.led || c.result != want || !errors.Is(c.err, wantErr) || wantErr == nil && c.err != nil {
		t.Fatalf("the caller is %+v, want the result %q and the error %v of another one", c, want, wantErr)
	}
}

func TestDo_SharesAResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.New[string, int, string]()
		first, second, third := start(t.Context(), g, 1, nil), start(t.Context(), g, 10, nil), start(t.Context(), g, 100, nil)
		second.waits(t)
		third.waits(t)
		if state := first.state(); state != 111 {
			t.Errorf("the leader sees the state %d, want what all callers added", state)
		}
		first.land("one")
		second.got(t, "one", nil)
		third.got(t, "one", nil)
		if !first.led || first.result != "one" || g.Len() != 0 {
			t.Errorf("the leader is %+v, %d flights are left", first, g.Len())
		}
	})
}

func TestDo_TakesOver(t *testing.T) {
	for name, result := range map[string]string{"from a leader without a good result": "", "from a leader that panics": "panic"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := flight.New[string, int, string]()
				first := start(t.Context(), g, 1, nil)
				others := []*caller{start(t.Context(), g, 10, nil), start(t.Context(), g, 100, nil)}
				first.land(result)
				if others[0].leads == others[1].leads {
					t.Fatalf("of two callers that waited, %v and %v lead", others[0].leads, others[1].leads)
				}
				if others[1].leads {
					others[0], others[1] = others[1], others[0]
				}
				others[0].land("two")
				others[1].got(t, "two", nil)
				if g.Len() != 0 {
					t.Errorf("%d flights are left", g.Len())
				}
			})
		})
	}
}

func TestDo_EndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.New[string, int, string]()
		first := start(t.Context(), g, 1, nil)
		ctx, cancel := context.WithCancel(t.Context())
		second := start(ctx, g, 1, nil)
		second.waits(t)
		cancel()
		synctest.Wait()
		second.got(t, "", context.Canceled)
		third := start(t.Context(), g, 1, nil)
		third.waits(t) // the leader goes on
		first.land("one")
		third.got(t, "one", nil)
	})
}

func TestDo_AdmitsOnceAndOnlyCallersThatJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, refused, admitted := flight.New[string, int, string](), errors.New("refused"), 0
		admit := func(context.Context) error { admitted++; return nil }
		first := start(t.Context(), g, 1, admit)
		if admitted != 0 {
			t.Error("a leader was admitted")
		}
		second := start(t.Context(), g, 10, admit)
		second.waits(t)
		start(t.Context(), g, 100, func(context.Context) error { return refused }).got(t, "", refused)
		if state := first.state(); state != 11 {
			t.Errorf("the state is %d, want none of the refused caller's", state)
		}
		first.land("")
		second.land("two")
		if !second.led || admitted != 1 {
			t.Errorf("the second caller is %+v, admitted %d times", second, admitted)
		}
	})
}

func TestGroup_JoinLeaveForget(t *testing.T) {
	g := flight.New[string, int, string]()
	if g.Follow("k", nil) != nil {
		t.Error("a caller follows no flight")
	}
	if f, leads := g.Join("k", func(*int, bool) bool { return false }); f != nil || leads || g.Len() != 0 {
		t.Errorf("a caller that does not enter got %v, leads %v", f, leads)
	}
	f, leads := g.Join("k", func(state *int, first bool) bool { *state++; return first })
	if f == nil || !leads {
		t.Fatalf("the first caller got %v, leads %v", f, leads)
	}
	if other, leads := g.Join("k", nil); other != f || leads {
		t.Errorf("the second caller got %v, leads %v", other, leads)
	}
	if g.Follow("k", func(*int) bool { return false }) != nil || g.Follow("k", nil) != f || g.State("k", f) != 1 {
		t.Error("callers that follow get something else")
	}
	first, second := g.Leave("k", f), g.Leave("k", f)
	if first || second {
		t.Error("a caller is the last one while others wait")
	}
	if !g.Leave("k", f) || g.Len() != 0 {
		t.Error("the last caller left, and the flight can still be joined")
	}
	next, leads := g.Join("k", nil)
	if next == f || !leads {
		t.Error("a caller joins a flight that the last one left")
	}
	g.Land("k", f, "late")
	if other := g.Follow("k", nil); other != next {
		t.Error("an earlier flight that landed took the next one with it")
	}
	g.Forget("k")
	if g.Follow("k", nil) != nil {
		t.Error("a forgotten flight can still be joined")
	}
	g.Land("k", next, "two")
	<-next.Done()
	if result, landed := next.Result(); result != "two" || !landed {
		t.Errorf("the flight landed %v with %q", landed, result)
	}
}

// TestDo_OneLeadsAtATime has many callers of few keys.
func TestDo_OneLeadsAtATime(t *testing.T) {
	g := flight.New[int, int, int]()
	var leaders [4]int // written by one leader of the key at a time: the race detector checks that
	var all sync.WaitGroup
	for i := range 400 {
		all.Go(func() {
			key := i % len(leaders)
			_, _, err := g.Do(t.Context(), key, flight.Call[int, int]{
				Enter:  func(state *int, _ bool) { *state++ },
				Lead:   func(func() int) int { leaders[key]++; return leaders[key] },
				Accept: func(n int) bool { return n%3 > 0 },
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if g.Len() != 0 {
		t.Errorf("%d flights are left", g.Len())
	}
}
