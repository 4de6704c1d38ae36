package webhook

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TestBreaker_Opens has failures in a row, of one and of several events.
func TestBreaker_Opens(t *testing.T) {
	for name, test := range map[string]struct {
		keys []string
		v    verdict
		want State
	}{
		"of one event":              {[]string{"a", "a", "a", "a", "a", "a", "a"}, failed, Up},
		"of two events":             {[]string{"a", "b", "a", "b", "a"}, failed, Down},
		"of four":                   {[]string{"a", "b", "a", "b"}, failed, Up},
		"without a connection":      {[]string{"a", "a", "a", "a", "a"}, unreachable, Down},
		"four without a connection": {[]string{"a", "a", "a", "a"}, unreachable, Up},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBreaker(8, 1)
			for _, key := range test.keys {
				ticket, _, _ := b.begin(start)
				if counts, _ := b.report(ticket, test.v, key, 0, start); counts != (test.v == failed) {
					t.Errorf("a failure of an endpoint that is up counts: %t", counts)
				}
			}
			if b.state != test.want {
				t.Errorf("the breaker is %v, want %v", b.state, test.want)
			}
		})
	}
}

// TestBreaker_Pauses fails every probe: the pauses double from 1 s to 5 min, each varied by half. Then a probe succeeds, and the concurrency rises.
func TestBreaker_Pauses(t *testing.T) {
	b, now := newBreaker(8, 7), start
	for range maxFailures {
		ticket, _, _ := b.begin(now)
		b.report(ticket, unreachable, "a", 0, now)
	}
	for n := range 14 {
		want := min(firstPause<<n, longestPause)
		if pause := b.until.Sub(now); b.state != Down || b.concurrency() != 0 || pause < want/2 || pause > want*3/2 {
			t.Fatalf("pause %d: %v is %v, want %v varied by half", n, b.state, pause, want)
		}
		if _, wait, ok := b.begin(now); ok || wait != b.until.Sub(now) {
			t.Fatalf("while down a request begins: %t, or waits for %v", ok, wait)
		}
		now = b.until
		ticket, _, ok := b.begin(now)
		if _, _, second := b.begin(now); !ok || second || b.concurrency() != 1 {
			t.Fatalf("the first probe begins: %t, and a second: %t", ok, second)
		}
		if n < 13 {
			if counts, _ := b.report(ticket, failed, "a", 0, now); counts {
				t.Fatal("a failed probe counts as an attempt")
			}
			continue
		}
		b.report(ticket, answered, "a", 0, now)
	}
	for _, want := range []int{2, 3, 4, 5, 6, 7, 8, 8} {
		if b.state != Up || b.concurrency() != want {
			t.Errorf("%v with %d requests, want %d", b.state, b.concurrency(), want)
		}
		ticket, _, _ := b.begin(now)
		b.report(ticket, answered, "a", 0, now)
	}
}

// TestBreaker_AskedPause has an endpoint ask for a pause: no success of a request from before ends it, and it lasts an hour at most.
func TestBreaker_AskedPause(t *testing.T) {
	b := newBreaker(8, 1)
	before, _, _ := b.begin(start)
	asks, _, _ := b.begin(start)
	if counts, wait := b.report(asks, failed, "a", 24*time.Hour, start); !counts || wait != longestAsked || b.state != Down {
		t.Fatalf("%v: counts %t, waits for %v", b.state, counts, wait)
	}
	b.report(before, answered, "b", 0, start)
	if b.state != Down || b.until != start.Add(longestAsked) {
		t.Fatalf("a success from before has made it %v until %v", b.state, b.until)
	}
	b.advance(b.until)
	b.report(before, answered, "b", 0, b.until)
	if b.state != Probing {
		t.Fatalf("a success from before has made it %v", b.state)
	}
	probe, _, ok := b.begin(b.until)
	b.report(probe, answered, "a", 0, b.until)
	if !ok || b.state != Up {
		t.Fatalf("after a probe it is %v", b.state)
	}
}

// TestBreaker_Abandoned abandons a probe: the next request is one.
func TestBreaker_Abandoned(t *testing.T) {
	b := newBreaker(8, 1)
	b.open(start, time.Second)
	b.advance(b.until)
	probe, _, _ := b.begin(b.until)
	b.abandon(probe)
	if _, _, ok := b.begin(b.until); !ok {
		t.Error("no other probe begins")
	}
}

