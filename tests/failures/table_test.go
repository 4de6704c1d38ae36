package failures

import (
	"os"
	"strings"
	"testing"
)

// table is the table of docs/failures.md: for each call and fault the possible outcomes.
type table struct {
	faults []string
	calls  []string
	cells  map[string]map[string][]string // call, fault
}

// readTable reads the first table of the document. A cell has outcomes with "or" between them, each optionally in backquotes.
func readTable(t *testing.T) table {
	t.Helper()
	text, err := os.ReadFile("../../docs/failures.md")
	if err != nil {
		t.Fatal(err)
	}
	tab := table{cells: make(map[string]map[string][]string)}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			if len(tab.faults) > 0 {
				break
			}
			continue
		}
		var cells []string
		for _, cell := range strings.Split(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.TrimSpace(strings.ReplaceAll(cell, "`", "")))
		}
		switch {
		case len(tab.faults) == 0:
			tab.faults = cells[1:]
		case strings.HasPrefix(cells[0], "--"):
		case len(cells) != len(tab.faults)+1:
			t.Fatalf("the row of %q has %d cells", cells[0], len(cells))
		default:
			outcomes := make(map[string][]string)
			for i, cell := range cells[1:] {
				outcomes[tab.faults[i]] = strings.Split(cell, " or ")
			}
			tab.calls = append(tab.calls, cells[0])
			tab.cells[cells[0]] = outcomes
		}
	}
	return tab
}
