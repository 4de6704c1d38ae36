package pubsub

import (
	"slices"
	"testing"
	"time"

	"chatcore/internal/backoff"
)

// TestPauses_Timing pins the pauses of everything that this package tries again, before they vary.
func TestPauses_Timing(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	retries := RetryPolicy{}.WithDefaults()
	for _, test := range []struct {
		name   string
		pauses backoff.Policy
		jitter bool
		want   []time.Duration
	}{
		{"the creation of a group", preparePauses(), false, []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 2 * s, 2 * s}},
		{"a failed handler", retries.pauses(retries.Max), true, []time.Duration{s / 2, s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 60 * s, 60 * s}},
		{"a transient failure", retries.pauses(transientMax), true, []time.Duration{s / 2, s, 2 * s, 4 * s, 8 * s, 15 * s, 15 * s}},
	} {
		if test.pauses.Jitter != test.jitter {
			t.Errorf("%s: varied is %v", test.name, test.pauses.Jitter)
		}
		test.pauses.Jitter = false
		var got []time.Duration
		for n := range test.want {
			got = append(got, test.pauses.Pause(n+1))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: pauses %v, want %v", test.name, got, test.want)
		}
	}
	for range 1000 { // varied by half
		if pause := retries.delay(3); pause < s || pause >= 3*s {
			t.Fatalf("a pause of 2 s is %v", pause)
		}
		if pause := retries.holdDelay(100); pause < 15*s/2 || pause >= 45*s/2 {
			t.Fatalf("a pause of 15 s is %v", pause)
		}
	}
}
