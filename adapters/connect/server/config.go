package server

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"chatcore/domain"
)

// Config configures a [Server]. The zero value of each field means its default.
type Config struct {
	// Handler answers all requests except those for /livez and /readyz. Required.
	Handler http.Handler
	// Probes answers /livez and /readyz. Several servers may share one. Required.
	Probes *Probes
	// TLS is the TLS configuration of the listener; see [Certificates.Config]. Defaults to nil: the listener is plain text.
	TLS *tls.Config
	// Overloaded answers a request beyond MaxInFlight. Defaults to [Unavailable]: status 503, Retry-After and JSON.
	Overloaded http.Handler
	// Logger receives one line for each request at level debug, and failures. Defaults to slog.Default().
	Logger *slog.Logger

	// MaxConnections bounds the open connections. At the bound a new connection closes the one that has been idle for longest, then the one that
	// has been without a complete first request for longest; if all are busy, the new one is closed. Defaults to 16,384.
	MaxConnections int
	// MaxInFlight bounds the requests that handlers answer at a time, without probes and streams. Further ones get Overloaded, and each ends the
	// requests in flight that have waited for their clients for Timeouts.Client. Defaults to 1,024.
	MaxInFlight int
	// MaxStreams bounds the streams: the requests for which [Stream] was called, and those that BeginsStream names. Defaults to 16,384.
	MaxStreams int
	// BeginsStream reports whether a request is about to become a stream. It then counts for MaxStreams instead of MaxInFlight from its beginning, so that
	// streams that come back all at once after a restart are not refused. Beyond the bound it gets Overloaded. Defaults to nil: no request is.
	BeginsStream func(*http.Request) bool
	// MaxConcurrentStreams bounds the requests that one HTTP/2 connection has open at a time. Defaults to 100.
	MaxConcurrentStreams int
	// MaxHeaderBytes bounds the header of a request, in bytes; beyond it the status is 431. net/http allows up to 4 KiB more. Defaults to 32 KiB.
	MaxHeaderBytes int
	// Timeouts bounds the times of connections and requests.
	Timeouts Timeouts

	// DrainDelay is how long the server still accepts connections after its context ended, while /readyz returns 503. Defaults to 0.
	DrainDelay time.Duration
	// StopTimeout bounds how long requests in flight may last after DrainDelay. Defaults to 10 s.
	StopTimeout time.Duration
}

// Timeouts are the times of connections and requests. The zero value of each field means its default.
type Timeouts struct {
	Header  time.Duration // until the header of a request is complete, and the TLS handshake. Defaults to 10 s
	Idle    time.Duration // of a connection between two requests. Defaults to 2 min
	Stall   time.Duration // until a client has accepted 64 KiB, or the rest of a write. Defaults to 30 s
	Client  time.Duration // at MaxInFlight: until a body is read, and of one write. Defaults to 2 s
	Request time.Duration // until the body of a request is read and its response is written; not of a stream. Defaults to 1 min
}

// Validate returns an error that names every invalid field.
func (c Config) Validate() error {
	var faults []error
	fault := func(field, problem, allowed string) {
		faults = append(faults, &domain.InvalidError{Field: field, Problem: problem, Allowed: allowed})
	}
	if c.Handler == nil {
		fault("Handler", "is nil", "a handler")
	}
	if c.Probes == nil {
		fault("Probes", "is nil", "probes, of NewProbes")
	}
	for field, n := range map[string]int{
		"MaxConnections": c.MaxConnections, "MaxInFlight": c.MaxInFlight, "MaxStreams": c.MaxStreams,
		"MaxConcurrentStreams": c.MaxConcurrentStreams, "MaxHeaderBytes": c.MaxHeaderBytes,
	} {
		if n < 0 {
			fault(field, fmt.Sprintf("is %d", n), "1 or more, or 0 for the default")
		}
	}
	for field, d := range map[string]time.Duration{
		"Timeouts.Header": c.Timeouts.Header, "Timeouts.Idle": c.Timeouts.Idle, "Timeouts.Stall": c.Timeouts.Stall,
		"Timeouts.Client": c.Timeouts.Client, "Timeouts.Request": c.Timeouts.Request, "DrainDelay": c.DrainDelay, "StopTimeout": c.StopTimeout,
	} {
		if d < 0 {
			fault(field, "is "+d.String(), "a positive duration, or 0 for the default")
		}
	}
	return errors.Join(faults...)
}

func (c Config) withDefaults() Config {
	if c.Overloaded == nil {
		c.Overloaded = http.HandlerFunc(Unavailable)
	}
	c.Logger = cmp.Or(c.Logger, slog.Default())
	c.MaxConnections = cmp.Or(c.MaxConnections, 16384)
	c.MaxInFlight = cmp.Or(c.MaxInFlight, 1024)
	c.MaxStreams = cmp.Or(c.MaxStreams, 16384)
	c.MaxConcurrentStreams = cmp.Or(c.MaxConcurrentStreams, 100)
	c.MaxHeaderBytes = cmp.Or(c.MaxHeaderBytes, 32<<10)
	c.Timeouts.Header = cmp.Or(c.Timeouts.Header, 10*time.Second)
	c.Timeouts.Idle = cmp.Or(c.Timeouts.Idle, 2*time.Minute)
	c.Timeouts.Stall = cmp.Or(c.Timeouts.Stall, 30*time.Second)
	c.Timeouts.Client = cmp.Or(c.Timeouts.Client, 2*time.Second)
	c.Timeouts.Request = cmp.Or(c.Timeouts.Request, time.Minute)
	c.StopTimeout = cmp.Or(c.StopTimeout, 10*time.Second)
	return c
}
