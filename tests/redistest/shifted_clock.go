package redistest

import (
	_ "embed" // the library
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

//go:embed preload/clock.c
var clockSource []byte

// shiftedClock is the prefix of the [Start] argument that [Clock.Arg] returns.
const shiftedClock = "shifted-clock="

// Clock gives servers a wall clock that the test can shift. Their monotonic clock is unchanged. It works on Linux.
type Clock struct{ library string }

// NewClock builds the library that is loaded into the servers. It needs a C compiler.
func NewClock(t testing.TB) *Clock {
	t.Helper()
	compiler, err := exec.LookPath("cc")
	if err != nil {
		t.Fatal("there is no C compiler; install one with: sudo apt-get install -y gcc libc6-dev")
	}
	dir := t.TempDir()
	source, library := filepath.Join(dir, "clock.c"), filepath.Join(dir, "clock.so")
	if err := os.WriteFile(source, clockSource, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), compiler, "-O2", "-shared", "-fPIC", "-o", library, source).CombinedOutput(); err != nil { //nolint:gosec // the compiler
		t.Fatalf("building the clock: %v\n%s", err, out)
	}
	return &Clock{library: library}
}

// Arg returns the argument of [Start], [StartCluster] and [StartReplicatedCluster] that gives each server such a clock.
func (c *Clock) Arg() string { return shiftedClock + c.library }

// ShiftClock sets the server's wall clock to the machine's plus d. The server must have been started with [Clock.Arg].
func (s *Server) ShiftClock(t testing.TB, d time.Duration) {
	t.Helper()
	if err := s.writeClock(d); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) clockFile() string { return filepath.Join(s.Dir, "clock") }

func (s *Server) writeClock(d time.Duration) error {
	file, err := os.OpenFile(s.clockFile(), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(binary.NativeEndian.AppendUint64(nil, uint64(d.Microseconds()))) //nolint:gosec // two's complement is meant
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}

// clockEnv separates the argument of a [Clock] from the others and returns the environment for it. Such a server runs without the background thread of
// its allocator: behind the machine's time, each of that thread's waits would end at once, and it would use a whole core.
func (s *Server) clockEnv(args []string) (rest, env []string, err error) {
	for _, arg := range args {
		library, found := strings.CutPrefix(arg, shiftedClock)
		if !found {
			rest = append(rest, arg)
			continue
		}
		env = append(os.Environ(), "LD_PRELOAD="+library, "CHATCORE_CLOCK="+s.clockFile())
		rest = append(rest, "--jemalloc-bg-thread", "no")
		if _, err := os.Stat(s.clockFile()); err == nil { // a restarted server keeps its clock
			continue
		}
		if err := s.writeClock(0); err != nil {
			return nil, nil, err
		}
	}
	return rest, env, nil
}
