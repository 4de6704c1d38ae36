package rediscmd

import (
	"errors"
	"strings"

	"chatcore/ports"
)

// denied turns a reply about a missing right into a [*ports.RightsError], and returns any other error as it is.
func denied(err error) error {
	if err == nil || !Answered(err) || errors.Is(err, ports.ErrNoPermission) {
		return err
	}
	if !IsDenial(err.Error()) {
		return err
	}
	return &ports.RightsError{Cause: err}
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
