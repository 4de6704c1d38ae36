package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/ports"
)

// unavailable translates the error of a call like [ports.Unavailable]. A reply of Redis remains the error, even if the caller's context has ended
// since.
func unavailable(ctx context.Context, err error) error {
	if err != nil && goredis.HasErrorPrefix(err, "OOM") {
		return fmt.Errorf("%w: %w: %w", ports.ErrUnavailable, ErrFull, err)
	}
	if err != nil && answered(err) {
		return fmt.Errorf("%w: %w", ports.ErrUnavailable, denied(err))
	}
	return ports.Unavailable(ctx, err)
}

// closed returns the error of a closed client.
func closed(err error) error { return fmt.Errorf("%w: %w", ports.ErrClosed, err) }

// outcomeFor adds to an append's error that the caller's context has ended. Append waits for a request that was sent, so only an unknown outcome and
// an unreachable log can result from the end of ctx. A reply of Redis is returned alone.
func outcomeFor(ctx context.Context, err error) error {
	if err == nil || !errors.Is(err, ports.ErrOutcomeUnknown) && (!errors.Is(err, ports.ErrUnavailable) || answered(err)) {
		return err
	}
	if ended := ports.Ended(ctx, err); ended != nil {
		return fmt.Errorf("%w: %w", ports.NotEnded(err), ended)
	}
	return ports.NotEnded(err)
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

// hasCode reports whether the error contains one of the codes. Redis distinguishes its errors only by such prefixes.
func hasCode(err error, codes ...string) bool {
	for _, code := range codes {
		if strings.Contains(err.Error(), code) {
			return true
		}
	}
	return false
}

func refusesCredentials(err error) bool {
	return answered(err) && hasCode(err, "WRONGPASS", "NOAUTH")
}

// opTLSAlert is the operation of the error with which crypto/tls reports that the server ended the handshake, for example because a certificate is
// missing.
const opTLSAlert = "remote error"

// rejected wraps the error of a connection attempt in [ErrRejected] if another attempt would get the same answer.
func rejected(err error) error {
	var notVerified *tls.CertificateVerificationError
	var noTLS tls.RecordHeaderError
	var remote *net.OpError
	switch {
	case err == nil:
		return nil
	case answered(err) && !passesByItself(err), errors.As(err, &notVerified), errors.As(err, &noTLS),
		errors.As(err, &remote) && remote.Op == opTLSAlert:
		return fmt.Errorf("%w: %w", ErrRejected, err)
	}
	return err
}

// passesByItself reports whether the error is temporary: Redis loads its data, waits for its master, or has no free connection.
func passesByItself(err error) bool {
	return hasCode(err, "LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "READONLY", "OOM", "MISCONF", "NOREPLICAS",
		"max number of clients")
}
