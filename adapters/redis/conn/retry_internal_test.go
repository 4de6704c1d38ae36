package conn

import (
	"slices"
	"testing"
	"time"

	"chatcore/internal/backoff"
)

// TestPauses_Timing pins the pauses between attempts at a server, which do not vary.
func TestPauses_Timing(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	for _, test := range []struct {
		name   string
		pauses backoff.Policy
		want   []time.Duration
	}{
		{"probes of a lost server", probePauses(), []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, s, s}},
		{"connects", NewRetry(0, 0, nil).pauses, []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3 * s, 3 * s}},
		{"connects with a first pause of their own", NewRetry(0, 2*s, nil).pauses, []time.Duration{2 * s, 3 * s, 3 * s}},
		{"connects with a long first pause", NewRetry(0, 5*s, nil).pauses, []time.Duration{5 * s, 5 * s}},
	} {
		var got []time.Duration
		for n := range test.want {
			got = append(got, test.pauses.Pause(n+1))
		}
		if !slices.Equal(got, test.want) || test.pauses.Jitter {
			t.Errorf("%s: pauses %v, want %v; varied is %v", test.name, got, test.want, test.pauses.Jitter)
		}
	}
}
