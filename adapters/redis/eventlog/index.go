package eventlog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
)

// Fields of a chat's index that count the elements of other keys.
const (
	membersField    = " #u"
	tombstonesField = " #d"
)

// The pad of a chat's index, see append.lua. A chat with padEvery or more events may lack it if an older program appended them.
const (
	padField = " #p"
	padEvery = 128
	padBytes = 65
)

// Count implements [ports.MessageCounter] in one round trip, regardless of the chat's length. It compares the tombstones with their count.
func (l *Log) Count(ctx context.Context, chat domain.ChatID, after ...domain.Seq) ([]ports.MessageCount, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var index *goredis.SliceCmd
	var tombstones *goredis.IntCmd
	events, deleted := make([]*goredis.StringCmd, len(after)), make([]*goredis.IntCmd, len(after))
	_, err := l.client.TxPipelined(ctx, func(p goredis.Pipeliner) error {
		index = p.HMGet(ctx, l.keys.Chat(chat, "x"), headField, tombstonesField)
		tombstones = p.ZCard(ctx, l.keys.Chat(chat, "d"))
		for i, seq := range after {
			if seq > 0 {
				segment := strconv.FormatUint(uint64(seq-1)/segmentSize, 10)
				events[i] = p.LIndex(ctx, l.keys.Chat(chat, segment), int64(uint64(seq-1)%segmentSize)) //nolint:gosec // below segmentSize
			}
			deleted[i] = p.ZCount(ctx, l.keys.Chat(chat, "d"), "("+strconv.FormatUint(uint64(seq), 10), "+inf")
		}
		return nil
	})
	if err != nil && !errors.Is(err, goredis.Nil) {
		return nil, rediscmd.ReadError(ctx, chat, err)
	}
	head, err := l.head(ctx, chat, index.Val())
	if err != nil {
		return nil, err
	}
	counts := make([]ports.MessageCount, len(after))
	if head.last == 0 {
		return counts, nil
	}
	if err := head.countTombstones(chat, l.keys.Chat(chat, "d"), index.Val()[1], tombstones); err != nil {
		return nil, err
	}
	for i := range counts {
		c := &counts[i]
		*c = ports.MessageCount{Last: head.last, Head: head.messages, Deleted: domain.Ordinal(deleted[i].Val())} //nolint:gosec // not negative
		switch {
		case after[i] == 0:
		case after[i] > head.last:
			c.At = c.Head
		default:
			record, err := l.decode(chat, after[i], events[i].Val())
			if err != nil {
				return nil, err
			}
			c.At = record.Ordinal
		}
	}
	return counts, nil
}

// head returns the head of a chat, from the index's first field. It is zero if the chat does not exist, which takes one more round trip to verify.
func (l *Log) head(ctx context.Context, chat domain.ChatID, index []any) (chatHead, error) {
	text, found := index[0].(string)
	if !found {
		_, err := l.ask(ctx, l.scripts.load, chat, []any{nil, keyspace.Escape(string(chat)), 0, "", 0})
		return chatHead{}, err
	}
	head, err := parseHead(text)
	if err != nil {
		return chatHead{}, &ports.CorruptError{Chat: chat, Cause: err}
	}
	return head, nil
}

// counted compares the number of elements of a key with the count in the index. A missing field is a count of 0.
func counted(chat domain.ChatID, key string, field any, elements int64) error {
	text, found := field.(string)
	if !found {
		text = "0"
	}
	if strconv.FormatInt(elements, 10) == text {
		return nil
	}
	return &ports.CorruptError{Chat: chat, Key: key, Cause: fmt.Errorf("it has %d elements, and the index says %q", elements, text)}
}

