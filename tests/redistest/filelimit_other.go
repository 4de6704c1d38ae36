//go:build !linux

package redistest

import (
	"math"
	"testing"
)

// NoLimit is the argument of [Server.LimitFiles] that allows files of any size.
const NoLimit uint64 = math.MaxUint64

// LimitFiles needs Linux.
func (s *Server) LimitFiles(t testing.TB, _ uint64) {
	t.Helper()
	t.Fatal("LimitFiles needs Linux")
}
