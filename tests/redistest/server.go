package redistest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"chatcore/tests/child"
	"chatcore/tests/wait"
)

const (
	missing = "redis-server (7.0 or newer) is not installed; install it with: " +
		"sudo apt-get install -y redis-server   (macOS: brew install redis)"

	minMajor     = 7
	startTimeout = wait.Limit
	stopTimeout  = wait.Limit / 2
	pollInterval = 5 * time.Millisecond

	// Ports are below the range that systems use for outgoing connections. In that range, a client that redials a stopped server could get the
	// server's own port, and Restart would find it in use.
	firstPort, lastPort = 20000, 32767
)

var errPortInUse = errors.New("port in use")

// Server is a redis-server process of the test. Its methods are safe for concurrent use.
type Server struct {
	Dir string // its working directory: append-only files, snapshots, redis.log

	port int
	args []string

	mu      sync.Mutex
	process *child.Process // nil while it does not run
}

// Start starts a server for this test alone, with extra arguments such as "--appendonly", "yes", and stops it when the test ends.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{Dir: t.TempDir(), args: args}
	t.Cleanup(s.Stop)
	s.start(t)
	return s
}

// Addr returns the server's address, 127.0.0.1:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL returns the server's redis:// URL.
func (s *Server) URL() string {
	if os.Getenv(ACL) != "" {
		return "redis://core:core@" + s.Addr()
	}
	return "redis://" + s.Addr()
}

// Stop ends the server with SIGTERM and waits until it has exited. It need not run.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends the server with SIGKILL, as a crash would, and waits until it has exited. It need not run.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Restart stops the server if it runs and starts it again on the same port, directory and arguments.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop()
	s.start(t)
}

// Freeze suspends the server until Thaw: connections stay open, and nothing is answered. The server need not run.
func (s *Server) Freeze() { s.running((*child.Process).Freeze) }

// Thaw resumes a frozen server.
func (s *Server) Thaw() { s.running((*child.Process).Thaw) }

func (s *Server) running(do func(*child.Process)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		do(s.process)
	}
}

// KillClients closes all connections of clients, including subscribers to channels; those of replicas and of other nodes stay.
func (s *Server) KillClients(t testing.TB) {
	t.Helper()
	client := s.client()
	defer func() { _ = client.Close() }()
	for _, kind := range []string{"normal", "pubsub"} {
		if err := client.ClientKillByFilter(context.WithoutCancel(t.Context()), "TYPE", kind).Err(); err != nil {
			t.Fatalf("%s: killing clients: %v", s.Addr(), err)
		}
	}
}

// Client returns a client of this server alone. It retries nothing and is closed when the test ends.
func (s *Server) Client(t testing.TB) *goredis.Client {
	t.Helper()
	client := s.client()
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func (s *Server) client() *goredis.Client {
	options := &goredis.Options{
		Addr: s.Addr(), MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if os.Getenv(ACL) != "" {
		options.Username, options.Password = "admin", "admin"
	}
	return goredis.NewClient(options)
}

func (s *Server) end(sig os.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.End(sig, stopTimeout)
		s.process = nil
	}
}

// start runs the server, on a free port unless it had one before.
func (s *Server) start(t testing.TB) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal(missing)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	deadline := time.NewTimer(startTimeout)
	defer deadline.Stop()
	again := time.NewTicker(pollInterval)
	defer again.Stop()
	for keep := s.port != 0; ; {
		if !keep {
			s.port = freePort(t)
		}
		err := s.launch(path, deadline.C)
		if err == nil {
			return
		}
		if !errors.Is(err, errPortInUse) {
			t.Fatalf("redis-server: %v", err)
		}
		select {
		case <-again.C:
		case <-deadline.C:
			t.Fatalf("redis-server: %s: %v", s.Addr(), err)
		}
	}
}

// launch starts the process and waits until it serves.
func (s *Server) launch(path string, deadline <-chan time.Time) error {
	log, err := os.Create(filepath.Join(s.Dir, "redis.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	args, env, err := s.clockEnv(s.args)
	if err != nil {
		return err
	}
	cmd := exec.Command(path, append([]string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", s.Dir, "--save", "", "--appendonly", "no",
	}, append(slices.Clip(args), accounts()...)...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, log, log
	signal.Ignore(syscall.SIGXFSZ) // children inherit it: for LimitFiles, so that a write beyond the limit fails and does not kill
	process, err := child.Start(cmd)
	if err != nil {
		return err
	}
	if err := s.await(log.Name(), process.Exited(), deadline); err != nil {
		process.End(syscall.SIGKILL, stopTimeout)
		return err
	}
	s.process = process
	return nil
}

// await returns once the server logs that it is ready and answers. Its log counts, because another process may answer on the port.
func (s *Server) await(log string, exited <-chan struct{}, deadline <-chan time.Time) error {
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		select {
		case <-poll.C:
			said, err := os.ReadFile(log)
			if err != nil {
				return err
			}
			if err := checkVersion(said); err != nil {
				return err
			}
			if bytes.Contains(said, []byte("Ready to accept connections")) && answers(s.Addr()) {
				return nil
			}
		case <-exited:
			said, err := os.ReadFile(log)
			if bytes.Contains(said, []byte("Address already in use")) {
				return errPortInUse
			}
			return errors.Join(fmt.Errorf("exited at start:\n%s", said), err)
		case <-deadline:
			said, err := os.ReadFile(log)
			return errors.Join(fmt.Errorf("not ready after %v:\n%s", startTimeout, said), err)
		}
	}
}

// checkVersion checks the version that a server logs when it starts.
func checkVersion(log []byte) error {
	m := regexp.MustCompile(`version=(\d+)\.[\d.]+`).FindSubmatch(log)
	if m == nil {
		return nil
	}
	if major, err := strconv.Atoi(string(m[1])); err != nil || major < minMajor {
		return fmt.Errorf("%s, which is too old: %s", m[0], missing)
	}
	return nil
}

// answers reports whether a server replies to a PING, even with an error such as NOAUTH.
func answers(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return false
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	reply := make([]byte, 64)
	n, _ := conn.Read(reply)
	return n > 0
}

// freePort returns a port that was free a moment ago.
func freePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatalf("no free port from %d to %d", firstPort, lastPort)
	return 0
}
