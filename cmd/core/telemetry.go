package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"

	"chatcore"
)

// exporters export what OpenTelemetry's standard variables ask for (OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER,
// OTEL_EXPORTER_OTLP_ENDPOINT and the others); without them, nothing. flush sends what is left and ends them.
func exporters(ctx context.Context) (options []chatcore.Option, flush func() error, err error) {
	var ends []func(context.Context) error
	flush = func() error {
		const patience = 5 * time.Second
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		var errs []error
		for _, end := range ends {
			errs = append(errs, end(ctx))
		}
		return errors.Join(errs...)
	}
	described, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "chatcore")), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, flush, err
	}
	if wanted("TRACES") {
		exporter, err := autoexport.NewSpanExporter(ctx)
		if err != nil {
			return nil, flush, err
		}
		provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(described))
		ends = append(ends, provider.Shutdown)
		options = append(options, chatcore.WithTracerProvider(provider))
	}
	if wanted("METRICS") {
		reader, err := autoexport.NewMetricReader(ctx)
		if err != nil {
			return nil, flush, errors.Join(err, flush())
		}
		provider := metric.NewMeterProvider(metric.WithReader(reader), metric.WithResource(described))
		ends = append(ends, provider.Shutdown)
		options = append(options, chatcore.WithMeterProvider(provider))
	}
	return options, flush, nil
}

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
