package redistest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
)

// Commands are numbers of calls by the command's name, including the calls inside scripts.
type Commands map[string]int

// AllCommands returns the calls of a server since its start or CONFIG RESETSTAT. The INFO that it sends counts from then on.
func AllCommands(t testing.TB, client goredis.UniversalClient) Commands {
	t.Helper()
	text, err := client.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	all := make(Commands)
	for line := range strings.Lines(text) {
		name, stats, _ := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":")
		calls := 0
		if _, err := fmt.Sscanf(stats, "calls=%d,", &calls); err == nil {
			all[name] = calls
		}
	}
	return all
}

// CommandsOf returns the calls that do causes: of each command the least of several runs, because others may send commands meanwhile.
func CommandsOf(t testing.TB, client goredis.UniversalClient, do func()) Commands {
	t.Helper()
	const runs = 7
	var least Commands
	before := AllCommands(t, client)
	for range runs {
		do()
		after := AllCommands(t, client)
		calls := after.Since(before)
		for name := range least {
			least[name] = min(least[name], calls[name])
		}
		if least == nil {
			least = calls
		}
		before = after
	}
	maps.DeleteFunc(least, func(_ string, n int) bool { return n == 0 })
	return least
}

// Since returns the calls after those of an earlier [AllCommands], except for its INFO.
func (c Commands) Since(before Commands) Commands {
	calls := maps.Clone(c)
	for name, n := range before {
		calls[name] -= n
	}
	calls["info"]--
	maps.DeleteFunc(calls, func(_ string, n int) bool { return n == 0 })
	return calls
}

// And returns the sum of two numbers of each command.
func (c Commands) And(others Commands) Commands {
	sum := maps.Clone(c)
	for name, n := range others {
		sum[name] += n
	}
	return sum
}

// Beyond says of each command that is called more often than allowed how often it is called, in the order of names.
func (c Commands) Beyond(most Commands) (differences []string) {
	for _, name := range slices.Sorted(maps.Keys(c)) {
		if c[name] > most[name] {
			differences = append(differences, fmt.Sprintf("%s is called %d times, want at most %d", name, c[name], most[name]))
		}
	}
	return differences
}

// Differences says of each command whose number is not the wanted one what it is and what it should be, in the order of names.
func (c Commands) Differences(want Commands) (differences []string) {
	names := maps.Clone(want)
	maps.Copy(names, c)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if c[name] != want[name] {
			differences = append(differences, fmt.Sprintf("%s is called %d times, want %d", name, c[name], want[name]))
		}
	}
	return differences
}
