package cache_test

import (
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"chatcore/adapters/memory"
	"chatcore/tests/cachecheck"
)

// TestWhatReadsMayGive has processes read, invalidate and put one value while it expires, in virtual time, and judges the result of each read.
func TestWhatReadsMayGive(t *testing.T) {
	for name, versioned := range map[string]bool{"no old values": false, "versions move forward": true} {
		t.Run(name, func(t *testing.T) {
			for range 20 { // runs are short, and faults are rare
				rapid.Check(t, func(rt *rapid.T) {
					plan := cachecheck.Draw(rt, versioned)
					synctest.Test(t, func(t *testing.T) {
						store := memory.NewCache(clock{})
						for _, fault := range cachecheck.Run(t.Context(), plan, store, clock{}) {
							rt.Errorf("%s", fault)
						}
					})
				})
			}
		})
	}
}
