package backoff_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/internal/backoff"
)

const ms = time.Millisecond

func TestPolicy_PausesDoubleUpToMax(t *testing.T) {
	for _, test := range []struct {
		name   string
		policy backoff.Policy
		want   []time.Duration
	}{
		{"a maximum that is a double", backoff.Policy{First: 100 * ms, Max: 800 * ms}, []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 800 * ms}},
		{"a maximum between two doubles", backoff.Policy{First: ms, Max: 25 * ms}, []time.Duration{ms, 2 * ms, 4 * ms, 8 * ms, 16 * ms, 25 * ms, 25 * ms}},
		{"a first pause above the maximum", backoff.Policy{First: 5 * ms, Max: 3 * ms}, []time.Duration{3 * ms, 3 * ms}},
		{"nothing", backoff.Policy{}, []time.Duration{0, 0}},
		{"nothing, varied", backoff.Policy{Jitter: true}, []time.Duration{0, 0}},
	} {
		var got []time.Duration
		for n := range test.want {
			got = append(got, test.policy.Pause(n+1))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: pauses %v, want %v", test.name, got, test.want)
		}
	}
	long := backoff.Policy{First: 3, Max: math.MaxInt64}
	for n := range 200 { // no overflow
		if pause := long.Pause(n); pause < 3 || n > 0 && pause < long.Pause(n-1) {
			t.Fatalf("pause %d is %d", n, pause)
		}
	}
}

// TestPolicy_JitterSpreads sees that pauses fill the range from a half to one and a half, and do not leave it.
func TestPolicy_JitterSpreads(t *testing.T) {
	varied := backoff.Policy{First: 100 * ms, Max: time.Second, Jitter: true}
	shortest, longest := time.Hour, time.Duration(0)
	for range 10_000 {
		pause := varied.Pause(3)
		shortest, longest = min(shortest, pause), max(longest, pause)
	}
	if shortest < 200*ms || shortest > 220*ms || longest < 580*ms || longest >= 600*ms {
		t.Errorf("pauses of 400 ms vary from %v to %v", shortest, longest)
	}
}

func TestPolicy_WaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy, began := backoff.Policy{First: time.Second, Max: time.Minute}, time.Now()
		if err := policy.Wait(t.Context(), 2); err != nil || time.Since(began) != 2*time.Second {
			t.Errorf("waited %v, error %v", time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if err := policy.Wait(ctx, 7); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("a context of a second ended the wait after %v, error %v", time.Since(began), err)
		}
	})
}
