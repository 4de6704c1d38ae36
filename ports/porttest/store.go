package porttest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports"
)

// Store is a key space with its ports.
type Store interface {
	ports.KeyValues
	ports.Counters
	ports.Sets
}

// Stored tests values, counters and sets of one key space. open may return the same space for every subtest. pass lets time pass by the store's
// clock. overflows reports whether the store detects counters that would overflow.
func Stored(t *testing.T, open func(t *testing.T) Store, pass func(time.Duration), overflows bool) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s store)
	}{
		{"values", testValues},
		{"values end", func(_ *testing.T, s store) { testValuesEnd(s, pass) }},
		{"counters", func(_ *testing.T, s store) { testCounters(s, overflows) }},
		{"a window is fixed from the first count", func(_ *testing.T, s store) { testWindow(s, pass) }},
		{"no counter is left without an end", func(_ *testing.T, s store) { testNoEndlessCounter(s, pass) }},
		{"counters count everyone", testCountTogether},
		{"sets", testSets},
		{"other kinds", testOtherKinds},
		{"patterns", testPatterns},
		{"a pattern over many keys", testManyKeys},
		{"bad input", testBadInput},
		{"an ended context does nothing", testStoreEnded},
		{"random calls", testStoreRandom},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, store{t, open(t)}) })
	}
}

type store struct {
	t tb
	Store
}

// fresh returns a key prefix that no other test uses.
func fresh() string { return "space:" + string(NewChatID()) + ":" }

func (s store) set(key, value string, ttl time.Duration) {
	s.t.Helper()
	if err := s.Set(s.t.Context(), key, []byte(value), ttl); err != nil {
		s.t.Fatalf("set %q: %v", key, err)
	}
}

// holds fails unless the key has the value want; "" means that there is none.
func (s store) holds(key, want string) {
	s.t.Helper()
	got, found, err := s.Get(s.t.Context(), key)
	if err != nil || string(got) != want || found != (want != "") {
		s.t.Fatalf("%q holds %q, %v, error %v, want %q", key, got, found, err, want)
	}
}

func (s store) number(what string, got int, err error, want int) {
	s.t.Helper()
	if err != nil || got != want {
		s.t.Fatalf("%s gave %d, error %v, want %d", what, got, err, want)
	}
}

func (s store) counts(want int64) func(int64, error) {
	return func(got int64, err error) {
		s.t.Helper()
		if err != nil || got != want {
			s.t.Fatalf("counted to %d, error %v, want %d", got, err, want)
		}
	}
}

func (s store) members(key string, want ...string) {
	s.t.Helper()
	got, err := s.Members(s.t.Context(), key)
	slices.Sort(got)
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		s.t.Fatalf("%q has the members %q, error %v, want %q", key, got, err, want)
	}
	for _, m := range want {
		if there, err := s.Contains(s.t.Context(), key, m); !there || err != nil {
			s.t.Fatalf("%q contains %q: %v, error %v", key, m, there, err)
		}
	}
}

