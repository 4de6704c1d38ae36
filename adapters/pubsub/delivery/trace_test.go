package delivery_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expected output of the traces")

// TestTraces runs the traces in testdata. A trace is a story: comments, commands, and below each command its output, indented by four spaces. The
// commands of a member carry its name, as in "b> deliver"; without one they are those of member a. traceCommands lists them.
//
// Time stands still except in the command wait. Stream ids are numbered 1-0, 2-0, … in the order of the entries; times are relative to the start.
func TestTraces(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	const least = 20
	if len(files) < least {
		t.Fatalf("%d traces are found, want at least %d", len(files), least)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runTrace(t, file) })
	}
}

// indent begins a line of output.
const indent = "    "

func runTrace(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	r := newTrace()
	var result []string
	for i := 0; i < len(lines); {
		line := lines[i]
		i++
		result = append(result, line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		at := i
		var want []string
		for i < len(lines) && strings.HasPrefix(lines[i], indent) {
			want = append(want, strings.TrimPrefix(lines[i], indent))
			i++
		}
		got, err := r.run(line)
		switch {
		case err != nil:
			t.Errorf("%s:%d: %s: %v", file, at, line, err)
			result, i = append(result, lines[i:]...), len(lines)
		case !*rewrite && strings.Join(got, "\n") != strings.Join(want, "\n"):
			t.Fatalf("%s:%d: %s\ngot:\n%s\nwant:\n%s", file, at, line, block(got), block(want))
		}
		for _, out := range got {
			result = append(result, indent+out)
		}
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(strings.Join(result, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func block(lines []string) string {
	if len(lines) == 0 {
		return indent + "nothing"
	}
	return indent + strings.Join(lines, "\n"+indent)
}

// run runs a command. It returns its output and what there is to log and to count afterwards.
func (r *trace) run(line string) (out []string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, stack())
		}
	}()
	name := "a"
	if before, after, found := strings.Cut(line, "> "); found && !strings.Contains(before, " ") {
		name, line = before, after
	}
	line, cause, _ := strings.Cut(line, ": ")
	words := strings.Fields(line)
	command := traceCommands()[words[0]]
	if command == nil {
		return nil, fmt.Errorf("no command %q", words[0])
	}
	r.out = nil
	if err := command(r, r.member(name), words[1:], cause); err != nil {
		return nil, err
	}
	for _, m := range r.ordered {
		r.printEvents(m)
	}
	return r.out, nil
}
