package child_test

import (
	"errors"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"chatcore/tests/child"
	"chatcore/tests/wait"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, script string) *child.Process {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	in, err := cmd.StdinPipe() // the script reads from it
	if err != nil {
		t.Fatal(err)
	}
	p, err := child.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.End(syscall.SIGKILL, time.Second)
		_ = in.Close()
	})
	return p
}

func TestHowAChildEnds(t *testing.T) {
	if err := start(t, "exit 0").Err(); err != nil {
		t.Errorf("exit code 0: %v", err)
	}
	var exit *exec.ExitError
	if err := start(t, "exit 3").Err(); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("exit code 3: %v", err)
	}
	if _, err := child.Start(exec.Command("/nowhere")); err == nil {
		t.Error("what is not there was started")
	}
}

func TestAFrozenChildEnds(t *testing.T) {
	p := start(t, "read x")
	p.Freeze()
	p.End(syscall.SIGTERM, wait.Limit)
	if err := p.Err(); err == nil || err.Error() != "signal: terminated" {
		t.Errorf("ended by %v", err)
	}
	p.Freeze() // has exited
	p.Thaw()
}

func TestAChildThatWillNotEndIsKilled(t *testing.T) {
	p := start(t, "trap '' TERM; kill -TERM $$; read x")
	p.End(syscall.SIGTERM, 300*time.Millisecond)
	if err := p.Err(); err == nil {
		t.Error("it ended by itself")
	}
}