func testValues(t *testing.T, s store) {
	p := fresh()
	for _, key := range []string{p + "a", p + "a:b", p + "{a}b", p + "*", p + "?[x]", p + `\`, p + " \n\x00\xff", p + "日本", p + strings.Repeat("k", 5000)} {
		s.holds(key, "")
		s.set(key, "one "+key, 0)
		s.holds(key, "one "+key)
		s.set(key, "two\x00\xff", time.Hour)
		s.holds(key, "two\x00\xff")
		n, err := s.Delete(t.Context(), key, key+"absent")
		s.number("delete", n, err, 1)
		s.holds(key, "")
	}
	if value, found, err := s.Get(t.Context(), p+"empty"); found || value != nil || err != nil {
		t.Errorf("a missing value: %q, %v, %v", value, found, err)
	}
	s.set(p+"empty", "", 0)
	if value, found, err := s.Get(t.Context(), p+"empty"); !found || len(value) > 0 || err != nil {
		t.Errorf("an empty value: %q, %v, %v", value, found, err)
	}
	n, err := s.Delete(t.Context())
	s.number("delete of nothing", n, err, 0)
	var many []string
	for i := range 1200 {
		many = append(many, fmt.Sprint(p, i))
		if i%2 == 0 {
			s.set(many[i], "x", 0)
		}
	}
	n, err = s.Delete(t.Context(), many...)
	s.number("delete of many", n, err, 600)
}

func testValuesEnd(s store, pass func(time.Duration)) {
	p := fresh()
	s.set(p+"short", "x", 40*time.Millisecond+time.Nanosecond)
	s.set(p+"long", "x", time.Hour)
	s.set(p+"was short", "x", 40*time.Millisecond)
	s.set(p+"was short", "x", 0)
	pass(40 * time.Millisecond)
	s.holds(p+"short", "")
	s.holds(p+"long", "x")
	s.holds(p+"was short", "x")
	n, err := s.Delete(s.t.Context(), p+"short")
	s.number("delete of an expired value", n, err, 0)
}

func testCounters(s store, overflows bool) {
	ctx, p := s.t.Context(), fresh()
	for i := range int64(3) {
		s.counts(i + 1)(s.Incr(ctx, p+"a"))
		s.counts(i + 1)(s.IncrWithExpiry(ctx, p+"b", time.Hour))
	}
	s.holds(p+"a", "3")
	s.set(p+"a", "-1", 0)
	s.counts(0)(s.Incr(ctx, p+"a"))
	const large = 1<<53 + 1 // not representable as a float64
	s.set(p+"a", fmt.Sprint(large-1), 0)
	s.counts(large)(s.IncrWithExpiry(ctx, p+"a", time.Hour))
	s.counts(large + 1)(s.Incr(ctx, p+"a"))
	if !overflows {
		return
	}
	s.set(p+"a", fmt.Sprint(int64(math.MaxInt64)), 0)
	for name, count := range map[string]func() (int64, error){
		"incr": func() (int64, error) { return s.Incr(ctx, p+"a") }, "with expiry": func() (int64, error) { return s.IncrWithExpiry(ctx, p+"a", time.Hour) },
	} {
		if n, err := count(); !errors.Is(err, ports.ErrOverflow) || n != 0 {
			s.t.Fatalf("%s at the greatest number: %d, %v", name, n, err)
		}
		s.holds(p+"a", fmt.Sprint(int64(math.MaxInt64)))
	}
}

// testWindow counts within a window, which must make it neither longer nor shorter.
func testWindow(s store, pass func(time.Duration)) {
	ctx, key := s.t.Context(), fresh()+"a"
	const window = 2 * time.Second
	s.counts(1)(s.IncrWithExpiry(ctx, key, window))
	pass(window / 2)
	s.counts(2)(s.IncrWithExpiry(ctx, key, time.Hour))
	s.counts(3)(s.Incr(ctx, key))
	pass(window / 2)
	s.counts(1)(s.IncrWithExpiry(ctx, key, window))
}

// testNoEndlessCounter counts on with a counter that has no expiry.
func testNoEndlessCounter(s store, pass func(time.Duration)) {
	ctx, p := s.t.Context(), fresh()
	s.set(p+"set", "7", 0)
	s.counts(1)(s.Incr(ctx, p+"incr"))
	const window = 50 * time.Millisecond
	s.counts(8)(s.IncrWithExpiry(ctx, p+"set", window))
	s.counts(2)(s.IncrWithExpiry(ctx, p+"incr", window))
	pass(window)
	s.holds(p+"set", "")
	s.holds(p+"incr", "")
}

func testCountTogether(t *testing.T, s store) {
	key := fresh() + "a"
	const callers, each = 8, 25
	seen := make([]int64, callers*each)
	var errs [callers]error
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				n, err := s.IncrWithExpiry(t.Context(), key, time.Hour)
				seen[c*each+i], errs[c] = n, errors.Join(errs[c], err)
			}
		})
	}
	wg.Wait()
	slices.Sort(seen)
	for i, n := range seen {
		if n != int64(i+1) {
			t.Fatalf("the counts were %d, errors %v", seen, errs)
		}
	}
}

func testSets(t *testing.T, s store) {
	ctx, p := t.Context(), fresh()
	s.members(p + "a")
	n, err := s.Add(ctx, p+"a")
	s.number("add of nothing", n, err, 0)
	n, err = s.Add(ctx, p+"a", "x", "y", "x", "", "z\x00\xff *")
	s.number("add", n, err, 4)
	n, err = s.Add(ctx, p+"a", "y", "w")
	s.number("add again", n, err, 1)
	s.members(p+"a", "", "w", "x", "y", "z\x00\xff *")
	n, err = s.Remove(ctx, p+"a", "x", "x", "absent")
	s.number("remove", n, err, 1)
	s.members(p+"a", "", "w", "y", "z\x00\xff *")
	if there, err := s.Contains(ctx, p+"a", "x"); there || err != nil {
		t.Errorf("a removed member is there: %v, %v", there, err)
	}
	n, err = s.Remove(ctx, p+"a", "", "w", "y", "z\x00\xff *")
	s.number("remove of all", n, err, 4)
	s.counts(1)(s.Incr(ctx, p+"a")) // an empty set does not exist
	n, err = s.Remove(ctx, p+"absent", "x")
	s.number("remove of nothing", n, err, 0)
	many := make([]string, 3000)
	for i := range many {
		many[i] = fmt.Sprint("device-", i)
	}
	n, err = s.Add(ctx, p+"many", many...)
	s.number("add of many", n, err, len(many))
	s.members(p+"many", many...)
}

// testOtherKinds calls every method on keys of other kinds.
func testOtherKinds(t *testing.T, s store) {
	ctx, p := t.Context(), fresh()
	s.set(p+"text", "hello", time.Hour)
	if _, err := s.Add(ctx, p+"set", "m"); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"get":           func() error { _, _, err := s.Get(ctx, p+"set"); return err },
		"incr":          func() error { _, err := s.Incr(ctx, p+"set"); return err },
		"with expiry":   func() error { _, err := s.IncrWithExpiry(ctx, p+"set", time.Hour); return err },
		"incr text":     func() error { _, err := s.Incr(ctx, p+"text"); return err },
		"expiring text": func() error { _, err := s.IncrWithExpiry(ctx, p+"text", time.Hour); return err },
		"add":           func() error { _, err := s.Add(ctx, p+"text", "m"); return err },
		"remove":        func() error { _, err := s.Remove(ctx, p+"text", "m"); return err },
		"members":       func() error { _, err := s.Members(ctx, p+"text"); return err },
		"contains":      func() error { _, err := s.Contains(ctx, p+"text", "m"); return err },
	} {
		var e *ports.ForeignValueError
		if err := call(); !errors.Is(err, ports.ErrForeignValue) || !errors.As(err, &e) || !strings.Contains(e.Key, p) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.holds(p+"text", "hello")
	s.members(p+"set", "m")
	s.set(p+"set", "text now", 0)
	s.holds(p+"set", "text now")
}

func testPatterns(t *testing.T, s store) {
	ctx := t.Context()
	for _, test := range []struct {
		pattern  string
		hit, not []string
	}{
		{"a:*", []string{"a:", "a:b", "a:b:c", "a:*"}, []string{"a", "b:a:", "A:x"}},
		{"a:?", []string{"a:b", "a:?"}, []string{"a:", "a:bc"}},
		{"a:[b-d]x", []string{"a:bx", "a:cx", "a:dx"}, []string{"a:ax", "a:x", "a:-x"}},
		{"a:[^b]x", []string{"a:ax", "a:^x"}, []string{"a:bx"}},
		{`a:\*`, []string{"a:*"}, []string{"a:b", `a:\*`}},
		{`a:\[*`, []string{"a:[", "a:[x"}, []string{"a:x"}},
		{"a:*:z", []string{"a::z", "a:b:z", "a:b:z:z"}, []string{"a:z", "a:b:z:"}},
		{"a", []string{"a"}, []string{"a:", "b", "ab"}},
		{"a:日*", []string{"a:日", "a:日本"}, []string{"a:本"}},
		{"a:%2A:*", []string{"a:%2A:x"}, []string{"a:*:x", "a:b:x"}},
	} {
		p := fresh()
		for _, key := range append(test.hit, test.not...) {
			s.set(p+key, "x", 0)
		}
		if _, err := s.Add(ctx, p+test.hit[0]+"x:set", "m"); err != nil { // it is no text either
			t.Fatal(err)
		}
		n, err := s.DeletePattern(ctx, p+test.pattern)
		if err != nil || n < len(test.hit) || n > len(test.hit)+1 {
			t.Errorf("%q removed %d, error %v, want %d", test.pattern, n, err, len(test.hit))
		}
		for _, key := range test.hit {
			s.holds(p+key, "")
		}
		for _, key := range test.not {
			s.holds(p+key, "x")
		}
	}
}

func testManyKeys(t *testing.T, s store) {
	p := fresh()
	const n = 2000
	var wg sync.WaitGroup
	for part := range 8 {
		wg.Go(func() {
			for i := part; i < n; i += 8 {
				if err := s.Set(t.Context(), fmt.Sprint(p, "go:", i), []byte("x"), 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s.set(p+"stay:1", "x", 0)
	removed, err := s.DeletePattern(t.Context(), p+"go:*")
	s.number("delete by pattern", removed, err, n)
	s.holds(p+"stay:1", "x")
	removed, err = s.DeletePattern(t.Context(), p+"go:*")
	s.number("delete by pattern again", removed, err, 0)
}

func testBadInput(t *testing.T, s store) {
	ctx, key := t.Context(), fresh()+"a"
	calls := map[string]func() error{
		"get":            func() error { _, _, err := s.Get(ctx, ""); return err },
		"set":            func() error { return s.Set(ctx, "", nil, 0) },
		"delete":         func() error { _, err := s.Delete(ctx, key, ""); return err },
		"incr":           func() error { _, err := s.Incr(ctx, ""); return err },
		"with expiry":    func() error { _, err := s.IncrWithExpiry(ctx, "", time.Hour); return err },
		"add":            func() error { _, err := s.Add(ctx, "", "m"); return err },
		"remove":         func() error { _, err := s.Remove(ctx, "", "m"); return err },
		"members":        func() error { _, err := s.Members(ctx, ""); return err },
		"contains":       func() error { _, err := s.Contains(ctx, "", "m"); return err },
		"no window":      func() error { _, err := s.IncrWithExpiry(ctx, key, 0); return err },
		"pattern ":       func() error { _, err := s.DeletePattern(ctx, ""); return err },
		"pattern *":      func() error { _, err := s.DeletePattern(ctx, "*"); return err },
		"pattern **":     func() error { _, err := s.DeletePattern(ctx, "**"); return err },
		"pattern ?*":     func() error { _, err := s.DeletePattern(ctx, "?*"); return err },
		"pattern [^x]*":  func() error { _, err := s.DeletePattern(ctx, "[^x]*"); return err },
		"pattern \\":     func() error { _, err := s.DeletePattern(ctx, `\`); return err },
		"pattern *:done": func() error { _, err := s.DeletePattern(ctx, "*:done"); return err },
	}
	for _, ttl := range []time.Duration{-1, -time.Hour, 1, time.Millisecond - 1, math.MinInt64} {
		calls["set for "+ttl.String()] = func() error { return s.Set(ctx, key, []byte("y"), ttl) }
		calls["window of "+ttl.String()] = func() error { _, err := s.IncrWithExpiry(ctx, key, ttl); return err }
	}
	s.set(key, "x", 0)
	for name, call := range calls {
		var invalid *domain.InvalidError
		if err := call(); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		}
		s.holds(key, "x")
	}
	s.set(key, "for long", math.MaxInt64)
	s.holds(key, "for long")
}

func testStoreEnded(t *testing.T, s store) {
	p := fresh()
	s.set(p+"a", "1", 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"get":         func() error { _, _, err := s.Get(ctx, p+"a"); return err },
		"set":         func() error { return s.Set(ctx, p+"a", []byte("2"), 0) },
		"delete":      func() error { _, err := s.Delete(ctx, p+"a"); return err },
		"pattern":     func() error { _, err := s.DeletePattern(ctx, p+"*"); return err },
		"incr":        func() error { _, err := s.Incr(ctx, p+"a"); return err },
		"with expiry": func() error { _, err := s.IncrWithExpiry(ctx, p+"a", time.Hour); return err },
		"add":         func() error { _, err := s.Add(ctx, p+"b", "m"); return err },
		"members":     func() error { _, err := s.Members(ctx, p+"b"); return err },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.holds(p+"a", "1")
	s.members(p + "b")
}

// testStoreRandom compares random calls with a map.
func testStoreRandom(t *testing.T, s store) {
	rapid.Check(t, func(rt *rapid.T) {
		s, p := store{rt, s.Store}, fresh()
		texts, sets := make(map[string]string), make(map[string]map[string]bool)
		for range rapid.IntRange(1, 25).Draw(rt, "calls") {
			key := p + rapid.SampledFrom([]string{"a", "b:1", "b:2"}).Draw(rt, "key")
			member := rapid.SampledFrom([]string{"m", "n"}).Draw(rt, "member")
			_, text := texts[key]
			switch rapid.IntRange(0, 5).Draw(rt, "call") {
			case 0:
				texts[key] = fmt.Sprint(rapid.IntRange(-2, 9).Draw(rt, "value"))
				delete(sets, key)
				s.set(key, texts[key], 0)
			case 1:
				n, err := s.Incr(rt.Context(), key)
				if sets[key] != nil {
					if !errors.Is(err, ports.ErrForeignValue) {
						rt.Fatalf("incr of a set: %v", err)
					}
					continue
				}
				var before int64
				_, _ = fmt.Sscan(texts[key], &before)
				s.counts(before+1)(n, err)
				texts[key] = fmt.Sprint(n)
			case 2, 3:
				added, err := s.Add(rt.Context(), key, member)
				if text {
					if !errors.Is(err, ports.ErrForeignValue) {
						rt.Fatalf("add to a text: %v", err)
					}
					continue
				}
				if sets[key] == nil {
					sets[key] = make(map[string]bool)
				}
				want := 1
				if sets[key][member] {
					want = 0
				}
				s.number("add", added, err, want)
				sets[key][member] = true
			case 4:
				removed, err := s.Remove(rt.Context(), key, member)
				if text {
					continue
				}
				want := 0
				if sets[key][member] {
					want = 1
				}
				s.number("remove", removed, err, want)
				if delete(sets[key], member); len(sets[key]) == 0 {
					delete(sets, key)
				}
			case 5:
				want := 0
				for _, k := range []string{p + "b:1", p + "b:2"} {
					if _, there := texts[k]; there || sets[k] != nil {
						want++
					}
					delete(texts, k)
					delete(sets, k)
				}
				n, err := s.DeletePattern(rt.Context(), p+"b:*")
				s.number("delete by pattern", n, err, want)
			}
		}
		for _, name := range []string{"a", "b:1", "b:2"} {
			key := p + name
			if set := sets[key]; set != nil {
				var want []string
				for m := range set {
					want = append(want, m)
				}
				s.members(key, want...)
				continue
			}
			s.holds(key, texts[key])
		}
	})
}
