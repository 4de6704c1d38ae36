package session

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
)

// Store stores each session's record under the hash of its secret, with a TTL, and for each user a hash of the sessions that are not closed. A
// session is live if both exist. Redis's clock decides. The process's clock is passed along, so that the script reads Redis's clock only when it may
// matter.
type Store struct {
	client                 goredis.UniversalClient
	keys                   keyspace.Sessions
	policy                 domain.SessionPolicy
	shared                 bool
	now                    func() time.Time
	open, use, list, close *goredis.Script
}

var _ ports.SessionStore = (*Store)(nil)

// New returns a store that contains only hashes of the sessions' secrets.
func New(client goredis.UniversalClient, keys keyspace.Sessions, policy domain.SessionPolicy) *Store {
	return &Store{
		client: client, keys: keys, policy: policy, now: time.Now,
		open: goredis.NewScript(sessionOpenSource), use: goredis.NewScript(sessionUseSource), list: goredis.NewScript(sessionListSource),
		close: goredis.NewScript(sessionCloseSource),
	}
}

// NewCompat returns a store that keeps sessions under their tokens, like the guide, and finds sessions opened by its programs. Any program
// that can list keys can use every session. It does not work on a Cluster, where a token and its user have different slots.
func NewCompat(client goredis.UniversalClient, keys keyspace.Sessions, policy domain.SessionPolicy) (*Store, error) {
	if keys.Cluster() {
		return nil, &domain.InvalidError{Field: "Sessions.Compat", Problem: "is set for a Cluster", Allowed: "a single server, or sessions under their hashes"}
	}
	s := New(client, keys, policy)
	s.shared = true
	return s, nil
}

func (s *Store) record(user domain.UserID, key ports.SessionKey) string {
	return s.prefix(user) + string(key)
}

func (s *Store) prefix(user domain.UserID) string {
	if s.shared {
		return s.keys.CompatRecord("")
	}
	return s.keys.RecordPrefix(user)
}

// Open implements [ports.Sessions].
func (s *Store) Open(ctx context.Context, session domain.Session, key ports.SessionKey) (domain.Session, []domain.Session, error) {
	d := session.Device
	head, err := json.Marshal(sessionRecord{
		Own: &sessionOwn{string(session.ID)}, User: string(session.User), Device: string(d.ID), Name: d.Name, UserAgent: d.UserAgent, IP: d.IP,
	})
	if err != nil {
		return domain.Session{}, nil, err
	}
	reply, err := s.run(
		ctx, s.open, []string{s.record(session.User, key), s.keys.Index(session.User)}, string(session.ID), string(key), s.prefix(session.User), head[:len(head)-1],
		milliseconds(s.policy.Idle), milliseconds(s.policy.Lifetime), s.policy.PerUser,
	)
	if err != nil {
		return domain.Session{}, nil, err
	}
	if len(reply) == 0 {
		return domain.Session{}, nil, s.foreignHash(session.User)
	}
	field, _ := parseSessionField(rediscmd.Text(reply[0]))
	session.OpenedAt, session.SeenAt, session.EndsAt, session.Idle = field.opened, field.seen, field.ends, field.idle
	return session, several(session.User, reply[1:]), nil
}

// Find implements [ports.Sessions] in one round trip.
func (s *Store) Find(ctx context.Context, user domain.UserID, key ports.SessionKey) (domain.Session, error) {
	return s.find(ctx, user, key, []string{s.record(user, key), s.keys.Index(user)}, key)
}

// Rotate implements [ports.Sessions] in one round trip.
func (s *Store) Rotate(ctx context.Context, user domain.UserID, from, to ports.SessionKey) (domain.Session, error) {
	return s.find(ctx, user, from, []string{s.record(user, from), s.keys.Index(user), s.record(user, to)}, to)
}

func (s *Store) find(ctx context.Context, user domain.UserID, key ports.SessionKey, keys []string, then ports.SessionKey) (domain.Session, error) {
	shared := "0"
	if s.shared {
		shared = "1"
	}
	reply, err := s.run(ctx, s.use, keys, string(key), shared, s.now().UnixMilli(), string(then))
	if err != nil {
		return domain.Session{}, err
	}
	status, _ := reply[0].(int64)
	switch {
	case status == 0:
		return domain.Session{}, domain.ErrNoSession
	case status == 1:
		session, at, ok := parseSession(user, rediscmd.Text(reply[1]), rediscmd.Text(reply[2]), rediscmd.Text(reply[3]))
		if ok && subtle.ConstantTimeCompare([]byte(at), []byte(then)) == 1 {
			return session, nil
		}
	case status == 2 && key != then: // a foreign session cannot be moved
		return domain.Session{}, domain.ErrNoSession
	case status == 2:
		if session, ok := foreignSession(rediscmd.Text(reply[1])); ok {
			return session, nil
		}
	}
	// The error omits the rest of the key's name, which may be a token.
	return domain.Session{}, &ports.ForeignValueError{Key: s.keys.CompatRecord("…"), Holds: "no session, or none that can be read", For: "a session"}
}

// List implements [ports.UserSessions].
func (s *Store) List(ctx context.Context, user domain.UserID) ([]domain.Session, error) {
	return s.all(ctx, s.list, user)
}

// Close implements [ports.UserSessions].
func (s *Store) Close(ctx context.Context, user domain.UserID, id domain.SessionID) (domain.Session, error) {
	if id == "" {
		return domain.Session{}, domain.ErrNoSession
	}
	closed, err := s.all(ctx, s.close, user, string(id))
	if err == nil && len(closed) == 0 {
		err = domain.ErrNoSession
	}
	if err != nil {
		return domain.Session{}, err
	}
	return closed[0], nil
}

// CloseAll implements [ports.UserSessions].
func (s *Store) CloseAll(ctx context.Context, user domain.UserID) ([]domain.Session, error) {
	return s.all(ctx, s.close, user, "")
}

func (s *Store) all(ctx context.Context, script *goredis.Script, user domain.UserID, args ...any) ([]domain.Session, error) {
	args = append([]any{s.prefix(user)}, args...)
	reply, err := s.run(ctx, script, []string{s.keys.Index(user)}, args...)
	if err != nil {
		return nil, err
	}
	if status, _ := reply[0].(int64); status != 1 {
		return nil, s.foreignHash(user)
	}
	return several(user, reply[1:]), nil
}

func (s *Store) foreignHash(user domain.UserID) error {
	return &ports.ForeignValueError{Key: s.keys.Index(user), Holds: "no hash", For: "a user's sessions"}
}

func (s *Store) run(ctx context.Context, script *goredis.Script, keys []string, args ...any) ([]any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	reply, err := script.Run(ctx, s.client, keys, args...).Slice()
	return reply, rediscmd.Unavailable(ctx, err)
}

// milliseconds returns a duration as an argument of the scripts. It is at least 1: 0 ms is no TTL.
func milliseconds(d time.Duration) string {
	return strconv.FormatInt(max(d.Milliseconds(), 1), 10)
}
