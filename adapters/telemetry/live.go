package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"

	"chatcore/domain"
	"chatcore/ports"
)

// LiveBus traces the publishing of live events.
type LiveBus struct {
	inner     ports.LiveBus
	telemetry *Telemetry
	typeOf    func(domain.Event) string
}

var _ ports.LiveBus = (*LiveBus)(nil)

// LiveBus puts a decorator around a live bus.
func (t *Telemetry) LiveBus(inner ports.LiveBus, typeOf func(domain.Event) string) *LiveBus {
	return &LiveBus{inner: inner, telemetry: t, typeOf: typeOf}
}

// Publish implements [ports.LiveBus].
func (b *LiveBus) Publish(ctx context.Context, e domain.Ephemeral, m ports.Meta) error {
	began, typ := time.Now(), b.typeOf(e)
	ctx, span := b.telemetry.start(ctx, "send "+typ, trace.SpanKindProducer)
	if parent := traceParent(ctx); parent != "" {
		m.TraceParent = parent
	}
	err := b.inner.Publish(ctx, e, m)
	if span.IsRecording() {
		span.SetAttributes(operation(semconv.MessagingOperationTypeSend, "send", typ)...)
	}
	finish(span, err)
	if b.telemetry.sends.Enabled(ctx) {
		b.telemetry.sends.Record(ctx, time.Since(began).Seconds(), metric.WithAttributes(
			append(operation(semconv.MessagingOperationTypeSend, "send", typ), keyOutcome.String(Outcome(err)))...))
	}
	return err
}
