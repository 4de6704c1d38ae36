package eventlog

import (
	"context"
	"errors"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
)

// MemberPage implements [ports.Lister] in two or three round trips. It compares the number of members with the index's count.
func (l *Log) MemberPage(ctx context.Context, chat domain.ChatID, cursor string, limit int) ([]domain.UserID, string, error) {
	c, err := rediscmd.ParseCursor(cursor, 1)
	if err != nil {
		return nil, "", err
	}
	if n, err := l.countMembers(ctx, chat); err != nil || n == 0 {
		return nil, "", err
	}
	page, ended, err := c.Page(limit, func(scan uint64, count int) ([]string, uint64, error) {
		fields, next, err := l.client.HScan(ctx, l.keys.Chat(chat, "u"), scan, "", int64(count)).Result()
		return rediscmd.FirstOfPairs(fields), next, rediscmd.ReadError(ctx, chat, err)
	})
	if err != nil {
		return nil, "", err
	}
	users := make([]domain.UserID, len(page))
	for i, user := range page {
		users[i] = domain.UserID(user)
	}
	return users, rediscmd.NextCursor(c, ended), nil
}

// MembersOfChats implements [ports.BulkReader] in two round trips, and one more for each chat that does not exist or is joined meanwhile. It compares the
// number of members with each index's count.
func (l *Log) MembersOfChats(ctx context.Context, limit int, chats ...domain.ChatID) ([][]domain.UserID, error) {
	if err := ctx.Err(); err != nil || len(chats) == 0 {
		return nil, err
	}
	counts, err := l.countMembersOf(ctx, chats)
	if err != nil {
		return nil, err
	}
	found, replies := make([][]domain.UserID, len(chats)), make([]*goredis.StringSliceCmd, len(chats))
	_, _ = l.client.Pipelined(ctx, func(p goredis.Pipeliner) error { // each reply has its own error
		for i, chat := range chats {
			if counts[i] > 0 && counts[i] <= limit {
				replies[i] = p.HKeys(ctx, l.keys.Chat(chat, "u"))
			}
		}
		return nil
	})
	for i, chat := range chats {
		if replies[i] == nil {
			continue
		}
		users, err := replies[i].Result()
		if err != nil {
			return nil, rediscmd.ReadError(ctx, chat, err)
		}
		if len(users) < counts[i] {
			return nil, &ports.CorruptError{Chat: chat, Key: l.keys.Chat(chat, "u"), Cause: fmt.Errorf("it had %d elements and now has %d", counts[i], len(users))}
		}
		for _, user := range users {
			found[i] = append(found[i], domain.UserID(user))
		}
	}
	return found, nil
}

// countMembersOf returns how many users are or were members of each of the chats.
func (l *Log) countMembersOf(ctx context.Context, chats []domain.ChatID) ([]int, error) {
	indexes, lengths := make([]*goredis.SliceCmd, len(chats)), make([]*goredis.IntCmd, len(chats))
	_, _ = l.client.Pipelined(ctx, func(p goredis.Pipeliner) error { // each reply has its own error
		for i, chat := range chats {
			indexes[i], lengths[i] = p.HMGet(ctx, l.keys.Chat(chat, "x"), membersField), p.HLen(ctx, l.keys.Chat(chat, "u"))
		}
		return nil
	})
	counts := make([]int, len(chats))
	for i, chat := range chats {
		if err := errors.Join(indexes[i].Err(), lengths[i].Err()); err != nil {
			return nil, rediscmd.ReadError(ctx, chat, err)
		}
		if counts[i] = int(lengths[i].Val()); counted(chat, "", indexes[i].Val()[0], lengths[i].Val()) == nil && counts[i] > 0 {
			continue
		}
		var err error // someone joined between the two, or the chat does not exist, or something is missing
		if counts[i], err = l.countMembers(ctx, chat); err != nil {
			return nil, err
		}
	}
	return counts, nil
}

// ChatPage implements [ports.Lister] in two or three round trips, and two more for each partition that ends with the page. It compares the number of
// chats of a partition with the partition's count.
func (l *Log) ChatPage(ctx context.Context, cursor string, limit int) ([]domain.ChatID, string, error) {
	c, err := rediscmd.ParseCursor(cursor, l.keys.PartitionCount())
	if err != nil {
		return nil, "", err
	}
	var chats []domain.ChatID
	for {
		if _, err := l.countChats(ctx, c.Partition); err != nil {
			return nil, "", err
		}
		page, ended, err := c.Page(limit-len(chats), func(scan uint64, count int) ([]string, uint64, error) {
			names, next, err := l.client.SScan(ctx, l.keys.Chats(c.Partition), scan, "", int64(count)).Result()
			return names, next, rediscmd.ReadError(ctx, "", err)
		})
		if err != nil {
			return nil, "", err
		}
		for _, chat := range page {
			chats = append(chats, domain.ChatID(chat))
		}
		if !ended {
			return chats, c.String(), nil
		}
		if c = (rediscmd.Cursor{Partition: c.Partition + 1}); c.Partition == l.keys.PartitionCount() {
			return chats, "", nil
		}
		if len(chats) == limit {
			return chats, c.String(), nil
		}
	}
}
