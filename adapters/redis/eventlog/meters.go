package eventlog

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"chatcore/ports"
)

// meters holds the instruments of a log.
type meters struct {
	duration  metric.Float64Histogram
	size      metric.Int64Histogram
	conflicts metric.Int64Counter
	ok, bad   metric.MeasurementOption
}

func newMeters(ctx context.Context, meter metric.Meter, l *Log) (meters, error) {
	if meter == nil {
		meter = noop.Meter{}
	}
	m := meters{
		ok:  metric.WithAttributeSet(attribute.NewSet(attribute.String("chatcore.outcome", "ok"))),
		bad: metric.WithAttributeSet(attribute.NewSet(attribute.String("chatcore.outcome", "error"))),
	}
	var errs [5]error
	m.duration, errs[0] = meter.Float64Histogram("chatcore.append.duration",
		metric.WithUnit("s"), metric.WithDescription("Time from sending a batch of appends to its answer."),
		metric.WithExplicitBucketBoundaries(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5))
	m.size, errs[1] = meter.Int64Histogram("chatcore.append.batch.size",
		metric.WithUnit("{command}"), metric.WithDescription("Commands that were appended in one step."),
		metric.WithExplicitBucketBoundaries(1, 2, 4, 8, 16, 32, 64, 128))
	m.conflicts, errs[2] = meter.Int64Counter("chatcore.append.conflicts",
		metric.WithUnit("{command}"), metric.WithDescription("Appends whose conditions no longer held."))
	if errs[2] == nil {
		m.conflicts.Add(ctx, 0) // exported from the start, so that a rate has the first conflict
	}
	_, errs[3] = meter.Int64ObservableGauge("chatcore.append.queue",
		metric.WithUnit("{command}"), metric.WithDescription("Appends that wait to be sent."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(l.queued()))
			return nil
		}))
	_, errs[4] = meter.Int64ObservableCounter("chatcore.snapshots.unreadable",
		metric.WithUnit("{snapshot}"), metric.WithDescription("Snapshots that could not be read and were rebuilt from the log."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(l.unreadable.Load())) //nolint:gosec // a count
			return nil
		}))
	return m, errors.Join(errs[:]...)
}

// committed measures a batch that has been answered or has failed.
func (m *meters) committed(ctx context.Context, b *batch, took time.Duration) {
	if !m.size.Enabled(ctx) {
		return
	}
	outcome := m.ok
	if b.requests[0].err != nil {
		outcome = m.bad
	}
	m.duration.Record(ctx, took.Seconds(), outcome)
	m.size.Record(ctx, int64(len(b.requests)))
	for _, r := range b.requests {
		if errors.Is(r.outcome.Err, ports.ErrConflict) {
			m.conflicts.Add(ctx, 1)
		}
	}
}

// queued returns the number of queued appends.
func (l *Log) queued() int {
	n := 0
	for _, queue := range l.queues {
		queue.mu.Lock()
		n += queue.count
		queue.mu.Unlock()
	}
	return n
}
