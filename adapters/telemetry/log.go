package telemetry

import (
	"context"
	"errors"
	"fmt"
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

// Erase implements [ports.Eraser]. It returns [errors.ErrUnsupported] if the log cannot erase.
func (l *Log) Erase(ctx context.Context, e ports.Erasure) (erased ports.Erased, err error) {
	inner, ok := l.EventLog.(ports.Eraser)
	if !ok {
		return ports.Erased{}, fmt.Errorf("the event log cannot erase: %w", errors.ErrUnsupported)
	}
	_, err = l.traced(ctx, e.Append, func(ctx context.Context, a ports.Append) (ports.Appended, error) {
		var err error
		e.Append = a
		erased, err = inner.Erase(ctx, e)
		return erased.Appended, err
	})
	return erased, err
}

// EraseContent implements [ports.Eraser]. It returns [errors.ErrUnsupported] if the log cannot erase.
func (l *Log) EraseContent(ctx context.Context, chat domain.ChatID, r ports.ContentRange) (ports.ContentErased, error) {
	if inner, ok := l.EventLog.(ports.Eraser); ok {
		return inner.EraseContent(ctx, chat, r)
	}
	return ports.ContentErased{}, fmt.Errorf("the event log cannot erase: %w", errors.ErrUnsupported)
}

// Held implements [ports.HoldChecker]. A log that does not know holds has none.
func (l *Log) Held(ctx context.Context, chat domain.ChatID, subjects ...domain.HoldSubject) ([]bool, error) {
	if inner, ok := l.EventLog.(ports.HoldChecker); ok {
		return inner.Held(ctx, chat, subjects...)
	}
	return make([]bool, len(subjects)), nil
}

// Append implements [ports.EventLog].
func (l *Log) Append(ctx context.Context, a ports.Append) (ports.Appended, error) {
	return l.traced(ctx, a, l.EventLog.Append)
}

// traced has do append within a span, whose trace the events carry on.
func (l *Log) traced(ctx context.Context, a ports.Append, do func(context.Context, ports.Append) (ports.Appended, error)) (ports.Appended, error) {
	if len(a.Events) == 0 || l.telemetry.tracer == nil && !l.telemetry.sends.Enabled(ctx) {
		return do(ctx, a)
	}
	began, typ := time.Now(), l.typeOf(a.Events[0].Event)
	ctx, span := l.telemetry.start(ctx, "send "+typ, trace.SpanKindProducer)
	if parent := traceParent(ctx); parent != "" {
		for i := range a.Events {
			a.Events[i].Meta.TraceParent = parent
		}
	}
	appended, err := do(ctx, a)
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
