package calls_test

import (
	"runtime"
	"slices"
	"sync"
	"testing"

	"chatcore/internal/calls"
)

func TestSet_NamesTheCallsThatRun(t *testing.T) {
	var set calls.Set[string]
	endA, endB := set.Begin("a"), set.Begin("b")
	again := set.Begin("a")
	running := set.Running()
	if slices.Sort(running); !slices.Equal(running, []string{"a", "a", "b"}) {
		t.Errorf("%q run", running)
	}
	endA()
	endB()
	again()
	if running := set.Running(); len(running) > 0 {
		t.Errorf("%q run", running)
	}
}

// TestEach_GoesOnAfterGoexit ends the goroutine of a handler.
func TestEach_GoesOnAfterGoexit(t *testing.T) {
	messages := make(chan int, 3)
	for i := range 3 {
		messages <- i
	}
	close(messages)
	var handled []int
	var running sync.WaitGroup
	done := false
	calls.Each(&running, messages, func(i int) {
		handled = append(handled, i)
		if i == 1 {
			runtime.Goexit()
		}
	}, func() { done = true })
	running.Wait()
	if !slices.Equal(handled, []int{0, 1, 2}) || !done {
		t.Errorf("handled %v, done %t", handled, done)
	}
}
