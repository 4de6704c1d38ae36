package telemetry

import (
	"context"

	"chatcore/domain"
	"chatcore/ports"
)

// Presence has transitions carry on the trace in which they were made. Heartbeats are too many for spans of their own.
type Presence struct{ inner ports.Presence }

var _ ports.Presence = (*Presence)(nil)

// Presence puts a decorator around presence.
func (t *Telemetry) Presence(inner ports.Presence) ports.Presence {
	if t.tracer == nil {
		return inner
	}
	return &Presence{inner}
}

func traced(ctx context.Context, m ports.Meta) ports.Meta {
	if parent := traceParent(ctx); parent != "" {
		m.TraceParent = parent
	}
	return m
}

// Beat implements [ports.Presence].
func (p *Presence) Beat(ctx context.Context, user domain.UserID, device domain.DeviceID, m ports.Meta) (*domain.UserStatus, error) {
	return p.inner.Beat(ctx, user, device, traced(ctx, m))
}

// Leave implements [ports.Presence].
func (p *Presence) Leave(ctx context.Context, user domain.UserID, device domain.DeviceID, m ports.Meta) (*domain.UserStatus, error) {
	return p.inner.Leave(ctx, user, device, traced(ctx, m))
}

// Choose implements [ports.Presence].
func (p *Presence) Choose(ctx context.Context, user domain.UserID, s domain.Status, m ports.Meta) (*domain.UserStatus, error) {
	return p.inner.Choose(ctx, user, s, traced(ctx, m))
}
