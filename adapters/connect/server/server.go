package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Server answers requests of one listener. It serves once.
type Server struct {
	config   Config
	draining chan struct{} // closed when the server stops accepting
	drain    sync.Once     // closes draining
	slots    slots         // of requests in flight
	opening  slots         // of requests that BeginsStream names and for which Stream was not called yet
	streams  atomic.Int64  // requests for which Stream was called, and those of opening
	refused  atomic.Int64  // requests beyond MaxInFlight, and streams beyond MaxStreams
	conns    *connections
}

// Stats are counts of a server since it was made, or of the present.
type Stats struct {
	Connections        int // open now
	InFlight           int // requests that handlers answer now, without streams
	Streams            int // open now
	Requests           int64
	RequestsRefused    int64 // requests beyond MaxInFlight, and streams beyond MaxStreams
	ConnectionsClosed  int64 // idle or incomplete connections that were closed for new ones
	ConnectionsRefused int64 // new connections that were closed because all others were busy
}

// ErrCut is returned by [Server.Serve] when requests were in flight at the end of [Config.StopTimeout]; the error is a [*CutError].
var ErrCut = errors.New("requests cut off")

// CutError has the numbers of the requests whose connections were closed at the end of the stop timeout.
type CutError struct {
	Requests int           // without streams
	Streams  int           // for which Stream was called
	Timeout  time.Duration // the StopTimeout that they outlasted
}

func (e *CutError) Error() string {
	return fmt.Sprintf("%v: %d requests and %d streams did not end within the stop timeout of %v", ErrCut, e.Requests, e.Streams, e.Timeout)
}

// Is reports that a CutError is [ErrCut].
func (e *CutError) Is(target error) bool { return target == ErrCut }

// New returns a server. The error names every invalid field.
func New(config Config) (*Server, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	return &Server{config: config, draining: make(chan struct{}), slots: newSlots(config.MaxInFlight), opening: newSlots(config.MaxStreams), conns: newConnections(config.MaxConnections, config.Timeouts.Stall)}, nil
}

// Serve answers requests of listener, which it closes, until ctx ends, and then stops in this order: /readyz returns 503, and the server goes on for
// [Config.DrainDelay]; [Draining] ends, and no connection is accepted any more; requests in flight end, within [Config.StopTimeout]; the connections
// of all others are closed, and their contexts end.
//
// Serve returns nil if it ended because ctx did and no request was cut off, a [*CutError] if some were, and the error of the listener if that failed.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	server := s.httpServer(requests)
	s.conns.Listener = listener
	ended := make(chan error, 1)
	go func() {
		if s.config.TLS != nil {
			ended <- server.ServeTLS(s.conns, "", "")
		} else {
			ended <- server.Serve(s.conns)
		}
	}()
	var err error
	select {
	case err = <-ended: // the listener failed
	case <-ctx.Done():
		s.config.Probes.Drain()
		err = s.delay(ended)
	}
	s.drain.Do(func() { close(s.draining) })
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, s.stop(ctx, server))
}

// delay waits for DrainDelay. It returns early with the error of a listener that fails.
func (s *Server) delay(ended <-chan error) error {
	if s.config.DrainDelay == 0 {
		return nil
	}
	timer := time.NewTimer(s.config.DrainDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case err := <-ended:
		return err
	}
}

// incompleteGrace is how long a connection without a complete first request may last once the server stops. net/http alone would wait for 5 s.
const incompleteGrace = 500 * time.Millisecond

// stop waits for the requests in flight, and closes the connections of those that remain after the StopTimeout.
func (s *Server) stop(ctx context.Context, server *http.Server) error {
	limit, release := context.WithTimeout(context.WithoutCancel(ctx), s.config.StopTimeout)
	defer release()
	s.conns.closeIncomplete(true)
	grace := time.AfterFunc(min(incompleteGrace, s.config.StopTimeout), func() { s.conns.closeIncomplete(false) })
	defer grace.Stop()
	err := server.Shutdown(limit)
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	stats := s.Stats()
	_ = server.Close()                             // before the contexts end, so that no handler that returns then sends an empty response
	if stats.InFlight == 0 && stats.Streams == 0 { // idle HTTP/2 connections close a second after the last frame
		return nil
	}
	return &CutError{Requests: stats.InFlight, Streams: stats.Streams, Timeout: s.config.StopTimeout}
}

// httpServer returns the server of net/http. Contexts of requests end with ctx.
func (s *Server) httpServer(ctx context.Context) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           s,
		TLSConfig:         s.config.TLS,
		Protocols:         &protocols,
		ReadHeaderTimeout: s.config.Timeouts.Header,
		ReadTimeout:       s.config.Timeouts.Request, // of each request, also of HTTP/2; Stream lifts it
		WriteTimeout:      s.config.Timeouts.Request, // likewise
		IdleTimeout:       s.config.Timeouts.Idle,
		MaxHeaderBytes:    s.config.MaxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: s.config.MaxConcurrentStreams,
			SendPingTimeout:      s.config.Timeouts.Stall, // a client that is gone is noticed, also by a stream that sends nothing
			PingTimeout:          s.config.Timeouts.Stall, // conn bounds writes: no WriteByteTimeout
		},
		ConnState:   s.conns.observe,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(s.config.Logger.Handler(), slog.LevelDebug), // faults of clients; panics are logged by ServeHTTP
	}
}

// Stats returns the counts of the server.
func (s *Server) Stats() Stats {
	stats := s.conns.stats()
	stats.InFlight, stats.Streams = s.slots.taken(), int(s.streams.Load())
	stats.RequestsRefused = s.refused.Load()
	return stats
}

// minVersion is the least version of TLS that a listener accepts.
const minVersion = tls.VersionTLS12
