package main

import (
	"runtime"
	"testing"
)

// TestHeapReserve delays the next collection, unless the user has set when it comes.
func TestHeapReserve(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	next := func() uint64 {
		runtime.GC()
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		return memory.NextGC - memory.HeapAlloc
	}
	before := next()
	reserve := heapReserve()
	if after := next(); after < before+reserveBytes/2 {
		t.Errorf("the next collection comes after %d bytes, and after %d without a reserve", after, before)
	}
	runtime.KeepAlive(reserve)
	for _, setting := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Run(setting, func(t *testing.T) {
			t.Setenv(setting, "50")
			if n := len(heapReserve()); n > 0 {
				t.Errorf("a reserve of %d bytes", n)
			}
		})
	}
}
