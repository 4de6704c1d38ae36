package live

import (
	"slices"
	"testing"
	"time"
)

// TestReconnectPauses_Timing pins the pauses between two connections, before they vary.
func TestReconnectPauses_Timing(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	pauses := reconnectPauses()
	if !pauses.Jitter {
		t.Error("the pauses do not vary")
	}
	pauses.Jitter = false
	want := []time.Duration{50 * ms, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 2 * s, 2 * s}
	var got []time.Duration
	for n := range want {
		got = append(got, pauses.Pause(n+1))
	}
	if !slices.Equal(got, want) {
		t.Errorf("pauses %v, want %v", got, want)
	}
}
