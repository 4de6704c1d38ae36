package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"

	"chatcore"
	"chatcore/cmd/core/otlp"
)

// agent names the program in requests to a collector.
const agent = "chatcore/" + chatcore.Version

// wanted reports whether the environment asks for a signal: by naming an exporter, or where to export to.
func wanted(signal string) bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	if exporter := os.Getenv("OTEL_" + signal + "_EXPORTER"); exporter != "" {
		return exporter != "none"
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
}

// newSpanExporter returns the exporter that OTEL_TRACES_EXPORTER names.
func newSpanExporter(ctx context.Context) (trace.SpanExporter, error) {
	switch name := os.Getenv("OTEL_TRACES_EXPORTER"); name {
	case "", "otlp":
		return otlp.NewSpanExporter(ctx, agent)
	case "console":
		return stdouttrace.New()
	default:
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER: %q is not supported; allowed: otlp, console, none", name)
	}
}

// newMetricReader returns a reader with the exporter that OTEL_METRICS_EXPORTER names.
func newMetricReader() (metric.Reader, error) {
	var exporter metric.Exporter
	var err error
	switch name := os.Getenv("OTEL_METRICS_EXPORTER"); name {
	case "", "otlp":
		exporter, err = otlp.NewMetricExporter(agent)
	case "console":
		exporter, err = stdoutmetric.New()
	case "prometheus":
		return newScrapedReader()
	default:
		err = fmt.Errorf("OTEL_METRICS_EXPORTER: %q is not supported; allowed: otlp, prometheus, console, none", name)
	}
	if err != nil {
		return nil, err
	}
	return metric.NewPeriodicReader(exporter), nil
}

// newPrometheusReader returns a reader that a registry collects.
func newPrometheusReader(registry prometheus.Registerer) (metric.Reader, error) {
	return promexporter.New(promexporter.WithRegisterer(registry), promexporter.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes))
}

// scrapedReader is a reader with a listener of its own, at which Prometheus scrapes it.
type scrapedReader struct {
	metric.Reader
	server *http.Server
}

// newScrapedReader serves /metrics at OTEL_EXPORTER_PROMETHEUS_HOST and OTEL_EXPORTER_PROMETHEUS_PORT, until the reader is shut down.
func newScrapedReader() (metric.Reader, error) {
	registry := prometheus.NewRegistry()
	reader, err := newPrometheusReader(registry)
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort(cmp.Or(os.Getenv("OTEL_EXPORTER_PROMETHEUS_HOST"), "localhost"), cmp.Or(os.Getenv("OTEL_EXPORTER_PROMETHEUS_PORT"), "9464"))
	listener, err := net.Listen("tcp", address) //nolint:noctx // a local address
	if err != nil {
		return nil, fmt.Errorf("OTEL_EXPORTER_PROMETHEUS_HOST, OTEL_EXPORTER_PROMETHEUS_PORT: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	server := &http.Server{Handler: mux, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			otel.Handle(err)
		}
	}()
	return &scrapedReader{Reader: reader, server: server}, nil
}

// Shutdown ends the reader and its listener.
func (r *scrapedReader) Shutdown(ctx context.Context) error {
	return errors.Join(r.Reader.Shutdown(ctx), r.server.Shutdown(ctx))
}
