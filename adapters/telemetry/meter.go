package telemetry

import (
	"context"
	"log/slog"
	"sync"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// NewMeter returns a meter that never fails: an instrument or callback that meter refuses measures nothing. The first refusal is logged as a
// warning. It supports the instruments that chatcore uses.
func NewMeter(meter metric.Meter, logger *slog.Logger) metric.Meter {
	return &safeMeter{Meter: meter, logger: logger}
}

// safeMeter replaces instruments that the embedded meter refuses.
type safeMeter struct {
	metric.Meter
	logger *slog.Logger
	warn   sync.Once
}

func (m *safeMeter) refused(err error, name string) bool {
	if err != nil {
		m.warn.Do(func() { m.logger.Warn("metrics are incomplete", "instrument", name, "error", err) })
	}
	return err != nil
}

func (m *safeMeter) Float64Histogram(name string, options ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	i, err := m.Meter.Float64Histogram(name, options...)
	if m.refused(err, name) {
		return noop.Float64Histogram{}, nil
	}
	return i, nil
}

func (m *safeMeter) Int64Histogram(name string, options ...metric.Int64HistogramOption) (metric.Int64Histogram, error) {
	i, err := m.Meter.Int64Histogram(name, options...)
	if m.refused(err, name) {
		return noop.Int64Histogram{}, nil
	}
	return i, nil
}

func (m *safeMeter) Int64Counter(name string, options ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	i, err := m.Meter.Int64Counter(name, options...)
	if m.refused(err, name) {
		return noop.Int64Counter{}, nil
	}
	return i, nil
}

func (m *safeMeter) Int64ObservableCounter(name string, options ...metric.Int64ObservableCounterOption) (metric.Int64ObservableCounter, error) {
	i, err := m.Meter.Int64ObservableCounter(name, options...)
	if m.refused(err, name) {
		return noop.Int64ObservableCounter{}, nil
	}
	return i, nil
}

func (m *safeMeter) Int64ObservableGauge(name string, options ...metric.Int64ObservableGaugeOption) (metric.Int64ObservableGauge, error) {
	i, err := m.Meter.Int64ObservableGauge(name, options...)
	if m.refused(err, name) {
		return noop.Int64ObservableGauge{}, nil
	}
	return i, nil
}

func (m *safeMeter) Int64ObservableUpDownCounter(name string, options ...metric.Int64ObservableUpDownCounterOption) (metric.Int64ObservableUpDownCounter, error) {
	i, err := m.Meter.Int64ObservableUpDownCounter(name, options...)
	if m.refused(err, name) {
		return noop.Int64ObservableUpDownCounter{}, nil
	}
	return i, nil
}

func (m *safeMeter) Float64ObservableGauge(name string, options ...metric.Float64ObservableGaugeOption) (metric.Float64ObservableGauge, error) {
	i, err := m.Meter.Float64ObservableGauge(name, options...)
	if m.refused(err, name) {
		return noop.Float64ObservableGauge{}, nil
	}
	return i, nil
}

func (m *safeMeter) RegisterCallback(f metric.Callback, instruments ...metric.Observable) (metric.Registration, error) {
	r, err := m.Meter.RegisterCallback(f, instruments...)
	if m.refused(err, "callback") {
		return noop.Registration{}, nil
	}
	return r, nil
}

// flusher is a meter provider that can export now, as OpenTelemetry's SDK has it.
type flusher interface {
	ForceFlush(ctx context.Context) error
}

// Flush has a meter provider export its measurements, if it can. It returns when that is done or ctx has ended, also if the provider ignores ctx. An
// error is the exporter's to report.
func Flush(ctx context.Context, meters metric.MeterProvider) {
	f, ok := meters.(flusher)
	if !ok {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = f.ForceFlush(ctx)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
