package wireformat

import (
	"errors"
	"fmt"
	"strings"

	"chatcore/domain"
	"chatcore/ports"
)

// Reasons why bytes are not an event, or an event cannot be written. The error itself is an [*Error].
var (
	// ErrUnknownType is a type of event that this program does not have.
	ErrUnknownType = errors.New("unknown event type")
	// ErrNewerVersion is a version of an event that a later program wrote. It is [ports.ErrNewerVersion].
	ErrNewerVersion = ports.ErrNewerVersion
	// ErrMalformed is bytes that are no event, or a field with a value that it cannot have.
	ErrMalformed = errors.New("malformed event")
)

// Error names the problem of an event and the allowed values. It never has the contents of a message.
type Error struct {
	Reason  error  // [ErrUnknownType], [ErrNewerVersion] or [ErrMalformed]
	Type    string // "" if not known
	Version int    // 0 if not known
	Field   string // "" if it is about the whole
	Problem string
	Allowed string
	Cause   error // may be nil
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Reason.Error())
	if e.Type != "" {
		fmt.Fprintf(&b, " %q", clip(e.Type))
	}
	if e.Version != 0 {
		fmt.Fprintf(&b, " v%d", e.Version)
	}
	b.WriteString(":")
	if e.Field != "" {
		b.WriteString(" " + e.Field)
	}
	b.WriteString(" " + e.Problem)
	if e.Allowed != "" {
		b.WriteString("; allowed: " + e.Allowed)
	}
	if e.Cause != nil {
		b.WriteString(": " + e.Cause.Error())
	}
	return b.String()
}

// Unwrap gives the reason and the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Reason}
	}
	return []error{e.Reason, e.Cause}
}

// TooLargeError is an event of more bytes than an event may have. It is [ports.ErrTooLarge].
type TooLargeError struct {
	Type  string
	Size  int // bytes, with room for the longest seq and ordinal
	Limit int // bytes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%v: %s has %d bytes as JSON; allowed: %d", ports.ErrTooLarge, e.Type, e.Size, e.Limit)
}

// Is reports that a TooLargeError is [ports.ErrTooLarge].
func (e *TooLargeError) Is(target error) bool { return target == ports.ErrTooLarge }

// unknown is an event of a type that is not one of the allowed.
func unknown(typ string, allowed []string) error {
	return &Error{Reason: ErrUnknownType, Type: typ, Field: "type", Problem: "is not known here", Allowed: strings.Join(allowed, ", ")}
}

// invalid copies the error of a check of package domain into e: its problem if it has one, and itself as the cause.
func (e *Error) invalid(err error) *Error {
	if i, ok := errors.AsType[*domain.InvalidError](err); ok {
		e.Problem, e.Allowed = i.Problem, i.Allowed
	}
	e.Cause = err
	return e
}

// clip bounds foreign text in error messages.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
