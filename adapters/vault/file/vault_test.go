package file

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
)

// limited is the environment variable that makes the test binary write into a vault under a limit of file sizes.
const limited = "VAULT_OF_LIMITED_PROCESS"

// fileLimit is the largest file of that process, in bytes.
const fileLimit = 64 << 10

func TestMain(m *testing.M) {
	if dir := os.Getenv(limited); dir != "" {
		os.Exit(writeLimited(dir))
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, directory string) *Vault {
	t.Helper()
	v, err := Open(directory)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVault(t *testing.T) {
	porttest.Vault(t, func(t *testing.T) ports.Vault { return open(t, t.TempDir()) })
}

// TestVault_SeveralOpenings runs the suite on two openings of a directory, which alternate.
func TestVault_SeveralOpenings(t *testing.T) {
	dir := t.TempDir()
	porttest.Vault(t, func(t *testing.T) ports.Vault { return &alternating{Vault: open(t, dir), other: open(t, dir)} })
	left, err := os.ReadDir(filepath.Join(dir, unfinished))
	if err != nil || len(left) > 0 {
		t.Errorf("unfinished objects are left: %v, error %v", left, err)
	}
}

// TestVault_Survives reads objects through another opening, as after a restart.
func TestVault_Survives(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "vault")
	body := []byte("body")
	if err := open(t, dir).Put(t.Context(), "a/b", body); err != nil {
		t.Fatal(err)
	}
	if got, err := open(t, dir).Get(t.Context(), "a/b", 0, ports.WholeObject); err != nil || !bytes.Equal(got, body) {
		t.Errorf("got %q, error %v", got, err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "a"), filepath.Join(dir, "a", "b")} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %v, error %v, want nothing for other users", path, info.Mode(), err)
		}
	}
}

// TestVault_Leftovers leaves unfinished objects as a crash does: an old one is removed, none is listed.
func TestVault_Leftovers(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	young, old := filepath.Join(dir, unfinished, "1"), filepath.Join(dir, unfinished, "2")
	for _, path := range []string{young, old} {
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-abandoned - time.Minute)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	v := open(t, dir)
	if _, err := os.Stat(young); err != nil {
		t.Errorf("a young file is gone: %v", err)
	}
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an abandoned file is still there: %v", err)
	}
	for o, err := range v.List(t.Context(), "", "") {
		t.Errorf("the list has %v, error %v", o, err)
	}
}

// TestVault_Full writes in a process whose files may not grow beyond a limit, as on a full disk: a part of the object can be written.
func TestVault_Full(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this binary
	cmd.Env = append(os.Environ(), limited+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the process that writes: %v\n%s", err, out)
	}
	v := open(t, dir)
	if got, err := v.Get(t.Context(), "a/small", 0, ports.WholeObject); err != nil || len(got) != fileLimit {
		t.Errorf("the small object has %d bytes, error %v", len(got), err)
	}
	if _, err := v.Get(t.Context(), "a/large", 0, ports.WholeObject); !errors.Is(err, ports.ErrObjectNotFound) {
		t.Errorf("the large object: %v, want %v", err, ports.ErrObjectNotFound)
	}
	if left, err := os.ReadDir(filepath.Join(dir, unfinished)); err != nil || len(left) > 0 {
		t.Errorf("unfinished objects are left: %v, error %v", left, err)
	}
}

// writeLimited is the process of TestVault_Full. It returns the exit code.
func writeLimited(dir string) int {
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: fileLimit, Max: fileLimit}); err != nil {
		return 2
	}
	v, err := Open(dir)
	if err != nil {
		return 3
	}
	if err := v.Put(context.Background(), "a/small", make([]byte, fileLimit)); err != nil {
		return 4
	}
	if err := v.Put(context.Background(), "a/large", make([]byte, fileLimit+1)); !errors.Is(err, ports.ErrVaultFull) || errors.Is(err, ports.ErrUnavailable) {
		return 5
	}
	if err := v.Put(context.Background(), "a/small", make([]byte, 1)); !errors.Is(err, ports.ErrExists) {
		return 6
	}
	return 0
}

