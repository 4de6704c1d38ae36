// Command mutants runs the tests of packages against mutants of their code and lists the mutants that survive.
//
// All mutants of a package are compiled into one test binary. Each is a change behind a switch, and an environment variable turns one of
// them on, so a mutant costs the run of a few tests and no build. A first run of each test records the switches that it reaches; a mutant
// meets only the tests that reach it. The source tree is not changed: the builds use overlays.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

func main() {
	root := flag.String("root", "..", "directory of the module chatcore")
	parallel := flag.Int("parallel", 2, "mutants that are tested at the same time")
	limit := flag.Duration("limit", time.Minute, "longest run of the tests of one mutant; a mutant that takes longer counts as killed")
	only := flag.String("only", "", "regular expression: mutate only files whose names match")
	at := flag.String("at", "", "regular expression: try only mutants whose lines of the list match, such as 'decide.go:126: '")
	again := flag.String("again", "", "list of an earlier run: try only the mutants in it")
	tests := flag.String("tests", "", "package whose tests run, instead of the package of the mutants")
	run := flag.String("run", "", "regular expression: run only tests whose names match")
	quick := flag.Duration("quick", time.Hour, "leave out tests that take longer; of Go files only")
	every := flag.Int("every", 1, "try only the first of every n mutants, as a sample")
	binary := flag.String("binary", "", "existing test binary of a package with scripts")
	out := flag.String("out", "", "file to which the survivors are also written")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: mutants [flags] package ...; in a package with a directory script/, the Lua scripts are mutated")
		os.Exit(2)
	}
	r := &runner{root: *root, parallel: *parallel, limit: *limit, every: max(1, *every), binary: *binary, again: *again, tests: *tests, quick: *quick, out: os.Stdout}
	var err error
	if r.only, err = regexp.Compile(*only); err != nil {
		fail(err)
	}
	if r.at, err = regexp.Compile(*at); err != nil {
		fail(err)
	}
	if r.run, err = regexp.Compile(*run); err != nil {
		fail(err)
	}
	if *out != "" {
		f, err := os.Create(*out)
		if err != nil {
			fail(err)
		}
		defer f.Close()
		r.list = bufio.NewWriter(f)
	}
	for _, p := range flag.Args() {
		if err := r.pkg(filepath.ToSlash(filepath.Clean(p))); err != nil {
			fail(err)
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "mutants:", err)
	os.Exit(1)
}

// mutant is one change of the code.
type mutant struct {
	file   string // relative to the root of the module
	line   int
	what   string // the kind of change and the text that it changes
	script string // the whole text of the changed script, "" for a change of Go
}

func (m mutant) String() string { return fmt.Sprintf("%s:%d: %s", m.file, m.line, m.what) }

// oneLine shortens source text for a list.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > 90 {
		text = string(r[:90]) + "…"
	}
	return text
}
