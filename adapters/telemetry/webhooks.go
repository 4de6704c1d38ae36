package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"

	"chatcore/domain"
)

// WebhookRequest is a request to the endpoint of a webhook.
type WebhookRequest struct {
	Group, Host, Type string
	Chat              domain.ChatID
	Seq               domain.Seq
	Attempt           int
	TraceParent       string // of the event
}

// WebhookRequest begins the span of a request, in the trace of its event. It returns the traceparent that the request carries, "" if nobody traces, and a function
// that ends the span and records the duration, with the result, the status of the answer and the error.
func (t *Telemetry) WebhookRequest(ctx context.Context, r WebhookRequest) (in context.Context, traceparent string, done func(result string, status int, err error)) {
	measures := t.posts.Enabled(ctx)
	if t.tracer == nil && !measures {
		return ctx, "", func(string, int, error) {}
	}
	began := time.Now()
	ctx, span := t.start(continued(ctx, r.TraceParent), "POST "+r.Type, trace.SpanKindClient)
	if span.IsRecording() {
		span.SetAttributes(
			Group(r.Group), semconv.HTTPRequestMethodPost, semconv.ServerAddress(r.Host), keyChat.String(string(r.Chat)), keySeq.Int64(int64(r.Seq)), keyAttempt.Int(r.Attempt), //nolint:gosec // seqs are small
		)
	}
	if t.tracer != nil {
		traceparent = traceParent(ctx)
	}
	return ctx, traceparent, func(result string, status int, err error) {
		if span.IsRecording() {
			span.SetAttributes(keyOutcome.String(result))
			if status > 0 {
				span.SetAttributes(semconv.HTTPResponseStatusCode(status))
			}
			if err != nil {
				span.SetStatus(codes.Error, result)
			}
		}
		span.End()
		if measures {
			t.posts.Record(ctx, time.Since(began).Seconds(), metric.WithAttributes(Group(r.Group), keyOutcome.String(result)))
		}
	}
}
