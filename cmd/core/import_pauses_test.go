package main

import (
	"slices"
	"testing"
	"time"
)

// TestImportPauses_Timing pins the pauses between two attempts at a command of an import, before they vary.
func TestImportPauses_Timing(t *testing.T) {
	pauses := importPauses()
	if !pauses.Jitter {
		t.Error("the workers of an import do not spread")
	}
	pauses.Jitter = false
	var got []time.Duration
	for n := range 10 {
		got = append(got, pauses.Pause(n+1)/time.Millisecond)
	}
	if want := []time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000}; !slices.Equal(got, want) {
		t.Errorf("pauses of %v ms, want %v", got, want)
	}
}
