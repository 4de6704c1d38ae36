package redis

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
)

// Of implements [ports.Statuses]. A status that cannot be read is counted.
func (p *Presence) Of(ctx context.Context, users ...domain.UserID) ([]domain.UserStatus, error) {
	if len(users) == 0 {
		return nil, ctx.Err()
	}
	values, err := p.values(ctx, users)
	if err != nil {
		return nil, unavailable(ctx, err)
	}
	statuses := make([]domain.UserStatus, len(users))
	var unreadable int64
	for i, user := range users {
		statuses[i].User = user
		switch value := values[i].(type) {
		case string:
			status, seen, ok := readStatus(value)
			if !ok {
				unreadable++
			}
			statuses[i].Status, statuses[i].LastSeen = status, seen
		case error:
			unreadable++
		}
	}
	if unreadable > 0 {
		p.unreadable.Add(ctx, unreadable)
	}
	return statuses, nil
}

// values gives what is kept as each user's status: a string, nil for nothing, an error for what is no string.
func (p *Presence) values(ctx context.Context, users []domain.UserID) ([]any, error) {
	if !p.keys.cluster {
		keys := make([]string, len(users))
		for i, user := range users {
			keys[i] = p.keys.status(user)
		}
		return p.client.MGet(ctx, keys...).Result()
	}
	cmds := make([]*goredis.StringCmd, len(users))
	_, _ = p.client.Pipelined(ctx, func(pipe goredis.Pipeliner) error { // each reply has its own error
		for i, user := range users {
			cmds[i] = pipe.Get(ctx, p.keys.status(user))
		}
		return nil
	})
	values := make([]any, len(users))
	for i, cmd := range cmds {
		switch err := cmd.Err(); {
		case err == nil:
			values[i] = cmd.Val()
		case errors.Is(err, goredis.Nil):
		case answered(err) && hasCode(err, "WRONGTYPE"):
			values[i] = err
		default:
			return nil, err
		}
	}
	return values, nil
}

// readStatus reads a status as this or another program stored it; lastSeen may be an instant, milliseconds since 1970, or missing.
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

// AreOnline implements [ports.Statuses].
func (p *Presence) AreOnline(ctx context.Context, users ...domain.UserID) ([]bool, error) {
	if len(users) == 0 {
		return nil, ctx.Err()
	}
	members := make([]any, len(users))
	for i, user := range users {
		members[i] = string(user)
	}
	online, err := p.client.SMIsMember(ctx, p.keys.online(), members...).Result()
	if err != nil {
		return nil, p.alignment(ctx, err)
	}
	return online, nil
}

// Online implements [ports.Statuses], a page at a time. What is no user id was put there by someone else, and is left out.
func (p *Presence) Online(ctx context.Context) iter.Seq2[domain.UserID, error] {
	const page = 1000
	return func(yield func(domain.UserID, error) bool) {
		var cursor uint64
		for {
			members, next, err := p.client.SScan(ctx, p.keys.online(), cursor, "", page).Result()
			if err != nil {
				yield("", p.alignment(ctx, err))
				return
			}
			for _, member := range members {
				if user, err := domain.ParseUserID(member); err == nil && !yield(user, nil) {
					return
				}
			}
			if cursor = next; cursor == 0 {
				return
			}
		}
	}
}
