package redistest

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// shared is the server of this test process; only [Main] runs longer than all of its tests, and so can stop it.
//
//nolint:gochecknoglobals // the one server of a test process
var shared struct {
	sync.Mutex
	main   bool
	server *Server
}

// Main is the body of a TestMain: it runs the tests, stops the shared server, fails if goroutines are left and exits. The options select goroutines
// that may be left.
func Main(m *testing.M, left ...goleak.Option) {
	shared.Lock()
	shared.main = true
	shared.Unlock()
	code := m.Run()
	stopShared()
	// go-redis checks once a second whether a pool that cannot reach its server has been closed.
	left = append(left, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
	if err := goleak.Find(left...); err != nil && code == 0 { // after failures leaks are noise
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// Shared returns the one server of this test process and starts it for the first test that asks. Tests that use it are separated by namespaces, and
// neither flush, stop nor configure it.
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if !shared.main {
		t.Fatal("redistest.Shared needs a TestMain that calls redistest.Main")
	}
	if shared.server == nil {
		dir, err := os.MkdirTemp("", "redistest") //nolint:usetesting // the directory outlives the test
		if err != nil {
			t.Fatal(err)
		}
		s := &Server{Dir: dir}
		t.Cleanup(func() {
			if shared.server == nil { // the start failed
				_ = os.RemoveAll(dir)
			}
		})
		s.start(t)
		shared.server = s
	}
	return shared.server
}

func stopShared() {
	shared.Lock()
	defer shared.Unlock()
	if s := shared.server; s != nil {
		s.Stop()
		_ = os.RemoveAll(s.Dir)
		shared.server = nil
	}
}
