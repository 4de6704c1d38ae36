package redis

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
	"chatcore/ports"
)

// Sessions keeps each session's record under the hash of its secret, with a TTL, and beside a user's records a hash that names those that are
// not closed. A session is live as long as both say so. Redis's clock decides; the process's only tells it when there is nothing to decide.
type Sessions struct {
	client                 goredis.UniversalClient
	keys                   Keys
	policy                 domain.SessionPolicy
	shared                 bool
	now                    func() time.Time
	open, use, list, close *goredis.Script
}

var _ ports.SessionStore = (*Sessions)(nil)

// NewSessions keeps sessions where only their secrets' hashes are known.
func NewSessions(client goredis.UniversalClient, keys Keys, policy domain.SessionPolicy) *Sessions {
	return &Sessions{
		client: client, keys: keys, policy: policy, now: time.Now,
		open: goredis.NewScript(sessionOpenSource), use: goredis.NewScript(sessionUseSource), list: goredis.NewScript(sessionListSource),
		close: goredis.NewScript(sessionCloseSource),
	}
}

// NewGuideSessions keeps sessions under their tokens, as the guide does, and finds those that its programs have opened. Whoever can read the
// names of keys can use every session. Not for a Cluster, where a token does not lie in its user's slot.
func NewGuideSessions(client goredis.UniversalClient, keys Keys, policy domain.SessionPolicy) (*Sessions, error) {
	if keys.cluster {
		return nil, &domain.InvalidError{Field: "SessionCompat", Problem: "is set for a Cluster", Allowed: "a single server, or sessions under their hashes"}
	}
	s := NewSessions(client, keys, policy)
	s.shared = true
	return s, nil
}

func (s *Sessions) record(user domain.UserID, key ports.SessionKey) string {
	return s.prefix(user) + string(key)
}

func (s *Sessions) prefix(user domain.UserID) string {
	if s.shared {
		return s.keys.guideSession("")
	}
	return s.keys.sessionPrefix(user)
}

// sessionRecord is a session as it is kept. Compat mode reads no more than userId and deviceId of what others keep.
type sessionRecord struct {
	Own       *sessionOwn `json:"_cc,omitempty"` // first: the script looks for it there
	User      string      `json:"userId"`
	Device    string      `json:"deviceId,omitempty"`
	Name      string      `json:"deviceName,omitempty"`
	UserAgent string      `json:"userAgent,omitempty"`
	IP        string      `json:"ip,omitempty"`
}

type sessionOwn struct {
	ID string `json:"id"`
}

// Open implements [ports.Sessions].
func (s *Sessions) Open(ctx context.Context, session domain.Session, key ports.SessionKey) (domain.Session, []domain.Session, error) {
	d := session.Device
	head, err := json.Marshal(sessionRecord{
		Own: &sessionOwn{string(session.ID)}, User: string(session.User), Device: string(d.ID), Name: d.Name, UserAgent: d.UserAgent, IP: d.IP,
	})
	if err != nil {
		return domain.Session{}, nil, err
	}
	reply, err := s.run(
		ctx, s.open, []string{s.record(session.User, key), s.keys.sessions(session.User)}, string(session.ID), string(key), s.prefix(session.User), head[:len(head)-1],
		milliseconds(s.policy.Idle), milliseconds(s.policy.Lifetime), s.policy.PerUser,
	)
	if err != nil {
		return domain.Session{}, nil, err
	}
	if len(reply) == 0 {
		return domain.Session{}, nil, s.foreignHash(session.User)
	}
	field, _ := parseSessionField(text(reply[0]))
	session.OpenedAt, session.SeenAt, session.EndsAt, session.Idle = field.opened, field.seen, field.ends, field.idle
	return session, several(session.User, reply[1:]), nil
}

// Find implements [ports.Sessions] in one round trip.
func (s *Sessions) Find(ctx context.Context, user domain.UserID, key ports.SessionKey) (domain.Session, error) {
	return s.find(ctx, user, key, []string{s.record(user, key), s.keys.sessions(user)}, key)
}

// Rotate implements [ports.Sessions] in one round trip.
func (s *Sessions) Rotate(ctx context.Context, user domain.UserID, from, to ports.SessionKey) (domain.Session, error) {
	return s.find(ctx, user, from, []string{s.record(user, from), s.keys.sessions(user), s.record(user, to)}, to)
}

func (s *Sessions) find(ctx context.Context, user domain.UserID, key ports.SessionKey, keys []string, then ports.SessionKey) (domain.Session, error) {
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
		session, at, ok := parseSession(user, text(reply[1]), text(reply[2]), text(reply[3]))
		if ok && subtle.ConstantTimeCompare([]byte(at), []byte(then)) == 1 {
			return session, nil
		}
	case status == 2 && key != then: // it is not ours to move
		return domain.Session{}, domain.ErrNoSession
	case status == 2:
		if session, ok := foreignSession(text(reply[1])); ok {
			return session, nil
		}
	}
	// The rest of the key's name may be a token.
	return domain.Session{}, &ports.ForeignValueError{Key: s.keys.guideSession("…"), Holds: "no session, or none that can be read", For: "a session"}
}

