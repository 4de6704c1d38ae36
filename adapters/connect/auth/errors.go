package auth

import (
	"context"
	"errors"
	"fmt"

	"chatcore/ports"
)

// ErrUnauthenticated is returned for a credential that is malformed, unknown, wrong, expired or revoked. The error does not distinguish these.
var ErrUnauthenticated = errors.New("unauthenticated: the credential is not valid")

// ErrNotLocal is returned in local mode for a request without a credential that a program on this machine would not send; the error is a
// [*NotLocalError].
var ErrNotLocal = errors.New("request refused in local mode")

// NotLocalError names the part of a request that local mode refuses, and the allowed values.
type NotLocalError struct {
	Field   string // name of the header
	Problem string
	Allowed string
}

func (e *NotLocalError) Error() string {
	return fmt.Sprintf("%v: %s %s; allowed: %s; or configure service tokens and send one", ErrNotLocal, e.Field, e.Problem, e.Allowed)
}

// Is reports that a NotLocalError is [ErrNotLocal].
func (e *NotLocalError) Is(target error) bool { return target == ErrNotLocal }

// unavailable returns the error of a check that could not be made: always [ports.ErrUnavailable], with err as its cause.
func unavailable(ctx context.Context, err error) error {
	if err = ports.Unavailable(ctx, err); !errors.Is(err, ports.ErrUnavailable) {
		err = fmt.Errorf("%w: %w", ports.ErrUnavailable, err)
	}
	return fmt.Errorf("the credential cannot be checked now: %w", err)
}
