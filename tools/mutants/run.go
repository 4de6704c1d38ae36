package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// runner runs the tests of packages against their mutants.
type runner struct {
	root     string
	parallel int
	limit    time.Duration
	every    int
	binary   string         // of scripts' tests, "" to build one
	only     *regexp.Regexp // of files
	at       *regexp.Regexp // of mutants as the list shows them
	again    string         // list of an earlier run, "" for all mutants
	tests    string         // package whose tests run, "" for the mutants' own
	run      *regexp.Regexp // of tests
	quick    time.Duration  // tests that take longer are left out
	out      io.Writer
	list     *bufio.Writer
	tooLong  atomic.Int64 // mutants of a package that were killed by the time limit
	mu       sync.Mutex   // guards out and list
}

// build is a test binary with the mutants of one package.
type build struct {
	dir     string // of the package whose tests run
	binary  string
	temp    string
	mutants []mutant
}

func (r *runner) pkg(name string) error {
	temp, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	b := &build{dir: filepath.Join(r.root, name), binary: filepath.Join(temp, "mutants.test"), temp: temp}
	if scripts, _ := filepath.Glob(filepath.Join(b.dir, "script", "*.lua")); len(scripts) > 0 {
		return r.lua(name, b)
	}
	sources := b.dir
	if r.tests != "" {
		b.dir = filepath.Join(r.root, r.tests)
	}
	return r.golang(name, sources, b)
}

// golang runs the mutants of the Go files in the directory sources.
func (r *runner) golang(name, sources string, b *build) error {
	if err := r.compileGo(name, sources, b); err != nil {
		return err
	}
	reach, slow, err := r.trace(b)
	if err != nil {
		return err
	}
	r.each(name, b.mutants, func(n int) string {
		tests := reach[n]
		if len(tests) == 0 {
			return unreached
		}
		return r.meets(b, tests, slow, "CHATCORE_MUTANT="+strconv.Itoa(n))
	})
	return nil
}

const unreached = "no test reaches it"

// meets runs the tests of a mutant: first the quickest ones, up to a second in total, then the rest. It returns "" if one fails or takes much longer
// than without a mutant.
func (r *runner) meets(b *build, tests []string, took map[string]time.Duration, env ...string) string {
	tests = slices.Clone(tests)
	slices.SortStableFunc(tests, func(x, y string) int { return int(took[x] - took[y]) })
	for first := true; len(tests) > 0; first = false {
		some, total := len(tests), time.Duration(0)
		if first {
			for some = 0; some < len(tests) && (some < 2 || total+took[tests[some]] < time.Second); some++ {
				total += took[tests[some]]
			}
		}
		limit := 10 * time.Second
		for _, t := range tests[:some] {
			limit += 4 * took[t]
		}
		_, err := r.test(b, min(limit, r.limit), tests[:some], env...)
		if errors.Is(err, errTooLong) {
			r.tooLong.Add(1)
		}
		if err != nil {
			return ""
		}
		tests = tests[some:]
	}
	return "survives"
}

// compileGo builds the package's tests with all mutants. A line whose mutants do not compile gets none.
func (r *runner) compileGo(name, sources string, b *build) error {
	skip := map[string]map[int]bool{}
	for range 10 {
		overlay := map[string]string{}
		b.mutants = nil
		files, err := filepath.Glob(filepath.Join(sources, "*.go"))
		if err != nil {
			return err
		}
		pkg := ""
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") || !r.only.MatchString(filepath.Base(f)) {
				continue
			}
			src, err := os.ReadFile(f)
			if err != nil {
				return err
			}
			base := filepath.Base(f)
			text, found, err := goMutants(name+"/"+base, src, len(b.mutants), skip[base])
			if err != nil {
				return err
			}
			pkg = packageName(src)
			b.mutants = append(b.mutants, found...)
			if err := b.replace(overlay, f, text); err != nil {
				return err
			}
		}
		if err := b.replace(overlay, filepath.Join(sources, "zz_mutants.go"), fmt.Appendf(nil, switches, pkg, len(b.mutants)+1)); err != nil {
			return err
		}
		message, err := b.compile(overlay)
		if err == nil {
			return nil
		}
		bad := regexp.MustCompile(`([a-z0-9_]+\.go):(\d+):`).FindAllStringSubmatch(message, -1)
		if len(bad) == 0 {
			return fmt.Errorf("%s: %w\n%s", name, err, message)
		}
		for _, m := range bad {
			if skip[m[1]] == nil {
				skip[m[1]] = map[int]bool{}
			}
			line, _ := strconv.Atoi(m[2])
			skip[m[1]][line] = true
			fmt.Fprintf(r.out, "# no mutants on a line that does not compile with them: %s/%s:%d\n", name, m[1], line)
		}
	}
	return fmt.Errorf("%s: the mutants do not compile", name)
}

var packageClause = regexp.MustCompile(`(?m)^package (\w+)`)

func packageName(src []byte) string { return string(packageClause.FindSubmatch(src)[1]) }

// replace makes the overlay use another text for a file.
func (b *build) replace(overlay map[string]string, file string, text []byte) error {
	absolute, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	to := filepath.Join(b.temp, filepath.Base(file))
	overlay[absolute] = to
	return os.WriteFile(to, text, 0o600)
}

