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

// Received is a message on its way to a handler.
type Received struct {
	Type        string
	Group       string // "" for a live event
	ID          domain.EventID
	Chat        domain.ChatID
	Seq         domain.Seq
	Attempt     int // 0 for a live event
	TraceParent string
}

// Processes reports whether anybody traces or measures the handling of messages.
func (t *Telemetry) Processes(ctx context.Context) bool {
	return t.tracer != nil || t.processes.Enabled(ctx)
}

// Process begins the handling of a message, within the message's trace. The returned function ends it.
func (t *Telemetry) Process(ctx context.Context, r Received) (context.Context, func(error)) {
	if !t.Processes(ctx) {
		return ctx, unobserved
	}
	began := time.Now()
	ctx, span := t.start(continued(ctx, r.TraceParent), "process "+r.Type, trace.SpanKindConsumer)
	attributes := operation(semconv.MessagingOperationTypeProcess, "process", r.Type)
	if r.Group != "" {
		attributes = append(attributes, semconv.MessagingConsumerGroupName(r.Group))
	}
	if span.IsRecording() {
		span.SetAttributes(attributes...)
		span.SetAttributes(semconv.MessagingMessageID(string(r.ID)))
		if r.Chat != "" {
			span.SetAttributes(keyChat.String(string(r.Chat)))
		}
		if r.Seq > 0 {
			span.SetAttributes(keySeq.Int64(int64(r.Seq))) //nolint:gosec // far below
		}
		if r.Attempt > 0 {
			span.SetAttributes(keyAttempt.Int(r.Attempt))
		}
	}
	if r.Attempt > 1 {
		t.again.Add(ctx, 1, metric.WithAttributes(semconv.MessagingConsumerGroupName(r.Group)))
	}
	return ctx, func(err error) {
		finish(span, err)
		if t.processes.Enabled(ctx) {
			t.processes.Record(ctx, time.Since(began).Seconds(), metric.WithAttributes(append(attributes, keyOutcome.String(Outcome(err)))...))
		}
	}
}

// Handler puts a decorator around the handler of a consumer group.
func (t *Telemetry) Handler(group string, typeOf func(domain.Event) string, next func(ctx context.Context, d ports.Delivery) error) func(ctx context.Context, d ports.Delivery) error {
	return func(ctx context.Context, d ports.Delivery) error {
		ctx, end := t.Process(ctx, Received{
			Type: typeOf(d.Event), Group: group, ID: d.ID.Event, Chat: d.ID.Chat, Seq: d.ID.Seq, Attempt: d.Attempt, TraceParent: d.Meta.TraceParent,
		})
		ended := false
		defer func() {
			if !ended { // it panicked
				end(errPanicked)
			}
		}()
		err := next(ctx, d)
		ended = true
		end(err)
		return err
	}
}
