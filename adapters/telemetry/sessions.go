package telemetry

import (
	"context"

	"chatcore/domain"
	"chatcore/ports"
)

// Sessions records a span and the duration of every call, as for commands. It records neither users nor keys: a key may be a token.
type Sessions struct {
	inner ports.SessionStore
	t     *Telemetry
}

var _ ports.SessionStore = (*Sessions)(nil)

// Sessions puts a decorator around sessions.
func (t *Telemetry) Sessions(inner ports.SessionStore) ports.SessionStore { return &Sessions{inner, t} }

// Open implements [ports.Sessions].
func (s *Sessions) Open(ctx context.Context, session domain.Session, key ports.SessionKey) (domain.Session, []domain.Session, error) {
	ctx, done := s.t.call(ctx, "session open")
	opened, closed, err := s.inner.Open(ctx, session, key)
	done(err)
	return opened, closed, err
}

// Find implements [ports.Sessions].
func (s *Sessions) Find(ctx context.Context, user domain.UserID, key ports.SessionKey) (domain.Session, error) {
	ctx, done := s.t.call(ctx, "session get")
	found, err := s.inner.Find(ctx, user, key)
	done(err)
	return found, err
}

// Rotate implements [ports.Sessions].
func (s *Sessions) Rotate(ctx context.Context, user domain.UserID, from, to ports.SessionKey) (domain.Session, error) {
	ctx, done := s.t.call(ctx, "session rotate")
	rotated, err := s.inner.Rotate(ctx, user, from, to)
	done(err)
	return rotated, err
}

// Live implements [ports.Sessions].
func (s *Sessions) Live(ctx context.Context, refs []ports.SessionRef) ([]bool, error) {
	ctx, done := s.t.call(ctx, "session check")
	live, err := s.inner.Live(ctx, refs)
	done(err)
	return live, err
}

// List implements [ports.UserSessions].
func (s *Sessions) List(ctx context.Context, user domain.UserID) ([]domain.Session, error) {
	ctx, done := s.t.call(ctx, "session list")
	list, err := s.inner.List(ctx, user)
	done(err)
	return list, err
}

// Close implements [ports.UserSessions].
func (s *Sessions) Close(ctx context.Context, user domain.UserID, id domain.SessionID) (domain.Session, error) {
	ctx, done := s.t.call(ctx, "session close")
	closed, err := s.inner.Close(ctx, user, id)
	done(err)
	return closed, err
}

// CloseAll implements [ports.UserSessions].
func (s *Sessions) CloseAll(ctx context.Context, user domain.UserID) ([]domain.Session, error) {
	ctx, done := s.t.call(ctx, "session close all")
	closed, err := s.inner.CloseAll(ctx, user)
	done(err)
	return closed, err
}
