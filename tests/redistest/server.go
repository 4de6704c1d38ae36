package redistest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	missing = "redis-server (7.0 or newer) is not installed; install it with: " +
		"sudo apt-get install -y redis-server   (macOS: brew install redis)"

	minMajor     = 7
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
	pollInterval = 5 * time.Millisecond

	// Ports are taken from below the range that systems use for outgoing connections: there, a client that redials a stopped
	// server could be given the server's own port, and Restart would find it in use.
	firstPort, lastPort = 20000, 32767
)

var errPortInUse = errors.New("port in use")

// Server is a redis-server process of the test. Its methods are safe for concurrent use.
type Server struct {
	Dir string // its working directory: append-only files, snapshots, redis.log

	port int
	args []string

	mu     sync.Mutex
	cmd    *exec.Cmd     // nil while it does not run
	exited chan struct{} // closed once cmd was waited for
}

// Start starts a server for this test alone, with extra arguments such as "--appendonly", "yes", and stops it when the test ends.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{Dir: t.TempDir(), args: args}
	t.Cleanup(s.Stop)
	s.start(t)
	return s
}

// Addr is the server's address, 127.0.0.1:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL is the server's redis:// URL.
func (s *Server) URL() string { return "redis://" + s.Addr() }

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

func (s *Server) end(sig os.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig) // an error means that it has exited
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-s.exited:
	case <-timer.C:
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
	s.cmd = nil
}

// start runs the server, on a port found free unless it had one before.
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
	cmd := exec.Command(path, append([]string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", s.Dir, "--save", "", "--appendonly", "no",
	}, s.args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	dieWithParent(cmd)

	started, exited := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(exited)
		// On Linux the child dies with the thread that started it: this one is kept for as long as the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended does not matter
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	if err := s.await(log.Name(), exited, deadline); err != nil {
		_ = cmd.Process.Kill()
		<-exited
		return err
	}
	s.cmd, s.exited = cmd, exited
	return nil
}

// await returns once the server says it is ready and answers. What it says counts, as another process may answer on the port.
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

// checkVersion looks at the version that a server logs when it starts.
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

// answers reports whether a server replies to a PING, be it with an error such as NOAUTH.
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

// freePort gives a port that nobody listened on a moment ago.
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
