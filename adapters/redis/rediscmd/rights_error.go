package rediscmd

import (
	"errors"
	"strings"
)

// ErrNoPermission is returned when the Redis user lacks a right that the core needs. The error is a [*RightsError].
var ErrNoPermission = errors.New("the redis user lacks rights")

// RightsError names the rights that a Redis user lacks.
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

// denied turns a reply about a missing right into a [*RightsError], and returns any other error as it is.
func denied(err error) error {
	if err == nil || !Answered(err) || errors.Is(err, ErrNoPermission) {
		return err
	}
	if !IsDenial(err.Error()) {
		return err
	}
	return &RightsError{Cause: err}
}

// IsDenial reports whether a text is a denial by Redis 7.0 or later, of a command or within a script. Errors of scripts also contain the place of the
// failure.
func IsDenial(text string) bool {
	for _, phrase := range []string{"NOPERM", "The user executing the script can't", "ACL failure in script", "NOHISTORY"} {
		if strings.Contains(text, phrase) {
			return true
		}
	}
	return false
}