// List implements [ports.UserSessions].
func (s *Sessions) List(ctx context.Context, user domain.UserID) ([]domain.Session, error) {
	return s.all(ctx, s.list, user)
}

// Close implements [ports.UserSessions].
func (s *Sessions) Close(ctx context.Context, user domain.UserID, id domain.SessionID) (domain.Session, error) {
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
func (s *Sessions) CloseAll(ctx context.Context, user domain.UserID) ([]domain.Session, error) {
	return s.all(ctx, s.close, user, "")
}

func (s *Sessions) all(ctx context.Context, script *goredis.Script, user domain.UserID, args ...any) ([]domain.Session, error) {
	args = append([]any{s.prefix(user)}, args...)
	reply, err := s.run(ctx, script, []string{s.keys.sessions(user)}, args...)
	if err != nil {
		return nil, err
	}
	if status, _ := reply[0].(int64); status != 1 {
		return nil, s.foreignHash(user)
	}
	return several(user, reply[1:]), nil
}

func (s *Sessions) foreignHash(user domain.UserID) error {
	return &ports.ForeignValueError{Key: s.keys.sessions(user), Holds: "no hash", For: "a user's sessions"}
}

func (s *Sessions) run(ctx context.Context, script *goredis.Script, keys []string, args ...any) ([]any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	reply, err := script.Run(ctx, s.client, keys, args...).Slice()
	return reply, unavailable(ctx, err)
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// milliseconds is a duration as the scripts take it, at least 1: 0 ms is no TTL.
func milliseconds(d time.Duration) string {
	return strconv.FormatInt(max(d.Milliseconds(), 1), 10)
}

// sessionField is what the hash of a user's sessions says of one.
type sessionField struct {
	key                string
	number             uint64
	opened, ends, seen time.Time
	idle               time.Duration
}

func parseSessionField(s string) (f sessionField, ok bool) {
	parts := strings.Split(s, " ")
	if len(parts) != 6 {
		return f, false
	}
	var numbers [5]int64
	for i := range numbers {
		n, err := strconv.ParseInt(parts[i+1], 10, 64)
		if err != nil || n < 0 {
			return f, false
		}
		numbers[i] = n
	}
	at := func(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
	return sessionField{
		key: parts[0], number: uint64(numbers[0]), opened: at(numbers[1]), ends: at(numbers[2]), seen: at(numbers[3]), //nolint:gosec // not negative
		idle: time.Duration(numbers[4]) * time.Millisecond,
	}, true
}

// parseSession reads one session from its record and its field, which have to agree on whose it is. at is the key that the field tells.
func parseSession(user domain.UserID, record, id, field string) (s domain.Session, at string, ok bool) {
	var r sessionRecord
	f, ok := parseSessionField(field)
	if !ok || json.Unmarshal([]byte(record), &r) != nil || r.Own == nil || r.Own.ID != id || r.User != string(user) {
		return s, "", false
	}
	return domain.Session{
		ID: domain.SessionID(id), User: user, Device: r.device(), OpenedAt: f.opened, SeenAt: f.seen, EndsAt: f.ends, Idle: f.idle,
	}, f.key, true
}

// device leaves out what no device of ours could have, if somebody else has changed the record.
func (r sessionRecord) device() domain.Device {
	d := domain.Device{ID: domain.DeviceID(r.Device), Name: r.Name, UserAgent: r.UserAgent, IP: r.IP}
	if d.Check() == nil {
		return d
	}
	if d = (domain.Device{ID: d.ID}); d.Check() == nil {
		return d
	}
	return domain.Device{}
}

// foreignSession reads what the guide's programs keep: an object with a userId.
func foreignSession(record string) (domain.Session, bool) {
	var r struct {
		User   string `json:"userId"`
		Device any    `json:"deviceId"`
	}
	if json.Unmarshal([]byte(record), &r) != nil {
		return domain.Session{}, false
	}
	user, err := domain.ParseUserID(r.User)
	return domain.Session{User: user, Device: sessionRecord{Device: text(r.Device)}.device()}, err == nil
}

// several reads records, ids and fields, one after another, in the order in which the sessions were opened. What is no session is left out.
func several(user domain.UserID, reply []any) []domain.Session {
	type numbered struct {
		domain.Session
		number uint64
	}
	var found []numbered
	for ; len(reply) >= 3; reply = reply[3:] {
		if session, _, ok := parseSession(user, text(reply[0]), text(reply[1]), text(reply[2])); ok {
			f, _ := parseSessionField(text(reply[2]))
			found = append(found, numbered{session, f.number})
		}
	}
	slices.SortFunc(found, func(a, b numbered) int { return cmp.Compare(a.number, b.number) })
	sessions := make([]domain.Session, len(found))
	for i, f := range found {
		sessions[i] = f.Session
	}
	return sessions
}
