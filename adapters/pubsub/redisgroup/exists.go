package pubsub

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
	"chatcore/ports"
)

// Exists reports whether a consumer group exists: whether a process has run it since it was last deleted. It returns [ports.ErrLogLost] if neither
// the group nor the log exists. One round trip.
func (g *Groups) Exists(ctx context.Context, group string) (bool, error) {
	pipe := g.client.Pipeline()
	for _, l := range g.partitions {
		pipe.Exists(ctx, l.group(group).group)
	}
	replies, err := pipe.Exec(ctx)
	if err != nil {
		return false, ports.Unavailable(ctx, err)
	}
	for _, reply := range replies {
		if n, ok := reply.(interface{ Val() int64 }); ok && n.Val() > 0 {
			return true, nil
		}
	}
	return false, g.store(group).intact(ctx)
}

// Exists reports whether a consumer group exists.
func (m *Memory) Exists(_ context.Context, group string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.groups[group] != nil, nil
}

// Checkpoint returns the seq of the last event of a chat that a group has finished, 0 if there is none. One round trip.
func (g *Groups) Checkpoint(ctx context.Context, group string, partition int, chat domain.ChatID) (domain.Seq, error) {
	for _, l := range g.partitions {
		if l.Partition != partition {
			continue
		}
		text, err := g.client.HGet(ctx, l.group(group).chats, string(chat)).Result()
		if err != nil && !errors.Is(err, goredis.Nil) {
			return 0, unavailable(err)
		}
		return seqIn(text), nil
	}
	return 0, nil
}
