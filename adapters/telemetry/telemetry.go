package telemetry

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"

	"chatcore/domain"
	"chatcore/ports"
)

// Attributes that the semantic conventions do not have.
const (
	keyCommand = attribute.Key("chatcore.command")
	keyOutcome = attribute.Key("chatcore.outcome")
	keyChat    = attribute.Key("chatcore.chat.id")
	keySeq     = attribute.Key("chatcore.seq")
	keyAttempt = attribute.Key("chatcore.delivery.attempt")
)

// system is what carries the messages.
const system = "redis"

// Telemetry traces and meters what a core does.
type Telemetry struct {
	tracer trace.Tracer

	commands  metric.Float64Histogram
	sends     metric.Float64Histogram
	processes metric.Float64Histogram
	again     metric.Int64Counter
}

var _ ports.Observer = (*Telemetry)(nil)

// New makes the instruments.
func New(tracer trace.Tracer, meter metric.Meter) (*Telemetry, error) {
	t := &Telemetry{tracer: tracer}
	seconds := metric.WithExplicitBucketBoundaries(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)
	var errs [4]error
	t.commands, errs[0] = meter.Float64Histogram("chatcore.command.duration", metric.WithUnit("s"), seconds,
		metric.WithDescription("Time that a command took, by its outcome."))
	t.sends, errs[1] = meter.Float64Histogram("messaging.client.operation.duration", metric.WithUnit("s"), seconds,
		metric.WithDescription("Time that handing on events took."))
	t.processes, errs[2] = meter.Float64Histogram("messaging.process.duration", metric.WithUnit("s"), seconds,
		metric.WithDescription("Time that a handler took for a delivery."))
	t.again, errs[3] = meter.Int64Counter("chatcore.redeliveries", metric.WithUnit("{delivery}"),
		metric.WithDescription("Handler starts for a delivery after the first."))
	return t, errors.Join(errs[:]...)
}

// Command implements [ports.Observer].
func (t *Telemetry) Command(ctx context.Context, name string, chat domain.ChatID) (context.Context, func(error)) {
	began := time.Now()
	ctx, span := t.tracer.Start(ctx, name)
	if span.IsRecording() {
		span.SetAttributes(keyCommand.String(name), keyChat.String(string(chat)))
	}
	return ctx, func(err error) {
		finish(span, err)
		if t.commands.Enabled(ctx) {
			t.commands.Record(ctx, time.Since(began).Seconds(), metric.WithAttributes(keyCommand.String(name), keyOutcome.String(Outcome(err))))
		}
	}
}

// finish ends a span. Errors tell no contents: they name ids and what is allowed.
func finish(span trace.Span, err error) {
	if err != nil && span.IsRecording() {
		span.SetAttributes(semconv.ErrorTypeKey.String(Outcome(err)))
		span.SetStatus(codes.Error, Outcome(err))
	}
	span.End()
}

// Outcome is a word for what became of a command or a delivery.
func Outcome(err error) string {
	for _, o := range [...]struct {
		reason error
		word   string
	}{
		{nil, "ok"},
		{ports.ErrUnconfirmed, "unconfirmed"},
		{ports.ErrConflict, "conflict"},
		{ports.ErrOutcomeUnknown, "unknown"},
		{ports.ErrOverloaded, "overloaded"},
		{ports.ErrUnavailable, "unavailable"},
		{ports.ErrLogLost, "log_lost"},
		{ports.ErrCorrupt, "corrupt"},
		{domain.ErrInvalid, "invalid"},
		{ports.ErrTooLarge, "invalid"},
		{context.Canceled, "cancelled"},
		{context.DeadlineExceeded, "cancelled"},
	} {
		if errors.Is(err, o.reason) {
			return o.word
		}
	}
	var refusal *domain.Refusal
	if errors.As(err, &refusal) {
		return "refused"
	}
	return "error"
}

// traceParent is the context of the present span as a W3C traceparent, "" if there is none.
func traceParent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier.Get("traceparent")
}

// continued is ctx within the trace of a traceparent.
func continued(ctx context.Context, traceparent string) context.Context {
	if traceparent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent})
}

func operation(kind attribute.KeyValue, name, destination string) []attribute.KeyValue {
	return []attribute.KeyValue{
		semconv.MessagingSystemKey.String(system), kind, semconv.MessagingOperationName(name), semconv.MessagingDestinationName(destination),
	}
}
