package delivery

import (
	"testing"
	"time"
)

// TestPause_Timing pins the pauses before the next start of a failed handler: they double up to the most, varied by half.
func TestPause_Timing(t *testing.T) {
	const s = time.Second
	retry := RetryPolicy{}.WithDefaults()
	m := New(Config{Retry: retry, Seed: 1}, nil)
	for name, test := range map[string]struct {
		most time.Duration
		want []time.Duration // before they vary
	}{
		"a failure":           {retry.Max, []time.Duration{s / 2, s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 60 * s, 60 * s}},
		"a transient failure": {transientMax, []time.Duration{s / 2, s, 2 * s, 4 * s, 8 * s, 15 * s, 15 * s}},
	} {
		for i, pause := range test.want {
			least, most := time.Hour, time.Duration(0)
			for range 1000 {
				got := m.pause(i+1, test.most)
				least, most = min(least, got), max(most, got)
			}
			if least < pause/2 || least > pause*3/5 || most >= pause*3/2 || most < pause*7/5 {
				t.Errorf("%s: pause %d is %v to %v, want %v to %v", name, i+1, least, most, pause/2, pause*3/2)
			}
		}
	}
}
