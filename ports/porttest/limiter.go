package porttest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports"
)

// Limiter tests a limiter. open may return the same one for every subtest. forward lets the given time pass for the limiter; up to half a minute more
// may pass by itself.
func Limiter(t *testing.T, open func(t *testing.T) (l ports.Limiter, forward func(time.Duration))) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, l limiter)
	}{
		{"the rate is the most that is allowed", testLimit},
		{"the whole rate is available after a window", testLimitWindow},
		{"GCRA replenishes one at a time", testGCRA},
		{"names are independent", testLimitsApart},
		{"concurrent calls do not exceed the rate", testLimitConcurrent},
		{"bad input is refused", testLimitInput},
		{"an ended context takes nothing", testLimitEnded},
		{"random calls", testLimitRandom},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, forward := open(t)
			test.run(t, limiter{t, l, forward})
		})
	}
}

// LimitsTogether tests a limiter that takes from several limits in one step. forward is as in [Limiter].
func LimitsTogether(t *testing.T, l ports.Limiter, forward func(time.Duration)) {
	t.Run("none if one refuses", func(t *testing.T) { testLimitsTogether(t, l) })
	t.Run("random calls", func(t *testing.T) { testLimitsRandom(t, limiter{t, l, forward}) })
	t.Run("concurrent calls do not exceed the rate", func(t *testing.T) { testLimitsConcurrent(t, l) })
	t.Run("bad input is refused", func(t *testing.T) {
		for what, takes := range map[string][]ports.Take{"nothing": nil, "one bad": {{Limit: inWindow(), N: 1, Name: []string{"a"}}, {Limit: inWindow(), N: 4, Name: []string{"b"}}}} {
			if d, err := l.AllowAll(t.Context(), takes...); !errors.Is(err, domain.ErrInvalid) || d != nil {
				t.Errorf("%s: %+v, error %v", what, d, err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if d, err := l.AllowAll(ctx, ports.Take{Limit: inWindow(), N: 1, Name: []string{"a"}}); !errors.Is(err, context.Canceled) || d != nil {
			t.Errorf("ended: %+v, error %v", d, err)
		}
	})
}

func allAllowed(decisions []ports.Decision, of int) bool {
	return len(decisions) == of && decisions[of-1].Allowed
}

func testLimitsTogether(t *testing.T, l ports.Limiter) {
	for _, pair := range [][2]ports.Limit{{inWindow(), inWindow()}, {inWindow(), inGCRA()}, {inGCRA(), inWindow()}, {inGCRA(), inGCRA()}} {
		for full := range 2 {
			var names [2][]string
			takes := make([]ports.Take, 2)
			for i := range takes {
				names[i] = []string{string(NewChatID()), "x"}
				takes[i] = ports.Take{Limit: pair[i], N: 1, Name: names[i]}
			}
			if d, err := l.AllowAll(t.Context(), takes...); err != nil || !allAllowed(d, 2) || d[0].Remaining != 2 || d[1].Remaining != 2 {
				t.Fatalf("the first: %+v, error %v", d, err)
			}
			if _, err := l.Allow(t.Context(), pair[full], 2, names[full]...); err != nil {
				t.Fatal(err)
			}
			d, err := l.AllowAll(t.Context(), takes...)
			if err != nil || len(d) != full+1 || d[full].Allowed || d[full].RetryAfter <= 0 {
				t.Fatalf("beyond limit %d of %+v: %+v, error %v", full, pair, d, err)
			}
			if d, err := l.Allow(t.Context(), pair[1-full], 0, names[1-full]...); err != nil || d.Remaining != 2 {
				t.Errorf("limit %d of %+v refused, and the other has %+v, error %v", full, pair, d, err)
			}
		}
	}
}

func testLimitsConcurrent(t *testing.T, l ports.Limiter) {
	user, chats := string(NewChatID()), []string{"a", "b", "c"}
	var wg sync.WaitGroup
	var allowed [64]bool
	for i := range allowed {
		wg.Go(func() {
			d, err := l.AllowAll(
				t.Context(), ports.Take{Limit: ports.Limit{Rate: 7, Per: time.Hour}, N: 1, Name: []string{user}},
				ports.Take{Limit: inGCRA(), N: 1, Name: []string{user, chats[i%3]}},
			)
			if err != nil {
				t.Error(err)
			}
			allowed[i] = allAllowed(d, 2)
		})
	}
	wg.Wait()
	per := map[string]int{}
	for i, ok := range allowed {
		if ok {
			per[chats[i%3]]++
		}
	}
	if n := per["a"] + per["b"] + per["c"]; n != 7 || per["a"] > 3 || per["b"] > 3 || per["c"] > 3 {
		t.Errorf("allowed %v", per)
	}
}

// testLimitsRandom compares with one model for each limit. If one limit refuses, no other may be taken from.
func testLimitsRandom(t *testing.T, l limiter) {
	rapid.Check(t, func(rt *rapid.T) {
		models := make([]counted, rapid.IntRange(1, 3).Draw(rt, "limits"))
		names := make([]string, len(models))
		for i := range models {
			names[i] = string(NewChatID())
			models[i].limit = ports.Limit{Rate: rapid.SampledFrom([]int{1, 2, 3, 5, 6}).Draw(rt, "rate"), Per: time.Hour}
			if rapid.Bool().Draw(rt, "gcra") {
				models[i].limit.Algorithm, models[i].limit.Burst = ports.GCRA, rapid.IntRange(0, 4).Draw(rt, "burst")
			}
		}
		for range rapid.IntRange(1, 15).Draw(rt, "steps") {
			step := time.Duration(rapid.SampledFrom([]int{0, 0, 1, 9, 13, 31, 61}).Draw(rt, "minutes")) * time.Minute
			l.forward(step)
			after, takes, want := make([]counted, len(models)), make([]ports.Take, len(models)), len(models)
			for i := range models {
				models[i].now += step
				after[i] = models[i]
				takes[i] = ports.Take{Limit: models[i].limit, N: min(rapid.IntRange(0, 3).Draw(rt, "n"), models[i].limit.Capacity()), Name: []string{names[i]}}
				if want == len(models) && !after[i].allow(takes[i].N).Allowed {
					want = i
				}
			}
			got, err := l.AllowAll(rt.Context(), takes...)
			if err != nil || len(got) != min(want+1, len(models)) || allAllowed(got, len(models)) != (want == len(models)) {
				rt.Fatalf("%+v gave %+v, error %v; refused should be %d", takes, got, err, want)
			}
			if want == len(models) {
				copy(models, after)
			}
			for i := range models {
				limiter{rt, l.Limiter, l.forward}.expect(models[i].limit, 0, names[i], models[i].allow(0))
			}
		}
	})
}

type limiter struct {
	t tb
	ports.Limiter
	forward func(time.Duration)
}

func inWindow() ports.Limit { return ports.Limit{Rate: 3, Per: time.Hour} }

func inGCRA() ports.Limit {
	return ports.Limit{Algorithm: ports.GCRA, Rate: 6, Per: time.Hour, Burst: 3}
}

// late is the most time that may have passed by itself.
const late = 30 * time.Second

func (l limiter) expect(limit ports.Limit, n int, name string, want ports.Decision) {
	l.t.Helper()
	got, err := l.Allow(l.t.Context(), limit, n, name)
	if err != nil {
		l.t.Fatalf("%d of %+v: %v", n, limit, err)
	}
	near := func(got, want time.Duration) bool { return got <= want+time.Millisecond && got > want-late && got >= 0 }
	if got.Allowed != want.Allowed || got.Remaining != want.Remaining || !near(got.RetryAfter, want.RetryAfter) || !near(got.ResetAfter, want.ResetAfter) {
		l.t.Fatalf("%d of %+v gave %+v, want %+v", n, limit, got, want)
	}
	if !got.Allowed && got.RetryAfter <= 0 {
		l.t.Fatalf("%d of %+v is refused and could be tried again at once: %+v", n, limit, got)
	}
}

func testLimit(_ *testing.T, l limiter) {
	for _, limit := range []ports.Limit{inWindow(), inGCRA()} {
		name, reset := string(NewChatID()), func(taken int) time.Duration {
			if limit.Algorithm == ports.GCRA {
				return time.Duration(taken) * 10 * time.Minute
			}
			return time.Hour
		}
		l.expect(limit, 0, name, ports.Decision{Allowed: true, Remaining: 3})
		l.expect(limit, 1, name, ports.Decision{Allowed: true, Remaining: 2, ResetAfter: reset(1)})
		retry := time.Hour
		if limit.Algorithm == ports.GCRA {
			retry = 10 * time.Minute
		}
		l.expect(limit, 3, name, ports.Decision{Remaining: 2, RetryAfter: retry, ResetAfter: reset(1)}) // takes nothing
		l.expect(limit, 2, name, ports.Decision{Allowed: true, ResetAfter: reset(3)})
		l.expect(limit, 0, name, ports.Decision{Allowed: true, ResetAfter: reset(3)})
		for range 3 {
			l.expect(limit, 1, name, ports.Decision{RetryAfter: retry, ResetAfter: reset(3)})
		}
	}
}

func testLimitWindow(_ *testing.T, l limiter) {
	name := string(NewChatID())
	l.expect(inWindow(), 2, name, ports.Decision{Allowed: true, Remaining: 1, ResetAfter: time.Hour})
	l.forward(50 * time.Minute)
	l.expect(inWindow(), 1, name, ports.Decision{Allowed: true, ResetAfter: 10 * time.Minute})
	l.expect(inWindow(), 1, name, ports.Decision{RetryAfter: 10 * time.Minute, ResetAfter: 10 * time.Minute})
	l.forward(9 * time.Minute)
	l.expect(inWindow(), 1, name, ports.Decision{RetryAfter: time.Minute, ResetAfter: time.Minute})
	l.forward(time.Minute)
	l.expect(inWindow(), 3, name, ports.Decision{Allowed: true, ResetAfter: time.Hour})
	smaller := ports.Limit{Rate: 2, Per: time.Minute} // the count is above it, and the window longer
	l.expect(smaller, 1, name, ports.Decision{RetryAfter: time.Minute, ResetAfter: time.Minute})
	l.forward(time.Minute)
	l.expect(smaller, 1, name, ports.Decision{Allowed: true, Remaining: 1, ResetAfter: time.Minute})
}

func testGCRA(_ *testing.T, l limiter) {
	name := string(NewChatID())
	l.expect(inGCRA(), 3, name, ports.Decision{Allowed: true, ResetAfter: 30 * time.Minute})
	l.forward(9 * time.Minute)
	l.expect(inGCRA(), 1, name, ports.Decision{RetryAfter: time.Minute, ResetAfter: 21 * time.Minute})
	l.forward(time.Minute)
	l.expect(inGCRA(), 1, name, ports.Decision{Allowed: true, ResetAfter: 30 * time.Minute})
	l.expect(inGCRA(), 1, name, ports.Decision{RetryAfter: 10 * time.Minute, ResetAfter: 30 * time.Minute})
	l.forward(20 * time.Minute)
	l.expect(inGCRA(), 2, name, ports.Decision{Allowed: true, ResetAfter: 30 * time.Minute})
	l.forward(48 * time.Hour) // a pause gives no more than the burst
	l.expect(inGCRA(), 3, name, ports.Decision{Allowed: true, ResetAfter: 30 * time.Minute})
	l.expect(inGCRA(), 1, name, ports.Decision{RetryAfter: 10 * time.Minute, ResetAfter: 30 * time.Minute})

	smaller := inGCRA() // the larger limit took more than this one has
	smaller.Rate, smaller.Burst = 60, 1
	l.expect(smaller, 1, name, ports.Decision{Allowed: true, ResetAfter: time.Minute})
	l.expect(smaller, 1, name, ports.Decision{RetryAfter: time.Minute, ResetAfter: time.Minute})
}

func testLimitsApart(t *testing.T, l limiter) {
	base := string(NewChatID())
	names := [][]string{{base}, {base, "a"}, {base + ":a"}, {base, "a", "b"}, {base, "a:b"}, {base + "\x00a"}, {base, "a\x00b"}, {base + "\xff"}, {base + "%FF"}, {base, strings.Repeat("x", ports.MaxNamePart)}}
	for _, odd := range oddIDs() {
		names = append(names, []string{base, "odd", odd}, []string{odd, base})
	}
	once := []ports.Limit{{Rate: 1, Per: time.Hour}, {Algorithm: ports.GCRA, Rate: 1, Per: time.Hour}}
	for _, want := range []bool{true, false} {
		for _, name := range names {
			for _, limit := range once {
				if got, err := l.Allow(t.Context(), limit, 1, name...); err != nil || got.Allowed != want {
					t.Errorf("%q is allowed: %v, error %v, want %v", name, got.Allowed, err, want)
				}
			}
		}
	}
}

func testLimitConcurrent(t *testing.T, l limiter) {
	for _, limit := range []ports.Limit{{Rate: 10, Per: time.Hour}, {Algorithm: ports.GCRA, Rate: 10, Per: time.Hour}} {
		name := string(NewChatID())
		var allowed [64]bool
		var errs [64]error
		var wg sync.WaitGroup
		for i := range allowed {
			wg.Go(func() {
				var d ports.Decision
				d, errs[i] = l.Allow(t.Context(), limit, 1, name)
				allowed[i] = d.Allowed
			})
		}
		wg.Wait()
		n := 0
		for i := range allowed {
			if errs[i] != nil {
				t.Error(errs[i])
			}
			if allowed[i] {
				n++
			}
		}
		if n != 10 {
			t.Errorf("%+v allowed %d", limit, n)
		}
	}
}

func testLimitInput(t *testing.T, l limiter) {
	gcra := func(rate int, per time.Duration, burst int) ports.Limit {
		return ports.Limit{Algorithm: ports.GCRA, Rate: rate, Per: per, Burst: burst}
	}
	for what, call := range map[string]struct {
		limit ports.Limit
		n     int
		name  []string
	}{
		"the zero limit":           {ports.Limit{}, 0, []string{"a"}},
		"no rate":                  {ports.Limit{Per: time.Second}, 0, []string{"a"}},
		"a negative rate":          {ports.Limit{Rate: -1, Per: time.Second}, 0, []string{"a"}},
		"a period below 1 ms":      {ports.Limit{Rate: 1, Per: time.Millisecond - 1}, 0, []string{"a"}},
		"a negative period":        {gcra(1, -time.Second, 0), 0, []string{"a"}},
		"a period beyond all":      {ports.Limit{Rate: 1, Per: 1<<63 - 1}, 0, []string{"a"}},
		"a burst in a window":      {ports.Limit{Rate: 1, Per: time.Second, Burst: 1}, 0, []string{"a"}},
		"a negative burst":         {gcra(1, time.Second, -1), 0, []string{"a"}},
		"a burst of years":         {gcra(1, 24*time.Hour, 1000), 0, []string{"a"}},
		"more than one in 1 µs":    {gcra(10_000_000, time.Second, 0), 0, []string{"a"}},
		"an unknown algorithm":     {ports.Limit{Algorithm: 2, Rate: 1, Per: time.Second}, 0, []string{"a"}},
		"a negative n":             {inWindow(), -1, []string{"a"}},
		"an n that is never there": {inWindow(), 4, []string{"a"}},
		"an n beyond the burst":    {inGCRA(), 4, []string{"a"}},
		"no name":                  {inWindow(), 1, nil},
		"an empty part":            {inWindow(), 1, []string{"a", ""}},
		"a part that is too long":  {inWindow(), 1, []string{strings.Repeat("x", ports.MaxNamePart+1)}},
		"a name of too many parts": {inWindow(), 1, []string{"a", "b", "c", "d", "e"}},
	} {
		if d, err := l.Allow(t.Context(), call.limit, call.n, call.name...); !errors.Is(err, domain.ErrInvalid) || d.Allowed {
			t.Errorf("%s: %+v, error %v", what, d, err)
		}
	}
}

func testLimitEnded(t *testing.T, l limiter) {
	for _, limit := range []ports.Limit{inWindow(), inGCRA()} {
		name := string(NewChatID())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if d, err := l.Allow(ctx, limit, 1, name); !errors.Is(err, context.Canceled) || d.Allowed {
			t.Errorf("%+v, error %v", d, err)
		}
		l.expect(limit, 0, name, ports.Decision{Allowed: true, Remaining: 3})
	}
}

// counted is the model of a limit. Time only passes between its steps. All times are whole minutes.
type counted struct {
	limit ports.Limit
	now   time.Duration
	count int
	until time.Duration // end of the window, or the time when everything is available again
}

func (m *counted) allow(n int) ports.Decision {
	if m.until <= m.now {
		m.count, m.until = 0, m.now
	}
	left := m.until - m.now
	if m.limit.Algorithm == ports.FixedWindow {
		if n > 0 && m.count+n > m.limit.Rate {
			return ports.Decision{Remaining: m.limit.Rate - m.count, RetryAfter: left, ResetAfter: left}
		}
		if m.count == 0 && n > 0 {
			left = m.limit.Per
		}
		m.count, m.until = m.count+n, m.now+left
		return ports.Decision{Allowed: true, Remaining: m.limit.Rate - m.count, ResetAfter: left}
	}
	interval := m.limit.Per / time.Duration(m.limit.Rate)
	full := interval * time.Duration(m.limit.Capacity())
	after := left + interval*time.Duration(n)
	if after > full {
		return ports.Decision{Remaining: int((full - left) / interval), RetryAfter: after - full, ResetAfter: left}
	}
	m.until = m.now + after
	return ports.Decision{Allowed: true, Remaining: int((full - after) / interval), ResetAfter: after}
}

// testLimitRandom takes at, before and after the edges of windows and intervals, because all of them are whole minutes. A refused take stays refused
// until the returned RetryAfter has passed.
func testLimitRandom(t *testing.T, l limiter) {
	rapid.Check(t, func(rt *rapid.T) {
		l := limiter{rt, l.Limiter, l.forward}
		name := string(NewChatID())
		m := counted{limit: ports.Limit{Rate: rapid.SampledFrom([]int{1, 2, 3, 5, 6, 12, 20}).Draw(rt, "rate"), Per: time.Hour}}
		if rapid.Bool().Draw(rt, "gcra") {
			m.limit.Algorithm, m.limit.Burst = ports.GCRA, rapid.IntRange(0, 7).Draw(rt, "burst")
		}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			step := time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3, 5, 10, 12, 29, 30, 59, 60, 61}).Draw(rt, "minutes")) * time.Minute
			m.now += step
			l.forward(step)
			n := min(rapid.IntRange(0, 4).Draw(rt, "n"), m.limit.Capacity())
			want := m.allow(n)
			l.expect(m.limit, n, name, want)
			if !want.Allowed && rapid.Bool().Draw(rt, "wait") {
				l.forward(want.RetryAfter - time.Minute)
				m.now += want.RetryAfter - time.Minute
				l.expect(m.limit, n, name, m.allow(n))
				l.forward(time.Minute)
				m.now += time.Minute
				if got := m.allow(n); !got.Allowed {
					rt.Fatalf("the model refuses %d after %v", n, want.RetryAfter)
				} else {
					l.expect(m.limit, n, name, got)
				}
			}
		}
	})
}
