package delivery

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

const programSteps = 1000

// programs draws programs: each number is one step.
func programs() *rapid.Generator[[]uint64] { return rapid.SliceOfN(rapid.Uint64(), programSteps, -1) }

// spread makes a number of a drawn one, which is small more often than not.
func spread(n uint64) uint64 { return mix(n + 0x9e3779b97f4a7c15) }

func TestModel(t *testing.T) {
	for _, faultless := range []bool{false, true} {
		name := "faults"
		if faultless {
			name = "no faults"
		}
		t.Run(name, func(t *testing.T) { check(t, faultless) })
	}
}

func check(t *testing.T, faultless bool) {
	steps, begins := 0, 0
	var shape uint64
	var failing []uint64
	t.Cleanup(func() {
		if failing != nil {
			t.Logf("shape %d:\n%s", shape, tell(shape, faultless, minimize(shape, faultless, failing)))
		}
	})
	rapid.Check(t, func(r *rapid.T) {
		s := spread(rapid.Uint64().Draw(r, "shape"))
		program := slices.Clone(programs().Draw(r, "program"))
		for i := range program {
			program[i] = spread(program[i])
		}
		w := newWorld(s, faultless)
		broken := w.run(program)
		steps, begins = steps+w.steps, begins+w.begins
		if broken.text != "" {
			shape, failing = s, program
			r.Fatal(broken.text)
		}
	})
	t.Logf("%d steps, %d handlers", steps, begins)
}

// minimize removes steps from a program for as long as it breaks an invariant.
func minimize(shape uint64, faultless bool, program []uint64) []uint64 {
	rule := newWorld(shape, faultless).run(program).rule
	fails := func(p []uint64) bool { return newWorld(shape, faultless).run(p).rule == rule }
	for size := len(program) / 2; size > 0; {
		removed := false
		for from := 0; from < len(program); {
			shorter := append(slices.Clone(program[:from]), program[min(from+size, len(program)):]...)
			if fails(shorter) {
				program, removed = shorter, true
			} else {
				from += size
			}
		}
		if !removed || size > len(program) {
			size /= 2
		}
	}
	return program
}
