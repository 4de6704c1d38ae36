package redistest

import (
	"math"
	"syscall"
	"testing"
	"unsafe"

	"chatcore/tests/child"
)

// NoLimit is the argument of [Server.LimitFiles] that allows files of any size.
const NoLimit uint64 = math.MaxUint64

// LimitFiles makes the server's writes to files fail beyond the given size, as on a full disk: with EFBIG instead of ENOSPC. It ends with [NoLimit],
// or when the server is started again.
func (s *Server) LimitFiles(t testing.TB, bytes uint64) {
	t.Helper()
	limit := syscall.Rlimit{Cur: bytes, Max: NoLimit}
	s.running(func(p *child.Process) {
		_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(p.Pid()), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&limit)), 0, 0, 0) //nolint:gosec // the call takes a pointer
		if errno != 0 && errno != syscall.ESRCH {
			t.Fatalf("limiting the files of %s: %v", s.Addr(), errno)
		}
	})
}
