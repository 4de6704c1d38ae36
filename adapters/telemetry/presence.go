package telemetry

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"

	"chatcore/domain"
	"chatcore/ports"
)

// Presence continues the trace of the call that caused a transition, and counts transitions among sent events: the store publishes them itself, not
// by the live bus. Heartbeats are too many for a span each; one that causes a transition gets its span afterwards. Transitions of a sweep belong to
// no call and are only counted.
type Presence struct {
	ports.PresenceStore
	telemetry *Telemetry
	typ       string
}

var _ ports.PresenceStore = (*Presence)(nil)

// Presence decorates a presence store that publishes transitions itself, as events of the given type.
func (t *Telemetry) Presence(inner ports.PresenceStore, typ string) *Presence {
	return &Presence{PresenceStore: inner, telemetry: t, typ: typ}
}

// Heartbeat implements [ports.Presence].
func (p *Presence) Heartbeat(ctx context.Context, user domain.UserID, c domain.Connection, m ports.Meta) (*domain.UserStatus, error) {
	began := time.Now()
	published, err := p.PresenceStore.Heartbeat(ctx, user, c, p.traced(ctx, m))
	return p.sent(ctx, began, published), err
}

// Leave implements [ports.Presence].
func (p *Presence) Leave(ctx context.Context, user domain.UserID, c domain.Connection, m ports.Meta) (*domain.UserStatus, error) {
	began := time.Now()
	published, err := p.PresenceStore.Leave(ctx, user, c, p.traced(ctx, m))
	return p.sent(ctx, began, published), err
}

// SetStatus implements [ports.Presence].
func (p *Presence) SetStatus(ctx context.Context, user domain.UserID, s domain.Status, m ports.Meta) (*domain.UserStatus, error) {
	began := time.Now()
	published, err := p.PresenceStore.SetStatus(ctx, user, s, p.traced(ctx, m))
	return p.sent(ctx, began, published), err
}

// CountOnline implements [ports.OnlineCounter] if the store does, and returns an error otherwise.
func (p *Presence) CountOnline(ctx context.Context) (int, error) {
	if counter, ok := p.PresenceStore.(ports.OnlineCounter); ok {
		return counter.CountOnline(ctx)
	}
	return 0, errUncounted
}

// errUncounted is returned for a store of presence that cannot count.
var errUncounted = errors.New("the store of presence does not count")

// Expire implements [ports.PresenceSweep].
func (p *Presence) Expire(ctx context.Context, limit int) (published []domain.UserStatus, more bool, err error) {
	began := time.Now()
	published, more, err = p.PresenceStore.Expire(ctx, limit)
	p.count(ctx, began, len(published))
	return published, more, err
}

// Repair implements [ports.PresenceSweep].
func (p *Presence) Repair(ctx context.Context, limit int) ([]domain.UserStatus, error) {
	began := time.Now()
	published, err := p.PresenceStore.Repair(ctx, limit)
	p.count(ctx, began, len(published))
	return published, err
}

func (p *Presence) traced(ctx context.Context, m ports.Meta) ports.Meta {
	if p.telemetry.tracer == nil {
		return m
	}
	if parent := traceParent(ctx); parent != "" {
		m.TraceParent = parent
	}
	return m
}

func (p *Presence) sent(ctx context.Context, began time.Time, published *domain.UserStatus) *domain.UserStatus {
	if published == nil {
		return nil
	}
	if p.telemetry.tracer != nil {
		_, span := p.telemetry.tracer.Start(ctx, "send "+p.typ, trace.WithSpanKind(trace.SpanKindProducer), trace.WithTimestamp(began),
			trace.WithAttributes(operation(semconv.MessagingOperationTypeSend, "send", p.typ)...))
		span.End()
	}
	p.count(ctx, began, 1)
	return published
}

func (p *Presence) count(ctx context.Context, began time.Time, n int) {
	if n == 0 || !p.telemetry.sends.Enabled(ctx) {
		return
	}
	took := time.Since(began).Seconds()
	attributes := metric.WithAttributes(append(operation(semconv.MessagingOperationTypeSend, "send", p.typ), keyOutcome.String(Outcome(nil)))...)
	for range n {
		p.telemetry.sends.Record(ctx, took, attributes)
	}
}
