package eventlog

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

// clockSample is the reply to one TIME.
type clockSample struct {
	after time.Duration // time of sending, since the first sample
	trip  time.Duration
	shift time.Duration // lead of the server's clock over the process's, in the middle of the round trip
}

// TestClock_Samples observes samples of a clock, and compares the log's clock right after the last one and later.
func TestClock_Samples(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		samples []clockSample
		shift   time.Duration // of the log's clock right after the last sample
		later   time.Duration // and after another minute
		warns   bool
	}{
		"one sample":                              {samples: []clockSample{{0, 4 * ms, time.Hour}}, shift: time.Hour, later: time.Hour},
		"a shorter trip counts":                   {samples: []clockSample{{0, 100 * ms, 40 * ms}, {time.Second, 2 * ms, 60 * ms}}, shift: 60 * ms, later: 60 * ms},
		"a longer trip that agrees does not":      {samples: []clockSample{{0, 2 * ms, 60 * ms}, {time.Second, 100 * ms, 20 * ms}}, shift: 60 * ms, later: 60 * ms},
		"a longer trip counts once drift matters": {samples: []clockSample{{0, 2 * ms, 0}, {time.Minute, 40 * ms, 30 * ms}}, shift: 30 * ms, later: 30 * ms},
		"a clock set forward is followed":         {samples: []clockSample{{0, 2 * ms, 0}, {time.Second, 200 * ms, time.Hour}}, shift: time.Hour, later: time.Hour},
		"a clock set back a little is approached": {samples: []clockSample{{0, 2 * ms, 0}, {time.Second, 200 * ms, -20 * time.Second}}, shift: 0, later: -20 * time.Second},
		"a clock set back far is followed":        {samples: []clockSample{{0, 2 * ms, 0}, {time.Second, 200 * ms, -time.Hour}}, shift: -time.Hour, later: -time.Hour, warns: true},
		"twice set back a little":                 {samples: []clockSample{{0, 2 * ms, 0}, {time.Second, 2 * ms, -10 * time.Second}, {2 * time.Second, 2 * ms, -20 * time.Second}}, shift: -ms / 2 * 1001, later: -20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			var logged strings.Builder
			clock := newClock(nil, "", slog.New(slog.NewTextHandler(&logged, nil)))
			began := time.Now()
			var at time.Time
			for _, s := range c.samples {
				sent := began.Add(s.after)
				at = sent.Add(s.trip)
				clock.observe(t.Context(), sent, at, sent.Add(s.trip/2+s.shift))
			}
			e := clock.present.Load()
			if got := e.now(at).Sub(at); (got - c.shift).Abs() > 2*ms {
				t.Errorf("the log's clock is shifted by %v, want %v", got, c.shift)
			}
			if got := e.now(at.Add(time.Minute)).Sub(at.Add(time.Minute)); (got - c.later).Abs() > 2*ms {
				t.Errorf("a minute later it is shifted by %v, want %v", got, c.later)
			}
			for last, d := e.now(at), time.Duration(0); d < 2*time.Minute; d += 100 * ms {
				now := e.now(at.Add(d))
				if now.Before(last) {
					t.Fatalf("it goes back by %v", last.Sub(now))
				}
				last = now
			}
			if warned := logged.Len() > 0; warned != c.warns {
				t.Errorf("it logs %q", logged.String())
			}
		})
	}
}
