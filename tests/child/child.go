// Package child starts processes that end with the test process at the latest. It can suspend and end them.
package child

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Process is a started child process. Its methods are safe for concurrent use, also after it has exited.
type Process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // readable once exited is closed
}

// Start starts a command.
func Start(cmd *exec.Cmd) (*Process, error) {
	dieWithParent(cmd)
	p := &Process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		defer close(p.exited)
		// On Linux the child dies with the thread that started it. This goroutine keeps the thread for as long as the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Pid returns the child's process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Exited is closed when the child has ended and all it wrote has been read.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Err returns how an exited child ended: nil for exit code 0.
func (p *Process) Err() error {
	<-p.exited
	return p.err
}

// Freeze suspends the child, with its connections open, until Thaw.
func (p *Process) Freeze() { p.signal(syscall.SIGSTOP) }

// Thaw resumes a frozen child.
func (p *Process) Thaw() { p.signal(syscall.SIGCONT) }

// End sends a signal and waits until the child has exited. It kills the child after the given time.
func (p *Process) End(sig os.Signal, patience time.Duration) {
	p.signal(sig)
	p.Thaw() // a frozen child takes no signal but a kill
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		p.signal(syscall.SIGKILL)
		<-p.exited
	}
}

func (p *Process) signal(sig os.Signal) {
	_ = p.cmd.Process.Signal(sig) // an error means that it has exited
}
