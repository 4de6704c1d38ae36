// Package postgrestest gives tests a real PostgreSQL: a private server on a free loopback port, in a directory of its own, that ends with the test.
package postgrestest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"chatcore/tests/child"
	"chatcore/tests/wait"
)

// ErrNotInstalled is returned by [Installed] when the machine has no server of PostgreSQL.
var ErrNotInstalled = errors.New("PostgreSQL is not installed; `sh scripts/ensure.sh postgresql` installs it where it may")

// Server is a PostgreSQL server of the test, with the database postgres and the user core, who needs no password.
type Server struct {
	port    int
	process *child.Process
}

// Start starts a server for this test alone, with extra arguments such as "-F", and stops it when the test ends.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	if err := Installed(); err != nil {
		t.Fatal(err)
	}
	account := account(t)
	dir, err := os.MkdirTemp("", "chatcore-postgres") //nolint:usetesting // the directories of tests are closed to the other account
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if account != nil {
		if err := os.Chown(dir, int(account.Uid), int(account.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	command := func(program string, args ...string) *exec.Cmd {
		cmd := exec.Command(path(program), args...) //nolint:gosec // a program of the machine
		cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: account}
		return cmd
	}
	data := filepath.Join(dir, "data")
	if out, err := command("initdb", "--pgdata", data, "--username", "core", "--auth", "trust", "--no-sync", "--encoding", "UTF8", "--locale", "C").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	s := &Server{port: freePort(t)}
	var log bytes.Buffer // readable once the process has exited
	server := command("postgres", append([]string{"-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-k", ""}, args...)...)
	server.Stdout, server.Stderr = &log, &log
	if s.process, err = child.Start(server); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.process.End(syscall.SIGQUIT, wait.Limit) })
	wait.Until(t, "PostgreSQL accepts connections", func() bool {
		select {
		case <-s.process.Exited():
			t.Fatalf("postgres ended: %v\n%s", s.process.Err(), log.String())
		default:
		}
		return exec.CommandContext(context.WithoutCancel(t.Context()), path("psql"), s.URL(), "-c", "select 1").Run() == nil //nolint:gosec // a program of the machine
	})
	return s
}

// URL returns the database's postgres:// URL.
func (s *Server) URL() string { return fmt.Sprintf("postgres://core@127.0.0.1:%d/postgres", s.port) }

// Pid returns the process id of the server, which is the parent of one process for each connection.
func (s *Server) Pid() int { return s.process.Pid() }

// Installed returns nil if the machine has the programs that [Start] needs, and [ErrNotInstalled] otherwise.
func Installed() error {
	for _, program := range []string{"initdb", "postgres", "psql"} {
		if path(program) == "" {
			return ErrNotInstalled
		}
	}
	return nil
}

// account returns the account that PostgreSQL runs as, which refuses to run as root, or nil for that of the test.
func account(t testing.TB) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(account.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(account.Gid, 10, 32)
		if err == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	t.Fatal("there is no account postgres or nobody")
	return nil
}

// path returns the path of a program of PostgreSQL, or nothing if there is none. Debian has those of the server in a directory of each version.
func path(name string) string {
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin"} {
		found, _ := filepath.Glob(filepath.Join(pattern, name))
		if len(found) > 0 {
			return slices.Max(found)
		}
	}
	found, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	return found
}

// freePort returns a port that nobody listens on.
func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port //nolint:errcheck,forcetypeassert // of a TCP listener
}
