//go:build interop

package interop

import (
	"bytes"
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

// startPostgres starts a PostgreSQL for this test alone, and stops it when the test ends. It returns its URL.
func startPostgres(t *testing.T) string {
	t.Helper()
	account := postgresAccount(t)
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
		cmd := exec.Command(postgresProgram(t, program), args...) //nolint:gosec // a program of the machine
		cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: account}
		return cmd
	}
	data := filepath.Join(dir, "data")
	if out, err := command("initdb", "--pgdata", data, "--username", "core", "--auth", "trust", "--no-sync", "--encoding", "UTF8", "--locale", "C").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	port := freePort(t)
	var log bytes.Buffer // readable once the process has exited
	server := command("postgres", "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-k", "", "-F")
	server.Stdout, server.Stderr = &log, &log
	process, err := child.Start(server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { process.End(syscall.SIGQUIT, patience) })
	database := fmt.Sprintf("postgres://core@127.0.0.1:%d/postgres", port)
	wait.Until(t, "PostgreSQL accepts connections", func() bool {
		select {
		case <-process.Exited():
			t.Fatalf("postgres ended: %v\n%s", process.Err(), log.String())
		default:
		}
		return exec.CommandContext(t.Context(), postgresProgram(t, "psql"), database, "-c", "select 1").Run() == nil //nolint:gosec // a program of the machine
	})
	return database
}

// postgresAccount returns the account that PostgreSQL runs as, which refuses to run as root, or nil for that of the test.
func postgresAccount(t *testing.T) *syscall.Credential {
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

// postgresProgram returns the path of a program of PostgreSQL. Debian has those of the server in a directory of each version.
func postgresProgram(t *testing.T, name string) string {
	t.Helper()
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin"} {
		found, _ := filepath.Glob(filepath.Join(pattern, name))
		if len(found) > 0 {
			return slices.Max(found)
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("there is no %s; `make interop` installs PostgreSQL where it may", name)
	}
	return path
}

// freePort returns a port that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port //nolint:errcheck,forcetypeassert // of a TCP listener
}
