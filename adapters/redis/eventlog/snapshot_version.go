package eventlog

import (
	"context"
	"errors"
	"strconv"

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
