package main

import (
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"chatcore/tests/wait"
)

// served starts serve in a process of its own and returns its command, output and URL.
func (s *shell) served(args ...string) (cmd *exec.Cmd, errs *buffer, url string) {
	s.t.Helper()
	out, errs := &buffer{}, &buffer{}
	cmd = s.program(append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Stdout, cmd.Stderr = out, errs
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	return cmd, errs, apiURL(s.t, out)
}

// TestServe_Signals drains for longer than the test on the first signal, and ends at once on the second.
func TestServe_Signals(t *testing.T) {
	cmd, errs, url := newShell(t).served("--admin", "127.0.0.1:0", "--drain-delay", "1h")
	admin := adminURL(t, errs)
	if status, body, _ := ask(t, url+"/readyz", http2); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{url, admin} {
		wait.Until(t, at+" is not ready", func() bool { status, _, _ := ask(t, at+"/readyz", http1); return status == 503 })
		if status, body, _ := ask(t, at+"/livez", http2); status != 200 {
			t.Errorf("%s: live is %d %s", at, status, body)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM { //nolint:forcetypeassert // on Unix
		t.Errorf("the program ended with %v; printed was\n%s", err, errs)
	}
}

// TestServe_SignalWithConnections exits with 0 while idle and incomplete connections are open.
func TestServe_SignalWithConnections(t *testing.T) {
	cmd, errs, url := newShell(t).served("--drain-delay", "1ms")
	for _, begin := range []string{"", "GET / HT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"} {
		conn := dial(t, strings.TrimPrefix(url, "http://"))
		if _, err := conn.Write([]byte(begin)); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || strings.Contains(errs.String(), "level=ERROR") {
		t.Errorf("the program ended with %v; printed was\n%s", err, errs)
	}
}
