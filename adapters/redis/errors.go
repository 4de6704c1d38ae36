package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/ports"
)

// unavailable translates what a call ran into. A context that ended is told as such; anything else is [ports.ErrUnavailable],
// with the cause kept.
func unavailable(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := ctx.Err(); cause != nil && !answered(err) {
		return fmt.Errorf("%w: %w", ports.ErrUnavailable, cause)
	}
	return fmt.Errorf("%w: %w", ports.ErrUnavailable, err)
}

// answered reports whether Redis itself refused: the command had no effect.
func answered(err error) bool {
	var reply goredis.Error
	return errors.As(err, &reply) && !errors.Is(err, goredis.TxFailedErr)
}

// neverSent reports whether a command certainly did not reach Redis.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || errors.Is(err, errHistory) || errors.Is(err, goredis.ErrClosed) || errors.Is(err, goredis.ErrPoolTimeout)
}

// Redis tells these apart by a prefix only.
func hasCode(err error, codes ...string) bool {
	for _, code := range codes {
		if strings.Contains(err.Error(), code) {
			return true
		}
	}
	return false
}

func refusesCredentials(err error) bool {
	return answered(err) && hasCode(err, "WRONGPASS", "NOAUTH", "NOPERM")
}
