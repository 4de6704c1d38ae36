package telemetry

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// Config configures the traces and metrics of a core. All fields are required.
type Config struct {
	Name    string // of the instrumentation
	Version string
	Tracers trace.TracerProvider
	Meters  metric.MeterProvider
	Logger  *slog.Logger
}

// flushTimeout bounds the export of the last metrics.
const flushTimeout = time.Second

// Startup is the telemetry of a core whose opening is a span.
type Startup struct {
	Telemetry *Telemetry
	End       func(error) // ends the span
	Flush     func()      // exports the last metrics, within a second
}

// ConfiguredMeter returns the meter of a configuration.
func ConfiguredMeter(c Config) metric.Meter {
	return NewMeter(c.Meters.Meter(c.Name, metric.WithInstrumentationVersion(c.Version)), c.Logger)
}

// Start begins the span of the opening of a core.
func Start(ctx context.Context, c Config, meter metric.Meter) (Startup, error) {
	t, end, err := New(ctx, c.Tracers.Tracer(c.Name, trace.WithInstrumentationVersion(c.Version)), meter, "open")
	flush := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		Flush(ctx, c.Meters)
	}
	return Startup{t, end, flush}, err
}
