package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// smallPipe returns a pipe that holds one page: a longer write blocks until somebody reads.
func smallPipe(t *testing.T) (read, write *os.File) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	const setPipeSize = 1031 // F_SETPIPE_SZ of Linux
	if _, _, failed := syscall.Syscall(syscall.SYS_FCNTL, read.Fd(), setPipeSize, uintptr(os.Getpagesize())); failed != 0 {
		t.Fatal(failed)
	}
	return read, write
}

// unread returns how many bytes a pipe holds.
func unread(t *testing.T, pipe *os.File) int {
	t.Helper()
	var n int32
	if _, _, failed := syscall.Syscall(syscall.SYS_IOCTL, pipe.Fd(), syscall.TIOCINQ, uintptr(unsafe.Pointer(&n))); failed != 0 { //nolint:gosec // an ioctl
		t.Fatal(failed)
	}
	return int(n)
}

// TestSignals_TheSecondEndsAtOnce sends two signals to a tail whose handler hangs, because its output is not read.
func TestSignals_TheSecondEndsAtOnce(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada")
	read, write := smallPipe(t)
	defer func() { _ = read.Close() }()
	var errs buffer
	cmd := s.program("tail", "--json")
	cmd.Stdout, cmd.Stderr = write, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	wait.Until(t, "the tail prints", func() bool {
		s.do("send", "c", strings.Repeat("x", 2*os.Getpagesize()), "--as", "ada")
		return unread(t, read) > 0
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	errs.until(t, "stopping; a second signal ends it at once")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM { //nolint:forcetypeassert // on Linux
		t.Errorf("the program ended with %v; printed was\n%s", err, errs.String())
	}
}

// TestSignals_WhileConnecting end a service well that has found no Redis, or one that does not answer.
func TestSignals_WhileConnecting(t *testing.T) {
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server)
	asked := make(chan struct{}, 64)
	swallow := func([]byte) bool {
		select {
		case asked <- struct{}{}:
		default:
		}
		return true
	}
	proxy.Request.Store(&swallow)
	drop := func([]byte) bool { return false }
	proxy.Reply.Store(&drop)
	for _, args := range [][]string{{"serve"}, {"tail"}} {
		t.Setenv("REDIS_URL", proxy.URL())
		s := &shell{t: t, base: []string{"--namespace", "signals"}}
		cmd := s.program(args...)
		var errs buffer
		cmd.Stdout, cmd.Stderr = io.Discard, &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-asked:
		case <-time.After(patience):
			t.Fatal("it does not connect")
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("core %s ended with %v; printed was\n%s", strings.Join(args, " "), err, errs.String())
		}
	}
}
