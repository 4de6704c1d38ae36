package conn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"chatcore/adapters/redis/rediscmd"
)

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
	case rediscmd.Answered(err) && !passesByItself(err), errors.As(err, &notVerified), errors.As(err, &noTLS),
		errors.As(err, &remote) && remote.Op == opTLSAlert:
		return fmt.Errorf("%w: %w", ErrRejected, err)
	}
	return err
}

// passesByItself reports whether the error is temporary: Redis loads its data, waits for its master, or has no free connection.
func passesByItself(err error) bool {
	return rediscmd.HasCode(err, "LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "READONLY", "OOM", "MISCONF", "NOREPLICAS",
		"max number of clients")
}
