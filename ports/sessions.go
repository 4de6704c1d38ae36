package ports

import (
	"context"
	"log/slog"

	"chatcore/domain"
)

// Sessions stores users' sessions by the keys of their secrets, under a [domain.SessionPolicy]. The store's clock decides, not the caller's: the
// clocks of callers differ. Without an answer of the store there is no session: [ErrUnavailable].
type Sessions interface {
	// Open keeps a session of the given id, user and device under a key, and gives it with its times. Where the user has as many as
	// allowed, those opened first are closed in the same step, and given too.
	Open(ctx context.Context, s domain.Session, key SessionKey) (opened domain.Session, closed []domain.Session, err error)
	// Find gives the live session under a key of a user, and notes its use ([domain.Session.Use]). [domain.ErrNoSession] if there is
	// none, [ErrForeignValue] if something else is kept there.
	Find(ctx context.Context, user domain.UserID, key SessionKey) (domain.Session, error)
	// Rotate is a Find that also moves the session to another key: its old one is none from then on. After an error the session may be
	// under either.
	Rotate(ctx context.Context, user domain.UserID, from, to SessionKey) (domain.Session, error)

	// Live reports for each session whether it is live under its key, in the order of refs. It does not count as a use. The round trips are few, whatever
	// the number of sessions, and no step together: a session that ends meanwhile may be reported as live. It returns [ErrUnavailable] if it cannot
	// check all of them.
	Live(ctx context.Context, refs []SessionRef) ([]bool, error)
}

// UserSessions are the same sessions, by user.
type UserSessions interface {
	// List gives a user's live sessions in the order in which they were opened.
	List(ctx context.Context, user domain.UserID) ([]domain.Session, error)
	// Close ends a session and gives it as it was; [domain.ErrNoSession] if it is not live.
	Close(ctx context.Context, user domain.UserID, id domain.SessionID) (domain.Session, error)
	// CloseAll ends all sessions of a user and gives those that were live. A session that is opened meanwhile is closed, or is opened after it.
	CloseAll(ctx context.Context, user domain.UserID) ([]domain.Session, error)
}

// SessionStore is both.
type SessionStore interface {
	Sessions
	UserSessions
}

// SessionKey is the key of a session: the hash of its secret or, in compat mode, its token. It has no character that is special in names of keys.
type SessionKey string

// SessionRef names a session by the key that a token had. Its bearer cannot use the session, except in compat mode, where the key is the token: so its
// text is hidden.
type SessionRef struct {
	User domain.UserID    // as [Sessions.Find] takes it
	ID   domain.SessionID // "" for a session of another program
	Key  SessionKey
}

// String hides the key.
func (SessionRef) String() string { return "(session)" }

// GoString hides the key.
func (SessionRef) GoString() string { return "(session)" }

// LogValue hides the key.
func (SessionRef) LogValue() slog.Value { return slog.StringValue("(session)") }
