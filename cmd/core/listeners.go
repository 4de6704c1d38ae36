package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"time"

	"chatcore/domain"
)

const (
	// defaultListen is the address of the API. No well-known service has the port 7460.
	defaultListen = "127.0.0.1:7460"
	// listenOff is the value of listen without an API.
	listenOff = "off"
	// certificateInterval is how often the files of the certificate are read.
	certificateInterval = 5 * time.Second
)

// serveSettings are the settings of the listeners of core serve. A zero value means the default.
type serveSettings struct {
	listen, admin   string
	tlsCert, tlsKey string
	drainDelay      time.Duration
	maxConnections  int
	maxRequests     int
	maxStreams      int
	consoleOff      turnedOff
}

// serve defines the settings of the listeners of core serve.
func (b binder) serve() {
	s := &b.settings.serve
	b.local("listen", &s.listen, "`ADDRESS` of the API, such as :7460; without a host it is loopback only, 0.0.0.0:7460 is every interface, port 0 a free one, off none").means(defaultListen)
	b.local("tls.cert", &s.tlsCert, "PEM `FILE` of the certificate chain of the API's listener; a changed file is used within seconds").means("none: no TLS")
	b.local("tls.key", &s.tlsKey, "PEM `FILE` of the private key of --tls-cert").means("none: no TLS")
	b.local("admin", &s.admin, "`ADDRESS` at which /livez, /readyz and Prometheus /metrics are answered, such as :7461; without a host it is loopback only").means("none")
	b.local("drain-delay", &s.drainDelay, "`DURATION` for which the API still accepts connections after a signal, while /readyz returns 503").means("0s")
	b.local("max-connections", &s.maxConnections, "most `CONNECTIONS` of the API at a time; idle ones are closed for new ones").means("16384")
	b.local("max-requests", &s.maxRequests, "most `REQUESTS` of the API in flight; further ones get 503").means("1024")
	b.local("console", &s.consoleOff, "serve the web console at / of the API's listener; `false` leaves it out").means("true")
	b.local("max-streams", &s.maxStreams, "most `STREAMS` of the API at a time").means("16384")
}

// listenAddress returns the address to listen on: loopback if it has no host.
func listenAddress(setting, address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", &domain.InvalidError{Field: setting, Problem: fmt.Sprintf("is %.80q", address), Allowed: "[HOST]:PORT, such as :7460 for loopback or 0.0.0.0:7460 for every interface"}
	}
	return net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port), nil
}

// listen binds the address of a setting.
func listen(ctx context.Context, setting, address string) (net.Listener, error) {
	address, err := listenAddress(setting, address)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s (%s): %w", setting, variableOf(setting), err)
	}
	return listener, nil
}

// check returns the fault of the settings, before anything is opened.
func (s *serveSettings) check() error {
	for setting, address := range map[string]string{"listen": s.listen, "admin": s.admin} {
		if address == "" || setting == "listen" && address == listenOff {
			continue
		}
		if _, err := listenAddress(setting, address); err != nil {
			return err
		}
	}
	if (s.tlsCert == "") != (s.tlsKey == "") {
		return usageErrorf("--tls-cert (CHATCORE_TLS_CERT) and --tls-key (CHATCORE_TLS_KEY) belong together; one is missing")
	}
	for setting, n := range map[string]int{"max-connections": s.maxConnections, "max-requests": s.maxRequests, "max-streams": s.maxStreams} {
		if n < 0 {
			return &domain.InvalidError{Field: setting, Problem: fmt.Sprintf("is %d", n), Allowed: "1 or more, or 0 for the default"}
		}
	}
	if s.drainDelay < 0 {
		return &domain.InvalidError{Field: "drain-delay", Problem: fmt.Sprintf("is %v", s.drainDelay), Allowed: "0 or more"}
	}
	return nil
}
