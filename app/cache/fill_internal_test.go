package cache

import (
	"slices"
	"testing"
	"time"
)

// TestLeasePauses_Timing pins how often a process asks for the lease of another: it notices a fill of another process after 37.5 ms at most.
func TestLeasePauses_Timing(t *testing.T) {
	pauses := leasePauses()
	if !pauses.Jitter {
		t.Error("processes that wait for one fill do not spread")
	}
	pauses.Jitter = false
	var got []time.Duration
	for n := range 7 {
		got = append(got, pauses.Pause(n+1)/time.Millisecond)
	}
	if want := []time.Duration{1, 2, 4, 8, 16, 25, 25}; !slices.Equal(got, want) {
		t.Errorf("pauses of %v ms, want %v", got, want)
	}
}
