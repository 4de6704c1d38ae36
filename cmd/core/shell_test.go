package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"chatcore"
	"chatcore/tests/redistest"
)

// programVariable makes the test binary run as the program core.
const programVariable = "CHATCORE_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		main()
		os.Exit(0)
	}
	redistest.Main(m)
}

// program returns a command that runs the program core in a process of its own, in the shell's namespace.
func (s *shell) program(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(s.t.Context(), os.Args[0], append(args, s.base...)...) //nolint:gosec // this program
	cmd.Args[0] = "core"                                                              // by a name of a test it would leave signals alone
	cmd.Env = append(os.Environ(), programVariable+"=1")
	return cmd
}

// shell runs command lines against one namespace.
type shell struct {
	t    *testing.T
	base []string
}

func newShell(t *testing.T) *shell {
	t.Setenv("REDIS_URL", redistest.Shared(t).URL())
	return &shell{t: t, base: []string{"--namespace", "cmd-" + uuid.NewString(), "--partitions", "2"}}
}

func (s *shell) try(args ...string) (out, errs string, err error) {
	s.t.Helper()
	var o, e buffer
	cmd := command(&o, &e)
	cmd.SetArgs(append(args, s.base...))
	err = cmd.ExecuteContext(s.t.Context())
	return o.String(), e.String(), err
}

func (s *shell) do(args ...string) string {
	s.t.Helper()
	out, errs, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("core %s: %v\n%s", strings.Join(args, " "), err, errs)
	}
	return out
}

// json runs a command with --json and decodes its output, one object per line.
func (s *shell) json(args ...string) []map[string]any {
	s.t.Helper()
	var objects []map[string]any
	for line := range strings.Lines(s.do(append(args, "--json")...)) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			s.t.Fatalf("core %s prints %q: %v", strings.Join(args, " "), line, err)
		}
		objects = append(objects, object)
	}
	return objects
}

// buffer is a bytes.Buffer that may be read while it is written.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// until waits for text to be printed.
func (b *buffer) until(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(b.String(), text) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%q was not printed; printed was:\n%s", text, b.String())
		}
	}
}

// follow runs a command that lasts; stop ends it as a signal would.
func (s *shell) follow(args ...string) (out, errs *buffer, stop func()) {
	s.t.Helper()
	out, errs, end := s.start(nil, args...)
	stop = func() {
		if err := end(); err != nil {
			s.t.Errorf("core %s: %v", strings.Join(args, " "), err)
		}
	}
	s.t.Cleanup(stop)
	return out, errs, stop
}

// start runs a command until end is called, which returns its error the first time. The API of serve has a free port, unless args name one, and
// handler, if that is not nil.
func (s *shell) start(handler func(*chatcore.Core) http.Handler, args ...string) (out, errs *buffer, end func() error) {
	s.t.Helper()
	out, errs = &buffer{}, &buffer{}
	ctx, cancel := context.WithCancel(s.t.Context())
	c := newCLI(out, errs)
	if handler != nil {
		c.handler = handler
	}
	cmd := c.root() //nolint:contextcheck // commands have the context that executes them
	if args[0] == "serve" && !slices.Contains(args, "--listen") {
		args = append(args, "--listen", "127.0.0.1:0")
	}
	cmd.SetArgs(append(args, s.base...))
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	var once sync.Once
	end = func() (err error) {
		once.Do(func() {
			cancel()
			err = <-ended
		})
		return err
	}
	s.t.Cleanup(func() { _ = end() })
	return out, errs, end
}
