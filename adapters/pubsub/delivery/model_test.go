package delivery

import (
	"flag"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// shortest is the number of steps of the shortest program; the average one has twice as many.
const shortest = 1000

// programs draws programs: each number is one step.
func programs() *rapid.Generator[[]uint64] { return rapid.SliceOfN(rapid.Uint64(), shortest, -1) }

// spread makes a number of a drawn one, which is small more often than not.
func spread(n uint64) uint64 { return mix(n + 0x9e3779b97f4a7c15) }

// TestModel runs members of a group on a simulated log and store, takes random steps, and checks the invariants of world_check_test.go. At the end of each
// run the faults stop, and everything must be delivered. RAPID_CHECKS, or -rapid.checks, sets how many runs each of its parts has.
func TestModel(t *testing.T) {
	steps, parts, told := 0, 0, false
	for _, order := range []Order{ByChat, ByKey, Unordered} {
		for _, faultless := range []bool{false, true} {
			name := order.String() + "/faults"
			if faultless {
				name = order.String() + "/no faults"
			}
			t.Run(name, func(t *testing.T) {
				steps += checkModel(t, order, faultless, &told)
				parts++
			})
		}
	}
	t.Logf("%d steps", steps)
	if checks := rapidChecks(t); parts == 6 && steps < 10_000*checks {
		t.Errorf("%d steps in %d checks, want at least %d", steps, checks, 10_000*checks)
	}
}

// rapidChecks returns how many runs a check has.
func rapidChecks(t *testing.T) int {
	n, err := strconv.Atoi(flag.Lookup("rapid.checks").Value.String())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// checkModel runs programs. It logs the events of one that breaks an invariant, unless another part has done so.
func checkModel(t *testing.T, order Order, faultless bool, told *bool) (steps int) {
	var failing *modelRun
	t.Cleanup(func() {
		if failing != nil && !*told {
			*told = true
			t.Log(failing.minimized().story())
		}
	})
	rapid.Check(t, func(r *rapid.T) {
		m := modelRun{shape: spread(rapid.Uint64().Draw(r, "shape")), order: order, faultless: faultless}
		for _, n := range programs().Draw(r, "program") {
			m.program = append(m.program, spread(n))
		}
		w := m.world()
		broken := w.run(m.program)
		steps += w.steps
		if broken.text != "" {
			failing = &m
			r.Fatal(broken.text)
		}
	})
	return steps
}

// modelRun is a world and the program that drives it.
type modelRun struct {
	shape     uint64
	order     Order
	faultless bool
	program   []uint64
}

func (m *modelRun) world() *world { return newWorld(m.shape, m.order, m.faultless) }

// minimized removes steps from the program for as long as it breaks the same invariant.
func (m *modelRun) minimized() *modelRun {
	runs := 0
	rule := m.world().run(m.program).rule
	program := m.program
	for size := len(program) / 2; size > 0; {
		removed := false
		for from := 0; from < len(program) && runs < 1000; runs++ {
			shorter := slices.Concat(program[:from], program[min(from+size, len(program)):])
			if m.world().run(shorter).rule == rule {
				program, removed = shorter, true
			} else {
				from += size
			}
		}
		if !removed || size > len(program) {
			size /= 2
		}
	}
	return &modelRun{m.shape, m.order, m.faultless, program}
}

// TestModel_Deterministic runs the same programs twice: all outputs are the same.
func TestModel_Deterministic(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := modelRun{shape: spread(rapid.Uint64().Draw(r, "shape")), order: Order(rapid.IntRange(0, 2).Draw(r, "order"))} //nolint:gosec // small
		for _, n := range rapid.SliceOfN(rapid.Uint64(), 200, -1).Draw(r, "program") {
			m.program = append(m.program, spread(n))
		}
		if first, second := m.story(), m.story(); first != second {
			r.Fatalf("two runs differ:\n%s\n%s", first, second)
		}
	})
}
