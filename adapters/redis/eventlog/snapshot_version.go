package eventlog

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
)

// SnapshotVersion returns the version of the stored snapshot of an entity, 0 if there is none. It takes one round trip.
func (l *Log) SnapshotVersion(ctx context.Context, chat domain.ChatID, e domain.Entity) (domain.Seq, error) {
	text, err := l.client.HGet(ctx, l.keys.Chat(chat, "s"), string(appendField(nil, e))).Result()
	if err != nil {
		if errors.Is(err, goredis.Nil) {
			return 0, nil
		}
		return 0, rediscmd.Unavailable(ctx, err)
	}
	n, _ := strconv.ParseUint(text, 10, 64)
	return domain.Seq(n), nil
}

// OldestSnapshot returns the lowest version of the stored snapshots of a chat, 0 if there is none. It takes two round trips.
func (l *Log) OldestSnapshot(ctx context.Context, chat domain.ChatID) (oldest domain.Seq, err error) {
	key := l.keys.Chat(chat, "s")
	fields, err := l.client.HKeys(ctx, key).Result()
	if err != nil {
		return 0, rediscmd.ReadError(ctx, chat, err)
	}
	fields = slices.DeleteFunc(fields, func(field string) bool { return strings.HasPrefix(field, "=") }) // the snapshots themselves
	if len(fields) == 0 {
		return 0, nil
	}
	versions, err := l.client.HMGet(ctx, key, fields...).Result()
	if err != nil {
		return 0, rediscmd.ReadError(ctx, chat, err)
	}
	for _, version := range versions {
		text, _ := version.(string)
		if n, _ := strconv.ParseUint(text, 10, 64); n > 0 && (oldest == 0 || domain.Seq(n) < oldest) {
			oldest = domain.Seq(n)
		}
	}
	return oldest, nil
}
