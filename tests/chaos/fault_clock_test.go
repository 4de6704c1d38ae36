package chaos

import (
	"fmt"
	"testing"
	"time"

	"chatcore/tests/redistest"
)

const jumpClock = "jump clock"

// onClocks shifts the wall clock of all servers at once, by less than a minute to either side of the machine's. It goes back at once, or stays until
// the next jump.
func onClocks(t *testing.T, nodes func() []*redistest.Server) attack {
	return attack{jumpClock, func(d dice) (string, func()) {
		by := time.Duration(d.Int64N(int64(2*time.Minute))) - time.Minute
		shift := func(by time.Duration) {
			for _, s := range nodes() {
				s.ShiftClock(t, by)
			}
		}
		shift(by)
		d.between(0, 2*time.Second)
		if d.IntN(2) == 0 {
			return fmt.Sprintf("by %v, to stay", by.Round(time.Millisecond)), nil
		}
		shift(0)
		return fmt.Sprintf("by %v, and back", by.Round(time.Millisecond)), nil
	}}
}
