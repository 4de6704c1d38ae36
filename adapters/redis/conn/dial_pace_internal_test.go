package conn

import (
	"testing"
	"time"
)

// TestMayDial_LeavesRoomForCallers lets a dial follow the one with which go-redis tries a lost server each second. If it did not, busy callers would never
// reach a server that is back.
func TestMayDial_LeavesRoomForCallers(t *testing.T) {
	l := &link{open: 1}
	l.failed.Store(100)
	now := time.Unix(1_800_000_000, 0)
	for second := range 3 {
		now = now.Add(time.Second)
		allowed := 0
		for range 100 {
			if l.mayDial(now) {
				allowed++
			}
		}
		if allowed != dialBurst {
			t.Errorf("second %d: %d dials at once, want %d", second, allowed, dialBurst)
		}
	}
}

// TestMayDial_Pace bounds the dials of busy callers to one for each gap, also after the clock was set back.
func TestMayDial_Pace(t *testing.T) {
	l := &link{open: 1}
	l.failed.Store(100)
	now := time.Unix(1_800_000_000, 0)
	for _, start := range []time.Time{now, now.Add(-time.Hour)} {
		allowed := 0
		for i := range 1000 {
			if l.mayDial(start.Add(time.Duration(i) * time.Millisecond)) {
				allowed++
			}
		}
		const even = int(time.Second / dialGap)
		if allowed < even || allowed > even+dialBurst {
			t.Errorf("%d dials in a second, want %d and at most %d more", allowed, even, dialBurst)
		}
	}
	l.failed.Store(0)
	for range 2 * dialBurst {
		if !l.mayDial(now.Add(-time.Hour)) {
			t.Error("a dial to a server that answers is refused")
		}
	}
}