func (b *build) compile(overlay map[string]string) (string, error) {
	text, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return "", err
	}
	file := filepath.Join(b.temp, "overlay.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return "", err
	}
	c := exec.Command("go", "test", "-c", "-vet=off", "-gcflags=-e", "-overlay", file, "-o", b.binary, ".")
	c.Dir = b.dir
	message, err := c.CombinedOutput()
	return string(message), err
}

// trace runs each test once and returns the tests that reach each mutant, and how long each test takes.
func (r *runner) trace(b *build) (reach map[int][]string, slow map[string]time.Duration, err error) {
	reach, slow = map[int][]string{}, map[string]time.Duration{}
	tests, err := b.tests()
	if err != nil {
		return nil, nil, err
	}
	var group errgroup.Group
	group.SetLimit(r.parallel)
	for _, t := range tests {
		if !r.run.MatchString(t) {
			continue
		}
		group.Go(func() error {
			file := filepath.Join(b.temp, "trace"+t)
			start := time.Now()
			if message, err := r.test(b, r.limit, []string{t}, "CHATCORE_MUTANT_TRACE="+file); errors.Is(err, errTooLong) {
				fmt.Fprintf(r.out, "# left out: %s takes longer than %v\n", t, r.limit)
				return nil
			} else if err != nil {
				return fmt.Errorf("%s fails without a mutant: %w\n%s", t, err, message)
			}
			took := time.Since(start)
			if took > r.quick {
				fmt.Fprintf(r.out, "# left out: %s takes %.1f s\n", t, took.Seconds())
				return nil
			}
			reached, err := os.ReadFile(file)
			if err != nil && !errors.Is(err, fs.ErrNotExist) { // no file: the test reaches no function with mutants
				return err
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			slow[t] = took
			for n := range reached {
				if reached[n] == 1 {
					reach[n] = append(reach[n], t)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	return reach, slow, nil
}

func (b *build) tests() ([]string, error) {
	c := exec.Command(b.binary, "-test.list", "^(Test|Fuzz|Example)")
	c.Dir = b.dir
	out, err := c.Output()
	if err != nil {
		return nil, err
	}
	var tests []string
	for name := range strings.FieldsSeq(string(out)) {
		if name != "TestMain" && regexp.MustCompile(`^(Test|Fuzz|Example)`).MatchString(name) {
			tests = append(tests, name)
		}
	}
	return tests, nil
}

var errTooLong = errors.New("takes too long")

// test runs tests. It ends tests that take longer than limit.
func (r *runner) test(b *build, limit time.Duration, tests []string, env ...string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), limit, errTooLong)
	defer cancel()
	c := exec.CommandContext(ctx, b.binary, "-test.failfast", "-test.count=1", "-test.run", "^("+strings.Join(tests, "|")+")$")
	c.Dir, c.Env = b.dir, append(os.Environ(), env...)
	c.WaitDelay = time.Second
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	if err != nil && ctx.Err() != nil {
		err = errTooLong
	}
	return out.String(), err
}

// each calls try for all mutants, several at a time, and lists the survivors and a count per file. try returns "" for a mutant that was killed.
func (r *runner) each(name string, mutants []mutant, try func(n int) string) {
	var wg sync.WaitGroup
	next := make(chan int)
	counts := map[string]*fileCount{}
	for range r.parallel {
		wg.Go(func() {
			for n := range next {
				result := try(n)
				r.mu.Lock()
				counts[mutants[n].file].add(result)
				if result != "" {
					r.say(fmt.Sprintf("%s (%s)", mutants[n], result))
				}
				r.mu.Unlock()
			}
		})
	}
	tried := 0
	listed := r.listed()
	for n := range mutants {
		r.mu.Lock()
		if counts[mutants[n].file] == nil {
			counts[mutants[n].file] = &fileCount{}
		}
		counts[mutants[n].file].all++
		r.mu.Unlock()
		if n%r.every != 0 || !r.at.MatchString(mutants[n].String()) || listed != nil && !listed[mutants[n].String()] {
			continue
		}
		next <- n
		if tried++; tried%20 == 0 {
			fmt.Fprintf(r.out, "# %s: %d tried, mutant %d of %d\n", name, tried, n+1, len(mutants))
		}
	}
	close(next)
	wg.Wait()
	survivors := 0
	for _, file := range slices.Sorted(maps.Keys(counts)) {
		c := counts[file]
		survivors += c.survive
		if c.tried > 0 {
			r.say(fmt.Sprintf("# %s: %d of %d tried, %d survive, %d of them reached by no test", file, c.tried, c.all, c.survive, c.unreached))
		}
	}
	r.say(fmt.Sprintf("# %s: %d of %d mutants tried, %d survive; the time limit killed %d", name, tried, len(mutants), survivors, r.tooLong.Swap(0)))
}

// listed returns the mutants of the list of an earlier run, or nil without one.
func (r *runner) listed() map[string]bool {
	if r.again == "" {
		return nil
	}
	text, err := os.ReadFile(r.again)
	if err != nil {
		fail(err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if end := strings.LastIndex(line, " ("); end > 0 {
			listed[line[:end]] = true
		}
	}
	return listed
}

// fileCount counts the mutants of a file.
type fileCount struct{ all, tried, survive, unreached int }

func (c *fileCount) add(result string) {
	c.tried++
	if result != "" {
		c.survive++
	}
	if result == unreached {
		c.unreached++
	}
}

func (r *runner) say(line string) {
	fmt.Fprintln(r.out, line)
	if r.list != nil {
		fmt.Fprintln(r.list, line)
		_ = r.list.Flush()
	}
}
