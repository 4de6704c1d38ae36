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
	"go.opentelemetry.io/otel/trace/noop"

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

// system is the messaging system.
const system = "redis"

// Telemetry traces and meters a core.
type Telemetry struct {
	tracer trace.Tracer // nil if nobody traces

	commands  metric.Float64Histogram
	sends     metric.Float64Histogram
	processes metric.Float64Histogram
	again     metric.Int64Counter
	posts     metric.Float64Histogram
}

var (
	_ ports.Observer = (*Telemetry)(nil)
	_ ports.Linker   = (*Telemetry)(nil)
)

// New makes the instruments. The first span, of the given name, shows whether a tracer records; if not, no other span is begun. opened ends it.
func New(ctx context.Context, tracer trace.Tracer, meter metric.Meter, open string) (t *Telemetry, opened func(error), err error) {
	t = &Telemetry{}
	_, span := tracer.Start(ctx, open)
	if span.SpanContext().IsValid() {
		t.tracer = tracer
	}
	seconds := metric.WithExplicitBucketBoundaries(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)
	var errs [5]error
	t.commands, errs[0] = meter.Float64Histogram("chatcore.command.duration", metric.WithUnit("s"), seconds,
		metric.WithDescription("Time that a command took, by its outcome."))
	t.sends, errs[1] = meter.Float64Histogram("messaging.client.operation.duration", metric.WithUnit("s"), seconds,
		metric.WithDescription("Time that handing on events took."))
	t.processes, errs[2] = meter.Float64Histogram("messaging.process.duration", metric.WithUnit("s"), seconds,
		metric.WithDescription("Time that a handler took for a delivery."))
	t.again, errs[3] = meter.Int64Counter("chatcore.redeliveries", metric.WithUnit("{delivery}"),
		metric.WithDescription("Handler starts for a delivery after the first."))
	t.posts, errs[4] = meter.Float64Histogram("chatcore.webhook.duration", metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
		metric.WithDescription("Time that a request to the endpoint of a webhook took, by its result."))
	return t, func(err error) { finish(span, err) }, errors.Join(errs[:]...)
}

// start begins a span, if anybody traces.
func (t *Telemetry) start(ctx context.Context, name string, kind trace.SpanKind) (context.Context, trace.Span) {
	if t.tracer == nil {
		return ctx, noop.Span{}
	}
	if link, linked := ctx.Value(linkKey{}).(trace.Link); linked {
		return t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithLinks(link))
	}
	return t.tracer.Start(ctx, name, trace.WithSpanKind(kind))
}

// linkKey is the key of the [trace.Link] that the spans of a context have.
type linkKey struct{}

// Link implements [ports.Linker].
func (t *Telemetry) Link(ctx context.Context) func(context.Context) context.Context {
	call := trace.SpanContextFromContext(ctx)
	if t.tracer == nil || !call.IsValid() {
		return nil
	}
	return func(ctx context.Context) context.Context {
		return context.WithValue(ctx, linkKey{}, trace.Link{SpanContext: call})
	}
}

// Command implements [ports.Observer].
func (t *Telemetry) Command(ctx context.Context, name string, chat domain.ChatID) (context.Context, func(error)) {
	if !t.observed(ctx) {
		return ctx, unobserved
	}
	return t.call(ctx, name, keyChat.String(string(chat)))
}

// observed reports whether somebody traces calls or reads their durations. If not, a call builds no attributes: a list of them is an allocation.
func (t *Telemetry) observed(ctx context.Context) bool {
	return t.tracer != nil || t.commands.Enabled(ctx)
}

// call begins the span and the duration of a command, or of a call that is observed as one.
func (t *Telemetry) call(ctx context.Context, name string, about ...attribute.KeyValue) (context.Context, func(error)) {
	if !t.observed(ctx) {
		return ctx, unobserved
	}
	began := time.Now()
	ctx, span := t.start(ctx, name, trace.SpanKindInternal)
	if span.IsRecording() {
		span.SetAttributes(append(about, keyCommand.String(name))...)
	}
	return ctx, func(err error) {
		finish(span, err)
		if t.commands.Enabled(ctx) {
			t.commands.Record(ctx, time.Since(began).Seconds(), metric.WithAttributes(keyCommand.String(name), keyOutcome.String(Outcome(err))))
		}
	}
}

func unobserved(error) {}

// finish ends a span. Errors contain no contents: they name ids and allowed values.
func finish(span trace.Span, err error) {
	if err != nil && span.IsRecording() {
		span.SetAttributes(semconv.ErrorTypeKey.String(Outcome(err)))
		span.SetStatus(codes.Error, Outcome(err))
	}
	span.End()
}

// Outcome returns the name of the outcome of a command or a delivery.
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
		{context.Canceled, "cancelled"}, // of the caller: also where a store has not answered by then
		{context.DeadlineExceeded, "cancelled"},
		{ports.ErrUnavailable, "unavailable"},
		{ports.ErrForeignValue, "foreign_value"},
		{domain.ErrNoSession, "no_session"},
		{ports.ErrOverflow, "overflow"},
		{ports.ErrLogLost, "log_lost"},
		{ports.ErrNewerLog, "newer_log"},
		{ports.ErrLevel, "log_level"},
		{ports.ErrNewerVersion, "newer_version"},
		{ports.ErrCorrupt, "corrupt"},
		{domain.ErrInvalid, "invalid"},
		{ports.ErrTooLarge, "invalid"},
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
