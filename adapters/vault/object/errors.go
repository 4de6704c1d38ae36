package object

import (
	"errors"
	"fmt"
)

// Reasons for which an object is refused. The error is an [*Error].
var (
	// ErrTruncated is an object whose end is missing.
	ErrTruncated = errors.New("the object is truncated")
	// ErrDamaged is an object whose bytes are not those that were stored.
	ErrDamaged = errors.New("the object is damaged")
	// ErrSwapped is an object that was stored under another name of the same log.
	ErrSwapped = errors.New("the object belongs to another name")
	// ErrOtherLog is an object of another log.
	ErrOtherLog = errors.New("the object belongs to another log")
	// ErrNewerFormat is an undamaged object in a format that this program does not know. A newer program reads it.
	ErrNewerFormat = errors.New("the object has a newer format")
)

// Error is an object that cannot be used.
type Error struct {
	Name    string // under which it was found
	Reason  error  // one of the sentinels of this package
	Problem string // what was found instead of what
}

func (e *Error) Error() string { return fmt.Sprintf("%v: %s: %s", e.Reason, e.Name, e.Problem) }

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Reason }

// damaged returns an error of an object with a right sum and a wrong content.
func damaged(name Name, problem string) error {
	return &Error{Name: name.String(), Reason: ErrDamaged, Problem: problem}
}
