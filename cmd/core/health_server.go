package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"

	"chatcore"
	"chatcore/domain"
)

// Bounds of the health server: probes are few and short.
const (
	healthConnections = 64               // at a time; further ones wait to be accepted
	healthRead        = 5 * time.Second  // of a request, with its header
	healthWrite       = 10 * time.Second // of a response, whose probe of Redis takes 3 s at most
	healthIdle        = 30 * time.Second // of a connection between two requests
	healthHeader      = 8 << 10          // bytes of a request's header
)

// healthAddress returns the address to listen on: loopback if none is named.
func healthAddress(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", &domain.InvalidError{Field: "health", Problem: fmt.Sprintf("is %q", address), Allowed: "[HOST]:PORT, such as :8080 for loopback or 0.0.0.0:8080 for every interface"}
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

func newHealthServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: healthRead, ReadTimeout: healthRead, WriteTimeout: healthWrite, IdleTimeout: healthIdle, MaxHeaderBytes: healthHeader,
	}
}

// serveHealth answers /livez and /readyz at an address until end is called.
func (c *cli) serveHealth(ctx context.Context, core *chatcore.Core, address string) (end func(), err error) {
	if address, err = healthAddress(address); err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "live") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := core.Ready(r.Context()); err != nil {
			c.logger.WarnContext(r.Context(), "not ready", "error", err)
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	server := newHealthServer(mux)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(netutil.LimitListener(listener, healthConnections)); !errors.Is(err, http.ErrServerClosed) {
			c.logger.ErrorContext(ctx, "health is not served", "error", err)
		}
	}()
	c.logger.InfoContext(ctx, "health served", "address", "http://"+listener.Addr().String())
	return func() {
		_ = server.Close()
		<-done
	}, nil
}
