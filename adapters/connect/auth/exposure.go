package auth

import (
	"fmt"
	"net"
	"strings"

	"chatcore/domain"
)

// ExposureError is the refusal of an address that others can reach, with the protections that are missing. It is [domain.ErrInvalid].
type ExposureError struct {
	Address string
	Missing []string // each protection, with the settings that provide it
}

func (e *ExposureError) Error() string {
	return fmt.Sprintf("the address %q can be reached by others and lacks %s; allowed: all of them, or an address of loopback such as 127.0.0.1:8080 without a proxy",
		e.Address, strings.Join(e.Missing, " and "))
}

// Is reports that an ExposureError is [domain.ErrInvalid].
func (e *ExposureError) Is(target error) bool { return target == domain.ErrInvalid }

// Exposure describes how a server is reached and protected.
type Exposure struct {
	Tokens      bool // service tokens or JWTs are configured
	TLS         bool // the listener has a certificate
	BehindProxy bool // a proxy in front ends TLS, and forwards requests of others
}

// CheckExposure returns an [*ExposureError] for a TCP address, as [net.Listen] takes it, that must not be served. An address of loopback needs nothing, unless a
// proxy forwards to it. Any other address, which includes one without a host, needs tokens, and TLS or a proxy.
func CheckExposure(address string, e Exposure) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return &domain.InvalidError{Field: "listen", Problem: fmt.Sprintf("is %.80q", address), Allowed: "HOST:PORT, such as 127.0.0.1:8080"}
	}
	local := isLoopbackHost(host)
	if local && !e.BehindProxy {
		return nil
	}
	var missing []string
	if !e.Tokens {
		missing = append(missing, "service tokens or JWTs (a tokens file, or the URL of a JWK Set)")
	}
	if !local && !e.TLS && !e.BehindProxy {
		missing = append(missing, "TLS (a certificate and its key, or --behind-proxy if a proxy has them)")
	}
	if len(missing) > 0 {
		return &ExposureError{Address: address, Missing: missing}
	}
	return nil
}

// IsLocalMode reports whether callers without a credential act as a service with all scopes ([Config.Local]): no tokens are configured, and the address is
// one of loopback without a proxy.
func IsLocalMode(address string, e Exposure) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && !e.Tokens && !e.BehindProxy && isLoopbackHost(host)
}
