// Package wait has the deadline of all tests. A test waits for a condition, and fails if it does not hold after [Limit]: by then it would not hold
// later either, however busy the machine is.
package wait

import (
	"testing"
	"time"
)

// Limit is how long a test waits for a condition that must come true. A test that passes never waits that long.
const Limit = 2 * time.Minute

const interval = 5 * time.Millisecond

// Until waits until a condition holds. It fails the test after [Limit].
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(Limit)
	defer deadline.Stop()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s: not within %s", what, Limit)
		}
	}
}