// TestBreaker_Random runs an endpoint that is up or down, with events of which some always fail, against the breaker and a model of the queue of ready events:
// requests begin only as the state allows, a failure while the endpoint is not up costs no attempt, and once the endpoint is up the events that it takes arrive
// after at most one probe more than there are events that fail.
func TestBreaker_Random(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		full := rapid.IntRange(1, 16).Draw(t, "full")
		b, now := newBreaker(full, rapid.Uint64().Draw(t, "seed")), start
		type request struct {
			ticket ticket
			key    string
		}
		var flying []request
		poisons := rapid.IntRange(0, 5).Draw(t, "poisons")
		up := true
		good := false // since the last failure
		result := func(key string) verdict {
			if key[0] == 'p' && up {
				return failed
			}
			if !up {
				return rapid.SampledFrom([]verdict{failed, unreachable}).Draw(t, "verdict")
			}
			return answered
		}
		keys := make([]string, 0, 20)
		for i := range poisons {
			keys = append(keys, fmt.Sprint("p", i))
		}
		for i := range 10 {
			keys = append(keys, fmt.Sprint("e", i))
		}
		begin := func(key string) bool {
			before := b.state
			ticket, wait, ok := b.begin(now)
			switch {
			case ok && b.state == Down, !ok && b.state == Up, ok && b.state == Probing && !b.probe:
				t.Fatalf("%v (before %v): begins %t", b.state, before, ok)
			case !ok && wait <= 0:
				t.Fatalf("an event waits for %v", wait)
			case ok:
				flying = append(flying, request{ticket, key})
			}
			return ok
		}
		finish := func(i int) verdict {
			r := flying[i]
			flying = slices.Delete(flying, i, i+1)
			v := result(r.key)
			b.advance(now)
			before, current, since := b.state, r.ticket.epoch == b.epoch, b.since
			ask := time.Duration(0)
			if v == failed && rapid.IntRange(0, 9).Draw(t, "asks") == 0 {
				ask = time.Duration(rapid.IntRange(1, 10_000).Draw(t, "ask")) * time.Second
			}
			counts, wait := b.report(r.ticket, v, r.key, ask, now)
			late := !since.IsZero() && now.Sub(since) >= patience
			if v != answered && counts != (v == failed && (before == Up && current || late)) {
				t.Fatalf("%v, current %t: a failure %v counts: %t", before, current, v, counts)
			}
			if v != answered && wait < 0 || b.state == Down && b.until.Sub(now) > max(longestAsked, longestPause*3/2) {
				t.Fatalf("waits for %v, down until %v", wait, b.until.Sub(now))
			}
			good = v == answered
			return v
		}
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) { begin(rapid.SampledFrom(keys).Draw(t, "key")) },
			"finish": func(t *rapid.T) {
				if len(flying) > 0 {
					finish(rapid.IntRange(0, len(flying)-1).Draw(t, "request"))
				}
			},
			"pass": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 600_000).Draw(t, "ms")) * time.Millisecond)
				b.advance(now)
			},
			"switch": func(*rapid.T) { up = !up },
			"": func(t *rapid.T) {
				n := b.concurrency()
				if n < 0 || n > full || b.state == Down && n != 0 || b.state == Probing && n != 1 || b.state == Up && n == 0 {
					t.Fatalf("%v allows %d requests", b.state, n)
				}
				if good && b.failures != 0 {
					t.Fatalf("after a success there are %d failures in a row", b.failures)
				}
			},
		})
		up = true
		for len(flying) > 0 {
			finish(0)
		}
		queue := slices.Clone(keys)
		for probes := 0; b.state != Up; {
			if b.state == Down {
				now = b.until
			}
			key := queue[0]
			queue = append(queue[1:], key)
			if !begin(key) {
				t.Fatal("no probe begins after the pause")
			}
			finish(0)
			if probes++; probes > poisons+1 {
				t.Fatalf("after %d probes the breaker is %v, with %d events that fail", probes, b.state, poisons)
			}
		}
	})
}
