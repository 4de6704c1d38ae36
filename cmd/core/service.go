package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/adapters/connect/server"
)

// Bounds of the admin listener: probes and scrapes are few and short.
const (
	adminConnections = 64
	adminRequests    = 16
	adminHeader      = 8 << 10               // bytes
	adminIdle        = 30 * time.Second      // of a connection between two requests
	adminStop        = 50 * time.Millisecond // for the last request
)

// service is one run of core serve.
type service struct {
	*cli
	settings     *serveSettings
	access       access
	authReady    func() error         // of the keys of JWTs; nil without authentication
	certificates *server.Certificates // nil without TLS
	stopTimeout  time.Duration        // of requests in flight
	memoryLimit  int64                // in bytes, by limitMemory
	probes       *server.Probes
	api          *server.Server // nil if listen is off
	listener     net.Listener   // of api
	background   sync.WaitGroup
}

// apiShare is the share of the stop timeout in which requests in flight finish. The rest is the core's own.
const apiShare = 0.4

// newService checks the settings of the listeners, before a core is opened, and divides the stop timeout.
func (c *cli) newService() (*service, error) {
	s := &service{cli: c, settings: &c.settings.serve}
	if err := s.settings.check(); err != nil {
		return nil, err
	}
	var err error
	if s.settings.listen != listenOff {
		address, _ := listenAddress("listen", cmp.Or(s.settings.listen, defaultListen)) // was checked
		if s.access, err = c.access(address); err != nil {
			return nil, err
		}
	}
	if s.settings.tlsCert != "" {
		if s.certificates, err = server.LoadCertificates(s.settings.tlsCert, s.settings.tlsKey, c.logger); err != nil {
			return nil, usageErrorf("tls.cert (CHATCORE_TLS_CERT), tls.key (CHATCORE_TLS_KEY): %w", err)
		}
	}
	if s.settings.admin != "" {
		c.registry = prometheus.NewRegistry()
		c.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	if s.settings.listen != listenOff {
		config := &c.settings.config
		all := config.WithDefaults().StopTimeout
		s.stopTimeout = time.Duration(apiShare * float64(all))
		config.StopTimeout = all - s.stopTimeout
	}
	return s, nil
}

// scraped returns the registry of the metrics that are scraped, or nil.
func (c *cli) scraped() prometheus.Registerer {
	if c.registry == nil {
		return nil
	}
	return c.registry
}

// run serves core until ctx ends or the core does.
func (s *service) run(ctx context.Context, core *chatcore.Core) error {
	if err := errors.Join(core.SubscribeBuiltins(), core.SubscribeDefined()); err != nil {
		return err
	}
	reserve := heapReserve()
	defer runtime.KeepAlive(reserve)
	limit, restore := limitMemory(os.DirFS("/"), len(reserve))
	defer restore()
	s.memoryLimit = limit
	defer s.background.Wait()
	until, end := context.WithCancel(context.WithoutCancel(ctx)) // of the admin listener and the certificate, which outlast the API and the core
	defer end()
	s.probes = server.NewProbes(func(ctx context.Context) error { return s.ready(ctx, core) }, s.logger)
	if s.settings.listen != listenOff {
		if err := s.openAPI(ctx, until, core); err != nil {
			return err
		}
		defer func() { _ = s.listener.Close() }() // of a core that does not start
	}
	if err := s.openAdmin(until); err != nil {
		return err
	}
	running, stop := context.WithCancel(until)
	defer stop()
	starting := context.AfterFunc(ctx, stop) // a signal ends a start at once
	if err := core.Start(running); err != nil || !starting() {
		return core.Wait() // nil for a signal
	}
	if s.embedded && !bool(s.settings.consoleOff) {
		if _, err := seedSamples(ctx, core); err != nil {
			s.logger.WarnContext(ctx, "sample chats not written", "error", err)
		}
	}
	if s.certificates != nil {
		s.background.Go(func() { s.certificates.Watch(until, certificateInterval) })
	}
	return s.serve(ctx, core, stop)
}

// ready returns why requests cannot be answered now, or nil.
func (s *service) ready(ctx context.Context, core *chatcore.Core) error {
	if s.authReady != nil {
		if err := s.authReady(); err != nil {
			return err
		}
	}
	return core.Ready(ctx)
}

// openAPI makes the server of the API and binds its address.
func (s *service) openAPI(ctx, until context.Context, core *chatcore.Core) error {
	handler, err := s.openHandler(until, core)
	if err != nil {
		return err
	}
	config := server.Config{
		Handler: handler, Probes: s.probes, Logger: s.logger, DrainDelay: s.settings.drainDelay, StopTimeout: s.stopTimeout,
		MaxConnections: s.settings.maxConnections, MaxInFlight: s.settings.maxRequests, MaxStreams: s.settings.maxStreams,
		BeginsStream: connect.BeginsStream,
	}
	if s.certificates != nil {
		config.TLS = s.certificates.Config()
	}
	if s.api, err = server.New(config); err != nil {
		return err
	}
	if s.listener, err = listen(ctx, "listen", cmp.Or(s.settings.listen, defaultListen)); err != nil {
		return err
	}
	return s.telemetry.watchAPI(s.api.Stats)
}

// openAdmin serves the admin listener, if there is one, until the context ends.
func (s *service) openAdmin(until context.Context) error {
	if s.settings.admin == "" {
		return nil
	}
	admin, err := server.New(server.Config{
		Handler: s.metrics(), Probes: s.probes, Logger: s.logger, MaxConnections: adminConnections, MaxInFlight: adminRequests,
		MaxHeaderBytes: adminHeader, Timeouts: server.Timeouts{Idle: adminIdle}, StopTimeout: adminStop,
	})
	if err != nil {
		return err
	}
	listener, err := listen(until, "admin", s.settings.admin)
	if err != nil {
		return err
	}
	s.background.Go(func() {
		if err := admin.Serve(until, listener); err != nil && !errors.Is(err, server.ErrCut) {
			s.logger.ErrorContext(until, "admin listener ended", "error", err)
		}
	})
	s.logger.InfoContext(until, "admin served", "address", "http://"+listener.Addr().String())
	return nil
}

// metrics answers /metrics.
func (s *service) metrics() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{Registry: s.registry, ErrorHandling: promhttp.ContinueOnError}))
	mux.HandleFunc("/", server.NotFound)
	return mux
}

// serve answers the API of a core that runs, until ctx ends or the core does. It stops the API, then the core, and returns when both have stopped.
func (s *service) serve(ctx context.Context, core *chatcore.Core, stop context.CancelFunc) error {
	serving, end := context.WithCancel(ctx)
	defer end()
	served := make(chan error, 1)
	go func() {
		defer stop()
		defer s.closeVault(ctx, core)
		if s.api == nil {
			<-serving.Done()
			s.probes.Drain()
			served <- nil
			return
		}
		served <- s.api.Serve(serving, s.listener)
	}()
	line := []any{"log_id", core.LogID(), "pid", os.Getpid()}
	if s.api != nil {
		line = append(line, "address", s.url(), "access", s.access.String())
		fmt.Fprintln(s.out, s.url())
	}
	if s.memoryLimit > 0 {
		line = append(line, "memory_limit", s.memoryLimit)
	}
	s.logger.InfoContext(ctx, "serving log", line...)
	err := core.Wait()
	end()
	return errors.Join(err, <-served)
}

// url returns the URL of the API, with the port that is bound.
func (s *service) url() string {
	scheme := "http"
	if s.certificates != nil {
		scheme = "https"
	}
	return scheme + "://" + s.listener.Addr().String()
}
