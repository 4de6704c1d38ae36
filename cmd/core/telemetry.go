package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"

	"chatcore"
)

// flushTimeout bounds how long a command waits in all for its last traces and metrics to be exported.
const flushTimeout = time.Second

var errNotExported = fmt.Errorf("the last of it was not exported within %v", flushTimeout)

// exporters are the telemetry of one command. They never decide about it: a faulty setting, and a collector that refuses, fails or hangs, cost one
// warning and at most flushTimeout.
type exporters struct {
	errs   io.Writer
	traces *trace.TracerProvider // nil if none are asked for
	meters *lastFlush            // nil likewise

	mu     sync.Mutex
	warned bool
	ended  bool

	began    sync.Once
	deadline time.Time // of everything that is flushed
}

// newExporters returns the exporters that OpenTelemetry's standard variables name (OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER,
// OTEL_EXPORTER_OTLP_ENDPOINT and the others), and one to scraped if that is not nil. Without them there are none.
func newExporters(ctx context.Context, errs io.Writer, scraped prometheus.Registerer) *exporters {
	e := &exporters{errs: errs}
	if !wanted("TRACES") && !wanted("METRICS") && scraped == nil {
		return e
	}
	otel.SetErrorHandler(e)
	otel.SetLogger(funcr.New(func(_, text string) { e.Handle(errors.New(text)) }, funcr.Options{})) // its default is standard error
	described, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "chatcore"), attribute.String("service.version", chatcore.Version)), resource.WithTelemetrySDK(), resource.WithFromEnv())
	e.Handle(err) // described has the readable part
	if wanted("TRACES") {
		exporter, err := newSpanExporter(ctx)
		if e.Handle(err); err == nil {
			e.traces = trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(described))
		}
	}
	var readers []metric.Option
	addReader := func(reader metric.Reader, err error) {
		if e.Handle(err); err == nil {
			readers = append(readers, metric.WithReader(reader))
		}
	}
	if wanted("METRICS") {
		addReader(newMetricReader())
	}
	if scraped != nil {
		addReader(newPrometheusReader(scraped))
	}
	if len(readers) > 0 {
		e.meters = &lastFlush{MeterProvider: metric.NewMeterProvider(append(readers, metric.WithResource(described))...), exporters: e}
	}
	return e
}

// options returns the options that observe a core.
func (e *exporters) options() []chatcore.Option {
	var options []chatcore.Option
	if e.traces != nil {
		options = append(options, chatcore.WithTracerProvider(e.traces))
	}
	if e.meters != nil {
		options = append(options, chatcore.WithMeterProvider(e.meters))
	}
	return options
}

// Handle implements otel.ErrorHandler: the first error of a command is a warning, the others say nothing new.
func (e *exporters) Handle(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil || e.warned || e.ended {
		return
	}
	e.warned = true
	fmt.Fprintln(e.errs, "core: warning: telemetry is incomplete:", err)
}

// close exports the remaining data and ends the providers. The core has been closed before.
func (e *exporters) close(ctx context.Context) {
	ctx, cancel := e.flushContext(ctx)
	defer cancel()
	if e.traces != nil {
		e.within(ctx, e.traces.Shutdown)
	}
	if e.meters != nil {
		_ = e.meters.ForceFlush(ctx) // of a core that could not be opened
	}
	e.mu.Lock()
	e.ended = true
	e.mu.Unlock()
}

// flushContext returns a context that ends flushTimeout after the first call, and not with ctx: a command that was interrupted exports as well.
func (e *exporters) flushContext(ctx context.Context) (context.Context, context.CancelFunc) {
	e.began.Do(func() { e.deadline = time.Now().Add(flushTimeout) })
	return context.WithDeadline(context.WithoutCancel(ctx), e.deadline)
}

// within calls shutdown and waits for it until ctx ends.
func (e *exporters) within(ctx context.Context, shutdown func(context.Context) error) {
	done := make(chan error, 1)
	go func() { done <- shutdown(ctx) }()
	select {
	case err := <-done:
		e.Handle(err)
	case <-ctx.Done():
		e.Handle(errNotExported)
	}
}

// lastFlush is a meter provider that ends with its first flush. A core flushes when it closes, while its observable instruments are still
// registered; the shutdown of the provider exports them once.
type lastFlush struct {
	*metric.MeterProvider
	exporters *exporters
	once      sync.Once
}

// ForceFlush exports all data and shuts the provider down, within the rest of flushTimeout. Later calls do nothing.
func (l *lastFlush) ForceFlush(ctx context.Context) error {
	l.once.Do(func() {
		ctx, cancel := l.exporters.flushContext(ctx)
		defer cancel()
		l.exporters.within(ctx, l.Shutdown)
	})
	return nil
}