// Members implements [ports.EventLog] by scanning the chat's members, some hundreds per step. It compares their number with the index's count.
func (l *Log) Members(ctx context.Context, chat domain.ChatID) iter.Seq2[domain.UserID, error] {
	return func(yield func(domain.UserID, error) bool) {
		count, err := l.countMembers(ctx, chat)
		if err != nil {
			yield("", err)
			return
		}
		seen := make(map[domain.UserID]struct{}, count) // a scan may return a field twice
		step := func(cursor uint64) ([]string, uint64, error) {
			fields, next, err := l.client.HScan(ctx, l.keys.Chat(chat, "u"), cursor, "", rediscmd.ScanCount).Result()
			users := fields[:0] // every other one is a value
			for i := 0; i < len(fields); i += 2 {
				users = append(users, fields[i])
			}
			return users, next, err
		}
		for user, err := range rediscmd.Scan(ctx, step) {
			id := domain.UserID(user)
			if _, twice := seen[id]; twice && err == nil {
				continue
			}
			seen[id] = struct{}{}
			if !yield(id, err) || err != nil {
				return
			}
		}
		if len(seen) < count {
			yield("", &ports.CorruptError{Chat: chat, Key: l.keys.Chat(chat, "u"), Cause: fmt.Errorf("it had %d elements and now has %d", count, len(seen))})
		}
	}
}

// countMembers returns the number of users that are or were members. It compares the index's count with the members' key.
func (l *Log) countMembers(ctx context.Context, chat domain.ChatID) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	var index *goredis.SliceCmd
	var members *goredis.IntCmd
	_, err := l.client.TxPipelined(ctx, func(p goredis.Pipeliner) error {
		index, members = p.HMGet(ctx, l.keys.Chat(chat, "x"), headField, membersField), p.HLen(ctx, l.keys.Chat(chat, "u"))
		return nil
	})
	if err != nil {
		return 0, rediscmd.ReadError(ctx, chat, err)
	}
	if head, err := l.head(ctx, chat, index.Val()); err != nil || head.last == 0 {
		return 0, err
	}
	return int(members.Val()), counted(chat, l.keys.Chat(chat, "u"), index.Val()[1], members.Val())
}

// Chats implements [ports.ChatIndex] by scanning each partition's set. It compares the size of the set with the partition's count, before and after.
func (l *Log) Chats(ctx context.Context) iter.Seq2[domain.ChatID, error] {
	return func(yield func(domain.ChatID, error) bool) {
		for p := range l.keys.PartitionCount() {
			if _, err := l.countChats(ctx, p); err != nil {
				yield("", err)
				return
			}
			step := func(cursor uint64) ([]string, uint64, error) {
				return l.client.SScan(ctx, l.keys.Chats(p), cursor, "", rediscmd.ScanCount).Result()
			}
			for chat, err := range rediscmd.Scan(ctx, step) {
				if !yield(domain.ChatID(chat), err) || err != nil {
					return
				}
			}
			if _, err := l.countChats(ctx, p); err != nil {
				yield("", err)
				return
			}
		}
	}
}

// countChats returns the number of chats of a partition. It compares the set with the count.
func (l *Log) countChats(ctx context.Context, partition int) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	var chats *goredis.IntCmd
	var count *goredis.StringCmd
	_, err := l.client.TxPipelined(ctx, func(p goredis.Pipeliner) error {
		chats, count = p.SCard(ctx, l.keys.Chats(partition)), p.Get(ctx, l.keys.Count(partition))
		return nil
	})
	if err != nil && !errors.Is(err, goredis.Nil) {
		return 0, rediscmd.ReadError(ctx, "", err)
	}
	return l.chatsOf(partition, chats, count)
}

// chatsOf returns the number of chats, or an error if the set and the count differ.
func (l *Log) chatsOf(partition int, chats *goredis.IntCmd, count *goredis.StringCmd) (int, error) {
	n, text := int(chats.Val()), count.Val()
	if text == "" {
		text = "0"
	}
	if strconv.Itoa(n) == text {
		return n, nil
	}
	return n, l.listError(partition, n, text)
}

// listError returns the error of a partition that has lost chats or their count.
func (l *Log) listError(partition, chats int, count string) error {
	return &ports.CorruptError{Key: l.keys.Chats(partition), Cause: fmt.Errorf("it has %d chats, and the partition's count is %q", chats, count)}
}
