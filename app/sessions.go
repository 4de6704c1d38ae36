package app

import (
	"context"
	"errors"
	"sync/atomic"

	"chatcore/domain"
	"chatcore/ports"
)

// Sessions are the logins of users. Without an answer of the store there is no session, and nothing is closed: [ports.ErrUnavailable]. For any token
// that is not a live session's, they return [domain.ErrNoSession]. They act on the sessions of any user that the caller names: code that answers users
// must use Core.As.
type Sessions struct {
	store    ports.SessionStore
	presence Presences
	compat   bool

	unreadable atomic.Uint64
	notLeft    atomic.Uint64
}

// Presences ends heartbeats. [Presence] implements it.
type Presences interface {
	Leave(ctx context.Context, user domain.UserID, device domain.DeviceID, conn domain.ConnectionID) error
}

// SessionMode says how tokens are taken.
type SessionMode struct {
	// Compat keeps sessions under their tokens, as the TypeScript guide does, and takes tokens of its programs. A reader of the names of keys can
	// then use every session.
	Compat bool
}

// NewSessions puts the use cases on the given ports. presence is nil if nobody keeps it.
func NewSessions(store ports.SessionStore, presence Presences, mode SessionMode) *Sessions {
	return &Sessions{store: store, presence: presence, compat: mode.Compat}
}

// OpenedSession is a session and the token of its client, which is returned once.
type OpenedSession struct {
	domain.Session
	Token SessionToken
}

// Open begins a session. If the user has the highest allowed number, the one that was opened first is closed.
func (s *Sessions) Open(ctx context.Context, cmd domain.OpenSession) (OpenedSession, error) {
	if err := firstError(checkUsers([]domain.UserID{cmd.User}), cmd.Device.Check()); err != nil {
		return OpenedSession{}, err
	}
	token := newToken(cmd.User)
	_, key, _ := token.place(s.compat)
	opened, closed, err := s.store.Open(ctx, domain.Session{ID: newSessionID(), User: cmd.User, Device: cmd.Device}, key)
	if err != nil {
		return OpenedSession{}, err
	}
	s.leave(ctx, cmd.User, closed)
	return OpenedSession{opened, token}, nil
}

// Get gives the session of a token and counts as its use. It is one round trip to the store.
func (s *Sessions) Get(ctx context.Context, token SessionToken) (domain.Session, error) {
	user, key, ok := token.place(s.compat)
	session, err := s.store.Find(ctx, user, key)
	return s.answer(session, ok, err)
}

// Rotate gives a session another token: the old one is none from then on. If the answer is lost, so may be the session; log in anew. In compat
// mode the sessions of other programs cannot be rotated: [domain.ErrNoSession].
func (s *Sessions) Rotate(ctx context.Context, token SessionToken) (OpenedSession, error) {
	user, from, ok := token.place(s.compat)
	fresh := newToken(user)
	_, to, _ := fresh.place(s.compat)
	session, err := s.store.Rotate(ctx, user, from, to)
	session, err = s.answer(session, ok, err)
	if err != nil {
		return OpenedSession{}, err
	}
	return OpenedSession{session, fresh}, nil
}

func (s *Sessions) answer(session domain.Session, ok bool, err error) (domain.Session, error) {
	if errors.Is(err, ports.ErrForeignValue) {
		s.unreadable.Add(1)
		err = domain.ErrNoSession
	}
	if err == nil && !ok {
		err = domain.ErrNoSession
	}
	if err != nil {
		return domain.Session{}, err
	}
	return session, nil
}

// Ref returns the reference of a session that [Sessions.Get] has returned for a token, for [Sessions.Live].
func (s *Sessions) Ref(token SessionToken, session domain.Session) ports.SessionRef {
	user, key, _ := token.place(s.compat)
	return ports.SessionRef{User: user, ID: session.ID, Key: key}
}

// Live reports for each session whether its token still opens it, in the order of refs: it is not closed, moved to another token, unused for too long,
// at its end, or deleted. It does not count as a use. Any number of sessions takes few round trips.
func (s *Sessions) Live(ctx context.Context, refs []ports.SessionRef) ([]bool, error) {
	return s.store.Live(ctx, refs)
}

// List gives a user's live sessions in the order in which they were opened; not those of other programs.
func (s *Sessions) List(ctx context.Context, user domain.UserID) ([]domain.Session, error) {
	if err := checkUsers([]domain.UserID{user}); err != nil {
		return nil, err
	}
	return s.store.List(ctx, user)
}

// Close ends a session of a user, and the heartbeat that names the session's device and, as its connection, the session's id. Other
// heartbeats of the device stay. It returns [domain.ErrNoSession] if the session is not live.
func (s *Sessions) Close(ctx context.Context, user domain.UserID, id domain.SessionID) error {
	_, err := domain.ParseSessionID(string(id))
	if err := firstError(checkUsers([]domain.UserID{user}), err); err != nil {
		return err
	}
	closed, err := s.store.Close(ctx, user, id)
	if err != nil {
		return err
	}
	s.leave(ctx, user, []domain.Session{closed})
	return nil
}

// CloseAll ends all sessions of a user, and the heartbeats that name them as Close does. It returns the number of sessions. A session that is
// opened meanwhile is closed, or is opened after it.
func (s *Sessions) CloseAll(ctx context.Context, user domain.UserID) (int, error) {
	if err := checkUsers([]domain.UserID{user}); err != nil {
		return 0, err
	}
	closed, err := s.store.CloseAll(ctx, user)
	if err != nil {
		return 0, err
	}
	s.leave(ctx, user, closed)
	return len(closed), nil
}

// leave ends the heartbeats whose connections are the closed sessions. A newer session on the same device has another id, so its heartbeat stays. The
// sessions are closed regardless of leave, also if the caller has gone: a heartbeat that cannot be ended expires.
func (s *Sessions) leave(ctx context.Context, user domain.UserID, closed []domain.Session) {
	if s.presence == nil {
		return
	}
	ctx = context.WithoutCancel(ctx)
	for _, session := range closed {
		if session.Device.ID == "" || session.ID == "" { // its client sends no heartbeats in its name
			continue
		}
		if err := s.presence.Leave(ctx, user, session.Device.ID, domain.ConnectionID(session.ID)); err != nil {
			s.notLeft.Add(1)
		}
	}
}

// SessionStats are counts since the start.
type SessionStats struct {
	Unreadable uint64 // tokens under which something else is kept than a session
	NotLeft    uint64 // closed sessions whose heartbeat could not be ended
}

// Stats gives the counts.
func (s *Sessions) Stats() SessionStats {
	return SessionStats{Unreadable: s.unreadable.Load(), NotLeft: s.notLeft.Load()}
}
