package conn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/ports"
)

// reply is an error reply of Redis.
type reply string

func (r reply) Error() string { return string(r) }
func (reply) RedisError()     {}

func TestRejected_IsWhatAnotherAttemptDoesNotChange(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{reply("NOAUTH Authentication required."), true},
		{reply("WRONGPASS invalid username-password pair or user is disabled."), true},
		{reply("NOPERM this user has no permissions to run the 'ping' command"), true},
		{reply("ERR DB index is out of range"), true},
		{reply("ERR SELECT is not allowed in cluster mode"), true},
		{reply("ERR AUTH <password> called without any password configured for the default user."), true},
		{reply("DENIED Redis is running in protected mode because protected mode is enabled"), true},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, true},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}, true},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, true},

		{reply("LOADING Redis is loading the dataset in memory"), false},
		{reply("BUSY Redis is busy running a script."), false},
		{reply("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."), false},
		{reply("CLUSTERDOWN The cluster is down"), false},
		{reply("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk."), false},
		{reply("ERR max number of clients reached"), false},
		{io.EOF, false},
		{&net.OpError{Op: "dial", Err: errors.New("connection refused")}, false},
	} {
		err := rediscmd.Unavailable(t.Context(), tc.err)
		if got := rejected(err); errors.Is(got, ErrRejected) != tc.want || !errors.Is(got, tc.err) {
			t.Errorf("%v: %v, want rejected %t", tc.err, got, tc.want)
		}
		if tc.err != nil && !errors.Is(rejected(fmt.Errorf("%w: %w", ports.ErrUnavailable, tc.err)), ports.ErrUnavailable) {
			t.Errorf("%v hides that nothing was done", tc.err)
		}
	}
}
