package rediscmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/ports"
)

// Unavailable translates the error of a call like [ports.Unavailable]. A reply of Redis remains the error, even if the caller's context has ended
// since.
func Unavailable(ctx context.Context, err error) error {
	if err != nil && goredis.HasErrorPrefix(err, "OOM") {
		return fmt.Errorf("%w: %w: %w", ports.ErrUnavailable, ErrFull, err)
	}
	if err != nil && Answered(err) {
		return fmt.Errorf("%w: %w", ports.ErrUnavailable, denied(err))
	}
	return ports.Unavailable(ctx, err)
}

// Closed returns the error of a closed client.
func Closed(err error) error { return fmt.Errorf("%w: %w", ports.ErrClosed, err) }

// Answered reports whether Redis itself refused: the command had no effect.
func Answered(err error) bool {
	var reply goredis.Error
	return errors.As(err, &reply) && !errors.Is(err, goredis.TxFailedErr)
}

// NeverSent reports whether a command certainly did not reach Redis.
func NeverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || errors.Is(err, goredis.ErrClosed) || errors.Is(err, goredis.ErrPoolTimeout)
}

// HasCode reports whether the error contains one of the codes. Redis distinguishes its errors only by such prefixes.
func HasCode(err error, codes ...string) bool {
	for _, code := range codes {
		if strings.Contains(err.Error(), code) {
			return true
		}
	}
	return false
}

// RefusesCredentials reports whether Redis refused the credentials, or asked for some.
func RefusesCredentials(err error) bool {
	return Answered(err) && HasCode(err, "WRONGPASS", "NOAUTH")
}

// ErrFull is returned for writes that Redis refuses because it is at its maxmemory, and by readiness until there is room again.
var ErrFull = errors.New("redis is at its memory limit")
