package chaos

import (
	"fmt"
	"testing"
	"time"

	"chatcore/tests/redistest"
)

const jumpClock = "jump clock"

// clocks are those of all servers of a run. One hand shifts them.
type clocks struct {
	t     *testing.T
	nodes func() []*redistest.Server
	shift time.Duration // from the machine's clock
	most  time.Duration // the largest shift so far
	jumps []Window
}

// set shifts the wall clock of all servers at once.
func (c *clocks) set(shift time.Duration) {
	began := time.Now()
	for _, s := range c.nodes() {
		s.ShiftClock(c.t, shift)
	}
	c.shift, c.most = shift, max(c.most, shift)
	c.jumps = append(c.jumps, Window{began, time.Now()})
}

// electable sets clocks that were set back to the latest time that they have had. Until then nodes of a Cluster refuse votes and begin no election, since
// the last one seems to be yet to come: a master that is killed has no successor.
func (c *clocks) electable() {
	if c.shift < c.most {
		c.set(c.most)
	}
}

// attack shifts the clocks by less than a minute to either side of the machine's. They go back at once, or stay until the next jump.
func (c *clocks) attack() attack {
	return attack{jumpClock, func(d dice) (string, func()) {
		by := time.Duration(d.Int64N(int64(2*time.Minute))) - time.Minute
		c.set(by)
		d.between(0, 2*time.Second)
		if d.IntN(2) == 0 {
			return fmt.Sprintf("by %v, to stay", by.Round(time.Millisecond)), nil
		}
		c.set(0)
		return fmt.Sprintf("by %v, and back", by.Round(time.Millisecond)), nil
	}}
}
