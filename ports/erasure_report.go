package ports

import (
	"strconv"
	"time"
)

// ErasureStatus is the status of an erasure in one place.
type ErasureStatus uint8

// The statuses.
const (
	ErasureDone        ErasureStatus = iota + 1 // the place was examined and has none of the content
	ErasurePending                              // the place has content, which goes by itself or by another call
	ErasureUnreachable                          // the place was not examined
)

// String returns "done", "pending" or "not reachable".
func (s ErasureStatus) String() string {
	switch s {
	case ErasureDone:
		return "done"
	case ErasurePending:
		return "pending"
	case ErasureUnreachable:
		return "not reachable"
	}
	return "ErasureStatus(" + strconv.Itoa(int(s)) + ")"
}

// ErasurePlace is what an examination has found in one place.
type ErasurePlace struct {
	Place  string // such as "log" or "vault segments"
	Status ErasureStatus
	Until  time.Time // when pending content is gone at the latest; zero if that is unknown
	Detail string    // why it is pending or was not examined; "" if there is nothing to say
}
