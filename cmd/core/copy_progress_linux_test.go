package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"chatcore"
	"chatcore/adapters/vault/archive"
	"chatcore/tests/wait"
)

// pseudoTerminal returns both ends of a pseudo-terminal.
func pseudoTerminal(t *testing.T) (screen, device *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	const unlock, number = 0x40045431, 0x80045430 // TIOCSPTLCK, TIOCGPTN
	var locked, n int32
	for request, value := range map[uintptr]*int32{unlock: &locked, number: &n} {
		if _, _, failed := syscall.Syscall(syscall.SYS_IOCTL, screen.Fd(), request, uintptr(unsafe.Pointer(value))); failed != 0 { //nolint:gosec // a number for the system
			t.Fatal(failed)
		}
	}
	if device, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = device.Close() })
	return screen, device
}

// TestProgress shows bars on a terminal, and nothing elsewhere.
func TestProgress(t *testing.T) {
	screen, device := pseudoTerminal(t)
	shown := make(chan string, 64)
	go func() {
		defer close(shown)
		for b := make([]byte, 4096); ; {
			n, err := screen.Read(b)
			if err != nil {
				return
			}
			shown <- string(b[:n])
		}
	}()
	until := func(text string) {
		t.Helper()
		ended := time.After(wait.Limit)
		for all := ""; !strings.Contains(all, text); {
			select {
			case more := <-shown:
				all += more
			case <-ended:
				t.Fatalf("the terminal shows %q, not %q", all, text)
			}
		}
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "errors"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // of the test
	var buffer bytes.Buffer
	for _, c := range []*cli{{errs: file}, {errs: &buffer}} {
		if c.copyProgress("verifying") != nil {
			t.Error("progress is shown without a terminal")
		}
		c.backupProgress()(archive.BackupTails, 1, 2)
	}
	if info, err := file.Stat(); err != nil || info.Size() > 0 || buffer.Len() > 0 {
		t.Errorf("the file has %d bytes, error %v, the buffer %q", info.Size(), err, buffer.String())
	}
	c := &cli{errs: device}
	if err := c.copyProgress("verifying")(chatcore.CopyProgress{Partition: 1, Partitions: 4, Events: 7}); err != nil {
		t.Fatal(err)
	}
	until("verifying, partition 2 of 4")
	show := c.backupProgress()
	show(archive.BackupJournals, 1, 4)
	until("journals")
	show(archive.BackupTails, 1, 4)
	until("tails")
	_ = device.Close() // ends the reading
	for range shown {
	}
}
