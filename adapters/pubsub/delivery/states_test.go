package delivery_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"chatcore/adapters/pubsub/delivery"
)

// TestStates_AreThoseOfTheDocs compares the changes of state that all traces cause with the tables of docs/architecture.md: each of them has the other's.
func TestStates_AreThoseOfTheDocs(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]string) // change → a command that causes it
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		states := newStates(seen)
		for _, line := range strings.Split(string(text), "\n") {
			if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, indent) {
				continue
			}
			if _, err := states.run(line); err != nil {
				t.Fatalf("%s: %s: %v", file, line, err)
			}
			if line == "crash" || strings.HasPrefix(line, "config ") { // nothing follows from the states before
				states.now = nil
			}
			states.compare(filepath.Base(file) + ": " + line)
		}
	}
	text, err := os.ReadFile("../../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := documentedChanges(string(text))
	for _, change := range slices.Sorted(maps.Keys(seen)) {
		if !documented[change] {
			t.Errorf("the tables of docs/architecture.md lack %q, which happens in %s", change, seen[change])
		}
	}
	for _, change := range slices.Sorted(maps.Keys(documented)) {
		if seen[change] == "" {
			t.Errorf("docs/architecture.md has the change %q, which no trace causes", change)
		}
	}
}

// documentedChanges returns the rows of the tables that begin with the name of a machine: | lease | becomes | when |.
func documentedChanges(text string) map[string]bool {
	changes := make(map[string]bool)
	machine := ""
	row := regexp.MustCompile(`^\| ([a-z ]+) \| ([a-z ]+) \|`)
	for _, line := range strings.Split(text, "\n") {
		cells := row.FindStringSubmatch(line)
		switch {
		case cells == nil && !strings.HasPrefix(line, "|"):
			machine = ""
		case cells == nil:
		case cells[2] == "becomes":
			machine = cells[1]
		case machine != "":
			changes[machine+": "+cells[1]+" → "+cells[2]] = true
		}
	}
	return changes
}

// states is a trace with the states after its last command.
type states struct {
	*trace
	now  map[any]string // by machine and what it is of
	seen map[string]string
}

// stateOf names a machine and what it is of.
type stateOf struct {
	machine string
	of      any
}

func newStates(seen map[string]string) *states {
	return &states{newTrace(), make(map[any]string), seen}
}

// compare adds the changes since the last command.
func (s *states) compare(command string) {
	now := make(map[any]string)
	for _, m := range s.ordered {
		m.States(s.trace.now, func(machine string, of any, state string) { now[stateOf{machine, of}] = state })
	}
	for key, after := range now {
		before, known := s.now[key]
		if !known {
			before = "new"
		}
		s.add(key, before, after, command)
	}
	for key, before := range s.now {
		k, _ := key.(stateOf)
		if _, some := now[key]; some || k.machine == "chat" || k.machine == "mark" {
			continue
		}
		if after := delivery.EndState(k.of); k.machine == "lease" || after != "over" {
			s.add(key, before, after, command)
		}
	}
	s.now = now
}

func (s *states) add(key any, before, after, command string) {
	if k, _ := key.(stateOf); before != after {
		s.seen[k.machine+": "+before+" → "+after] = command
	}
}
