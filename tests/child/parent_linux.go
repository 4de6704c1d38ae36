package child

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel end the child when the thread that starts it ends, which it does with the process at the latest:
// a test process that panics or is killed leaves no child behind.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
