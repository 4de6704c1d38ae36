package ports

import (
	"errors"
	"strings"
)

// ErrNoPermission is returned when the user of the store lacks a right that the core needs. The error is a [*RightsError].
var ErrNoPermission = errors.New("the redis user lacks rights")

// RightsError names the rights that the user of a Redis server lacks.
type RightsError struct {
	Commands []string // in the form of ACL rules, such as xadd or xinfo|stream
	Keys     []string // that the user may not read and write
	Channels []string // that the user may not publish to and subscribe to
	Cause    error    // the reply of Redis; nil if Redis hides something without an error
}

func (e *RightsError) Error() string {
	var parts []string
	for _, missing := range []struct {
		kind  string
		names []string
	}{{"commands", e.Commands}, {"keys", e.Keys}, {"channels", e.Channels}} {
		if len(missing.names) > 0 {
			parts = append(parts, missing.kind+" "+strings.Join(missing.names, ", "))
		}
	}
	text := ErrNoPermission.Error()
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, "; ")
	}
	text += "; `core acl` prints the rights that are needed"
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Is reports that a RightsError is [ErrNoPermission].
func (e *RightsError) Is(target error) bool { return target == ErrNoPermission }

// Unwrap returns the reply of Redis.
func (e *RightsError) Unwrap() error { return e.Cause }
