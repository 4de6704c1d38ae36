package presence

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// Statuses implements [ports.Statuses] in one round trip. It counts statuses that cannot be parsed.
func (p *Store) Statuses(ctx context.Context, users ...domain.UserID) ([]domain.UserStatus, error) {
	if len(users) == 0 {
		return nil, ctx.Err()
	}
	var values func() ([]any, error)
	known, err := p.known(ctx, users, func(pipe goredis.Pipeliner) { values = p.values(ctx, pipe, users) })
	if err != nil {
		return nil, err
	}
	stored, err := values()
	if err != nil {
		return nil, rediscmd.Unavailable(ctx, err)
	}
	statuses := make([]domain.UserStatus, len(users))
	var unreadable int64
	for i, user := range users {
		statuses[i].User = user
		switch value := stored[i].(type) {
		case string:
			status, seen, ok := readStatus(value)
			if !ok {
				unreadable++
			}
			statuses[i].Status, statuses[i].LastSeen = status, seen
		case error:
			unreadable++
		}
		known[i].apply(&statuses[i], p.ttl.Heartbeat)
	}
	if unreadable > 0 {
		p.unreadable.Add(ctx, unreadable)
	}
	return statuses, nil
}

var _ ports.OnlineCounter = (*Store)(nil)

// CountOnline implements [ports.OnlineCounter].
func (p *Store) CountOnline(ctx context.Context) (int, error) {
	n, err := p.client.SCard(ctx, p.keys.Online()).Result()
	if err != nil {
		return 0, rediscmd.Unavailable(ctx, err)
	}
	return int(n), nil
}

// values queues the reads of the users' stored statuses. After the pipeline has run, the returned function returns the values: a string, nil for a
// missing one, an error for a value that is no string.
func (p *Store) values(ctx context.Context, pipe goredis.Pipeliner, users []domain.UserID) func() ([]any, error) {
	if !p.keys.Cluster() {
		keys := make([]string, len(users))
		for i, user := range users {
			keys[i] = p.keys.Status(user)
		}
		return pipe.MGet(ctx, keys...).Result
	}
	cmds := make([]*goredis.StringCmd, len(users))
	for i, user := range users {
		cmds[i] = pipe.Get(ctx, p.keys.Status(user))
	}
	return func() ([]any, error) {
		values := make([]any, len(users))
		for i, cmd := range cmds {
			switch err := cmd.Err(); {
			case err == nil:
				values[i] = cmd.Val()
			case errors.Is(err, goredis.Nil):
			case rediscmd.Answered(err) && rediscmd.HasCode(err, "WRONGTYPE"):
				values[i] = err
			default:
				return nil, err
			}
		}
		return values, nil
	}
}

// readStatus parses a status stored by this or another program. lastSeen may be an instant, milliseconds since 1970, or missing.
func readStatus(value string) (status domain.Status, seen time.Time, ok bool) {
	var stored struct {
		Status   string `json:"status"`
		LastSeen any    `json:"lastSeen"`
	}
	if json.Unmarshal([]byte(value), &stored) != nil {
		return domain.Offline, time.Time{}, false
	}
	if status, ok = wireformat.ParseStatus(stored.Status); !ok {
		return domain.Offline, time.Time{}, false
	}
	switch last := stored.LastSeen.(type) {
	case string:
		if at, err := time.Parse(time.RFC3339, last); err == nil {
			seen = domain.Instant(at)
		}
	case float64:
		if last > 0 && last < 1<<52 {
			seen = time.UnixMilli(int64(last)).UTC()
		}
	}
	return status, seen, true
}

// AreOnline implements [ports.Statuses] in one round trip.
func (p *Store) AreOnline(ctx context.Context, users ...domain.UserID) ([]bool, error) {
	if len(users) == 0 {
		return nil, ctx.Err()
	}
	var online *goredis.BoolSliceCmd
	gone, err := p.gone(ctx, users, func(pipe goredis.Pipeliner) { online = pipe.SMIsMember(ctx, p.keys.Online(), members(users)...) })
	if err != nil {
		return nil, err
	}
	if err := online.Err(); err != nil {
		return nil, p.alignment(ctx, err)
	}
	are := online.Val()
	for i := range are {
		are[i] = are[i] && !gone[i]
	}
	return are, nil
}

// Online implements [ports.Statuses] in two round trips per page. It skips members of the set that are no user ids: other programs added them.
func (p *Store) Online(ctx context.Context) iter.Seq2[domain.UserID, error] {
	const page = 1000
	return func(yield func(domain.UserID, error) bool) {
		var cursor uint64
		for {
			found, next, err := p.client.SScan(ctx, p.keys.Online(), cursor, "", page).Result()
			if err != nil {
				yield("", p.alignment(ctx, err))
				return
			}
			users := make([]domain.UserID, 0, len(found))
			for _, member := range found {
				if user, err := domain.ParseUserID(member); err == nil {
					users = append(users, user)
				}
			}
			gone, err := p.gone(ctx, users, func(goredis.Pipeliner) {})
			if err != nil {
				yield("", err)
				return
			}
			for i, user := range users {
				if !gone[i] && !yield(user, nil) {
					return
				}
			}
			if cursor = next; cursor == 0 {
				return
			}
		}
	}
}
