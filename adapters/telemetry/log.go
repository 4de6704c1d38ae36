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

// EventLog is an event log whose appends are traced.
type EventLog interface {
	ports.EventLog
	ports.EventSearch
}

// Log traces the appends of an event log, and has every event carry the trace on.
type Log struct {
	EventLog
	telemetry *Telemetry
	typeOf    func(domain.Event) string
}

// Log puts a decorator around an event log. typeOf gives the name of an event's type.
func (t *Telemetry) Log(inner EventLog, typeOf func(domain.Event) string) *Log {
	return &Log{EventLog: inner, telemetry: t, typeOf: typeOf}
}

// Confirm implements [ports.Confirmer].
func (l *Log) Confirm(ctx context.Context, found ports.LoadRef) error {
	if inner, ok := l.EventLog.(ports.Confirmer); ok {
		return inner.Confirm(ctx, found)
	}
	return nil
}

// TakesFrom implements [ports.LimitTaker].
func (l *Log) TakesFrom(limiter ports.Limiter) bool {
	inner, ok := l.EventLog.(ports.LimitTaker)
	return ok && inner.TakesFrom(limiter)
}

// Append implements [ports.EventLog].
func (l *Log) Append(ctx context.Context, a ports.Append) (ports.Appended, error) {
	if len(a.Events) == 0 || l.telemetry.tracer == nil && !l.telemetry.sends.Enabled(ctx) {
		return l.EventLog.Append(ctx, a)
	}
	began, typ := time.Now(), l.typeOf(a.Events[0].Event)
	ctx, span := l.telemetry.start(ctx, "send "+typ, trace.SpanKindProducer)
	if parent := traceParent(ctx); parent != "" {
		for i := range a.Events {
			a.Events[i].Meta.TraceParent = parent
		}
	}
	appended, err := l.EventLog.Append(ctx, a)
	if span.IsRecording() {
		span.SetAttributes(operation(semconv.MessagingOperationTypeSend, "send", typ)...)
		span.SetAttributes(semconv.MessagingMessageID(string(a.Events[0].ID)), keyChat.String(string(a.Chat)))
		if len(a.Events) > 1 {
			span.SetAttributes(semconv.MessagingBatchMessageCount(len(a.Events)))
		}
		if err == nil {
			span.SetAttributes(keySeq.Int64(int64(appended.First))) //nolint:gosec // far below
		}
	}
	finish(span, err)
	if l.telemetry.sends.Enabled(ctx) {
		l.telemetry.sends.Record(ctx, time.Since(began).Seconds(), metric.WithAttributes(
			append(operation(semconv.MessagingOperationTypeSend, "send", typ), keyOutcome.String(Outcome(err)))...))
	}
	return appended, err
}
