package memory

import (
	"context"
	"crypto/subtle"
	"slices"
	"sync"

	"chatcore/domain"
	"chatcore/ports"
)

var _ ports.SessionStore = (*Sessions)(nil)

// Sessions keeps sessions by a clock.
type Sessions struct {
	clock  ports.Clock
	policy domain.SessionPolicy

	mu    sync.Mutex
	users map[domain.UserID][]keptSession // live or expired, in the order in which they were opened
}

type keptSession struct {
	domain.Session
	key ports.SessionKey
}

// NewSessions keeps none yet.
func NewSessions(clock ports.Clock, policy domain.SessionPolicy) *Sessions {
	return &Sessions{clock: clock, policy: policy, users: make(map[domain.UserID][]keptSession)}
}

// live acquires the lock, removes a user's expired sessions and returns the others.
func (s *Sessions) live(user domain.UserID) []keptSession {
	s.mu.Lock()
	now := s.clock.Now()
	s.keep(user, slices.DeleteFunc(s.users[user], func(k keptSession) bool { return !k.Alive(now) }))
	return s.users[user]
}

func (s *Sessions) keep(user domain.UserID, sessions []keptSession) {
	if len(sessions) == 0 {
		delete(s.users, user)
		return
	}
	s.users[user] = sessions
}

// Open implements [ports.Sessions].
func (s *Sessions) Open(ctx context.Context, session domain.Session, key ports.SessionKey) (domain.Session, []domain.Session, error) {
	if err := ctx.Err(); err != nil {
		return domain.Session{}, nil, err
	}
	live := s.live(session.User)
	defer s.mu.Unlock()
	opened := s.policy.Open(session.ID, session.User, session.Device, s.clock.Now())
	excess := max(len(live)+1-s.policy.PerUser, 0)
	closed := plainSessions(live[:excess])
	s.keep(session.User, append(slices.Clone(live[excess:]), keptSession{opened, key}))
	return opened, closed, nil
}

// Find implements [ports.Sessions].
func (s *Sessions) Find(ctx context.Context, user domain.UserID, key ports.SessionKey) (domain.Session, error) {
	return s.Rotate(ctx, user, key, key)
}

// Rotate implements [ports.Sessions].
func (s *Sessions) Rotate(ctx context.Context, user domain.UserID, from, to ports.SessionKey) (domain.Session, error) {
	if err := ctx.Err(); err != nil {
		return domain.Session{}, err
	}
	live := s.live(user)
	defer s.mu.Unlock()
	for i := range live {
		if subtle.ConstantTimeCompare([]byte(live[i].key), []byte(from)) == 1 {
			live[i].key = to
			live[i].Session, _ = live[i].Use(s.clock.Now())
			return live[i].Session, nil
		}
	}
	return domain.Session{}, domain.ErrNoSession
}

// Live implements [ports.Sessions].
func (s *Sessions) Live(ctx context.Context, refs []ports.SessionRef) ([]bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	live := make([]bool, len(refs))
	for i, ref := range refs {
		live[i] = slices.ContainsFunc(s.live(ref.User), func(k keptSession) bool {
			return k.ID == ref.ID && subtle.ConstantTimeCompare([]byte(k.key), []byte(ref.Key)) == 1
		})
		s.mu.Unlock()
	}
	return live, nil
}

// List implements [ports.UserSessions].
func (s *Sessions) List(ctx context.Context, user domain.UserID) ([]domain.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	return plainSessions(s.live(user)), nil
}

// Close implements [ports.UserSessions].
func (s *Sessions) Close(ctx context.Context, user domain.UserID, id domain.SessionID) (domain.Session, error) {
	if err := ctx.Err(); err != nil {
		return domain.Session{}, err
	}
	live := s.live(user)
	defer s.mu.Unlock()
	i := slices.IndexFunc(live, func(k keptSession) bool { return k.ID == id })
	if i < 0 {
		return domain.Session{}, domain.ErrNoSession
	}
	closed := live[i].Session
	s.keep(user, slices.Delete(live, i, i+1))
	return closed, nil
}

// CloseAll implements [ports.UserSessions].
func (s *Sessions) CloseAll(ctx context.Context, user domain.UserID) ([]domain.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	closed := plainSessions(s.live(user))
	defer s.mu.Unlock()
	delete(s.users, user)
	return closed, nil
}

func plainSessions(kept []keptSession) []domain.Session {
	plain := make([]domain.Session, len(kept))
	for i, k := range kept {
		plain[i] = k.Session
	}
	return plain
}