// TestVault_Gone removes the directory of an open vault, as an unmount does. Objects are not missing then.
func TestVault_Gone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "vault")
	v := open(t, dir)
	if err := v.Put(t.Context(), "a/b", nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+"2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	_, get := v.Get(t.Context(), "a/b", 0, 1)
	var list error
	for _, list = range v.List(t.Context(), "a", "") { //nolint:revive // the error is the last one
	}
	for call, err := range map[string]error{"Get": get, "List": list, "Put": v.Put(t.Context(), "a/c", nil), "Delete": v.Delete(t.Context(), "a/b")} {
		if !errors.Is(err, ports.ErrVaultDenied) || errors.Is(err, ports.ErrObjectNotFound) {
			t.Errorf("%s: %v, want %v", call, err, ports.ErrVaultDenied)
		}
	}
}

// TestVault_Denied has folders that nobody may change. Root may, so that the folder is a file system that root cannot write either, /proc.
func TestVault_Denied(t *testing.T) {
	if _, err := Open("/proc/vault"); !errors.Is(err, ports.ErrVaultDenied) {
		t.Errorf("open: %v, want %v", err, ports.ErrVaultDenied)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file); !errors.Is(err, ports.ErrVaultDenied) {
		t.Errorf("open a file: %v, want %v", err, ports.ErrVaultDenied)
	}
}

// TestVault_NoFolderIsLeft deletes all objects: names of chats are not left as names of folders.
func TestVault_NoFolderIsLeft(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	names := []string{"log/seg/ada/1", "log/seg/ada/2", "log/seg/ben/1"}
	for _, name := range names {
		if err := v.Put(t.Context(), name, nil); err != nil {
			t.Fatal(err)
		}
	}
	left := func() string {
		var found []string
		_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			found = append(found, strings.TrimPrefix(path, dir))
			return err
		})
		return strings.Join(found, " ")
	}
	if err := v.Delete(t.Context(), names[0], names[2]); err != nil {
		t.Fatal(err)
	}
	if got, want := left(), " /.unfinished /log /log/seg /log/seg/ada /log/seg/ada/2"; got != want {
		t.Errorf("left are%s, want%s", got, want)
	}
	if err := v.Delete(t.Context(), names[1]); err != nil {
		t.Fatal(err)
	}
	if got, want := left(), " /.unfinished"; got != want {
		t.Errorf("left are%s, want%s", got, want)
	}
}

func TestVault_Check(t *testing.T) {
	v := open(t, t.TempDir())
	if found, err := v.Check(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("findings %v, error %v", found, err)
	}
	for o, err := range v.List(t.Context(), "", "") {
		t.Errorf("the check has left %v, error %v", o, err)
	}
}

func TestVault_BelowAnObject(t *testing.T) {
	v := open(t, t.TempDir())
	for _, name := range []string{"a", "b/c"} {
		if err := v.Put(t.Context(), name, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a/b", "b"} {
		if err := v.Put(t.Context(), name, nil); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("put %q: %v, want %v", name, err, domain.ErrInvalid)
		}
	}
}

// TestVault_Unfinished reports the oldest file that an interrupted write has left.
func TestVault_Unfinished(t *testing.T) {
	dir := t.TempDir()
	v, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Put(t.Context(), "object", []byte("bytes")); err != nil {
		t.Fatal(err)
	}
	if at, err := v.Unfinished(t.Context()); err != nil || !at.IsZero() {
		t.Errorf("after a write: %s, %v", at, err)
	}
	old := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i, name := range []string{"a", "b", "c"} {
		path := filepath.Join(dir, unfinished, name)
		at := old.Add(time.Duration((i+1)%3) * time.Hour) // the second is in between, the third the oldest
		if err := errors.Join(os.WriteFile(path, []byte("x"), 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	if at, err := v.Unfinished(t.Context()); err != nil || !at.Equal(old) {
		t.Errorf("with three files: %s, %v, want %s", at, err, old)
	}
	if err := v.RemoveUnfinished(t.Context(), old.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if at, err := v.Unfinished(t.Context()); err != nil || !at.Equal(old.Add(time.Hour)) {
		t.Errorf("after the oldest file was removed: %s, %v", at, err)
	}
	if err := os.RemoveAll(filepath.Join(dir, unfinished)); err != nil {
		t.Fatal(err)
	}
	if err := v.RemoveUnfinished(t.Context(), old); !errors.Is(err, ports.ErrVaultDenied) {
		t.Errorf("removing in a vault that is gone: %v", err)
	}
	if _, err := v.Unfinished(t.Context()); !errors.Is(err, ports.ErrVaultDenied) {
		t.Errorf("of a vault that is gone: %v", err)
	}
}
