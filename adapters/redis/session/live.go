package session

import (
	"context"
	"crypto/subtle"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
)

// liveBatch is the number of sessions of one pipeline: two commands each, of less than a microsecond.
const liveBatch = 256

// Live implements [ports.Sessions]: one round trip for each 256 sessions. Redis's clock decides, as for uses.
func (s *Store) Live(ctx context.Context, refs []ports.SessionRef) ([]bool, error) {
	live := make([]bool, len(refs))
	for from := 0; from < len(refs); from += liveBatch {
		to := min(from+liveBatch, len(refs))
		if err := s.liveOf(ctx, refs[from:to], live[from:to]); err != nil {
			return nil, err
		}
	}
	return live, nil
}

// liveOf checks the sessions of one pipeline. Of each it reads the begin of the record, which names the session, and its field. The whole record is read
// of sessions of other programs only.
func (s *Store) liveOf(ctx context.Context, refs []ports.SessionRef, live []bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	pipe := s.client.Pipeline()
	clock := pipe.Time(ctx)
	records, fields := make([]*goredis.StringCmd, len(refs)), make([]*goredis.StringCmd, len(refs))
	for i, ref := range refs {
		record := s.record(ref.User, ref.Key)
		if ref.ID == "" {
			records[i] = pipe.Get(ctx, record)
			continue
		}
		records[i] = pipe.GetRange(ctx, record, 0, int64(len(ownPrefix(ref.ID))-1))
		fields[i] = pipe.HGet(ctx, s.keys.Index(ref.User), string(ref.ID))
	}
	_, _ = pipe.Exec(ctx) // each command has its error
	now, err := clock.Result()
	if err != nil {
		return rediscmd.Unavailable(ctx, err)
	}
	for i, ref := range refs {
		if live[i], err = s.isLive(ref, records[i], fields[i], now); err != nil {
			return rediscmd.Unavailable(ctx, err)
		}
	}
	return nil
}

// isLive reports whether what Redis has makes a session live. It returns an error if Redis did not answer.
func (s *Store) isLive(ref ports.SessionRef, record, field *goredis.StringCmd, now time.Time) (bool, error) {
	text, found, err := stringOf(record)
	if err != nil || !found {
		return false, err
	}
	if ref.ID == "" {
		_, foreign := foreignSession(text)
		return s.shared && foreign, nil
	}
	value, found, err := stringOf(field)
	if err != nil || !found || text != ownPrefix(ref.ID) {
		return false, err
	}
	f, ok := parseSessionField(value)
	named := subtle.ConstantTimeCompare([]byte(f.key), []byte(ref.Key)) == 1
	return ok && named && now.Before(f.ends) && now.Before(f.seen.Add(f.idle)), nil
}

// ownPrefix returns the begin of the record of a session.
func ownPrefix(id domain.SessionID) string { return `{"_cc":{"id":"` + string(id) + `"` }

// stringOf returns the reply of a command, and false if there is no such value, or one of another type.
func stringOf(cmd *goredis.StringCmd) (text string, found bool, err error) {
	text, err = cmd.Result()
	if errors.Is(err, goredis.Nil) || err != nil && rediscmd.HasCode(err, "WRONGTYPE") {
		return "", false, nil
	}
	return text, err == nil, err
}
