package app

import (
	"context"

	"chatcore/domain"
)

// UserSessions are the sessions of one user. A session begins with [Sessions.Open], after the user was authenticated.
type UserSessions struct {
	sessions *Sessions
	user     domain.UserID
}

// List is [Sessions.List] of the user.
func (u UserSessions) List(ctx context.Context) ([]domain.Session, error) {
	return u.sessions.List(ctx, u.user)
}

// Close is [Sessions.Close] of a session of the user.
func (u UserSessions) Close(ctx context.Context, id domain.SessionID) error {
	return u.sessions.Close(ctx, u.user, id)
}

// CloseAll is [Sessions.CloseAll] of the user.
func (u UserSessions) CloseAll(ctx context.Context) (int, error) {
	return u.sessions.CloseAll(ctx, u.user)
}

// Rotate is [Sessions.Rotate] of a token of the user. The token of another user is [domain.ErrNoSession], and stays as it is.
func (u UserSessions) Rotate(ctx context.Context, token SessionToken) (OpenedSession, error) {
	if err := checkUsers([]domain.UserID{u.user}); err != nil {
		return OpenedSession{}, err
	}
	if user, _, ok := token.place(u.sessions.compat); !ok || user != u.user {
		return OpenedSession{}, domain.ErrNoSession
	}
	return u.sessions.Rotate(ctx, token)
}
