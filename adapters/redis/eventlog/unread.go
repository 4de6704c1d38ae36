package eventlog

import (
	"context"
	"errors"
	"slices"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

const (
	unreadChats = 128 // chats of one script call: about 1.5 ms of Redis
	unreadCalls = 8   // concurrent script calls
)

var _ ports.UnreadCounter = (*Log)(nil)

// countCall is one script call: its chats, by their places among those asked for, and their partitions.
type countCall struct {
	partitions []int
	places     []int // of the chats
	at         []int // index of each chat's partition in partitions
}

// CountUnread implements [ports.UnreadCounter] in one round trip for each 128 chats, on a Cluster for each partition and 128 chats.
func (l *Log) CountUnread(ctx context.Context, user domain.UserID, chats ...domain.ChatID) ([]ports.UnreadCount, error) {
	counts := make([]ports.UnreadCount, len(chats))
	err := l.eachCall(ctx, chats, func(c countCall) error { return l.countUnread(ctx, user, chats, c, counts) })
	if err != nil {
		return nil, err
	}
	return counts, nil
}

// eachCall divides chats into script calls, and makes some of them at a time.
func (l *Log) eachCall(ctx context.Context, chats []domain.ChatID, call func(countCall) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	calls := l.countCalls(chats)
	errs, slots := make([]error, len(calls)), make(chan struct{}, unreadCalls)
	var asking sync.WaitGroup
	for i, c := range calls {
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			errs[i] = call(c)
		})
	}
	asking.Wait()
	return errors.Join(errs...)
}

// countCalls divides chats into script calls.
func (l *Log) countCalls(chats []domain.ChatID) []countCall {
	var calls []countCall
	open := make(map[int]int) // index of the call with room, by partition on a Cluster
	for i, chat := range chats {
		partition, of := l.keys.Partition(chat), 0
		if l.keys.Cluster() {
			of = partition
		}
		at, known := open[of]
		if !known || len(calls[at].places) == unreadChats {
			calls = append(calls, countCall{})
			at = len(calls) - 1
			open[of] = at
		}
		c := &calls[at]
		place := slices.Index(c.partitions, partition)
		if place < 0 {
			place = len(c.partitions)
			c.partitions = append(c.partitions, partition)
		}
		c.places, c.at = append(c.places, i), append(c.at, place)
	}
	return calls
}

// countUnread makes one script call and sets the counts of its chats.
func (l *Log) countUnread(ctx context.Context, user domain.UserID, chats []domain.ChatID, c countCall, counts []ports.UnreadCount) error {
	args := make([]any, 0, 2*len(c.places))
	for i, place := range c.places {
		args = append(args, c.at[i]+1, keyspace.Escape(string(chats[place])))
	}
	reply, err := l.askCall(ctx, l.scripts.unread, c, append([]any{string(user)}, l.readVersions()...), args)
	var refused goredis.Error
	if errors.As(err, &refused) && rediscmd.HasCode(refused, "WRONGTYPE") { // of one of the chats: the counts stay unset, and the caller reads each chat separately
		return nil
	}
	if err != nil || len(reply) != 1+len(c.places) {
		return err
	}
	for i, place := range c.places {
		n, _ := reply[1+i].(int64)
		counts[place] = unreadCount(n)
	}
	return nil
}

// unreadCount returns the meaning of a number in a reply, see marks.lua.
func unreadCount(n int64) ports.UnreadCount {
	switch {
	case n >= 0:
		return ports.UnreadCount{Messages: domain.Ordinal(n), Outcome: ports.UnreadCounted} //nolint:gosec // not negative
	case n == -1:
		return ports.UnreadCount{Outcome: ports.UnreadNotMember}
	}
	return ports.UnreadCount{}
}

// readVersions returns the versions of events that marks.lua needs.
func (l *Log) readVersions() []any {
	return []any{l.codec.Version(wireformat.TypeChatUpdate), l.codec.Version(wireformat.TypeMessageNew), l.codec.Version(wireformat.TypeReadReceipt)}
}

// askCall runs the script of a call. The identities of its partitions are the arguments between before and after.
func (l *Log) askCall(ctx context.Context, script *goredis.Script, c countCall, before, after []any) ([]any, error) {
	for range rediscmd.Routes {
		held, more := make([]string, 0, len(c.partitions)), make([]string, 0, len(c.partitions))
		args := append(make([]any, 0, len(before)+len(c.partitions)+len(after)), before...)
		for i, p := range c.partitions {
			held = append(held, string(l.held[p].Load().bytes))
			args = append(args, held[i])
			if i > 0 {
				more = append(more, l.keys.ID(p))
			}
		}
		reply, err := l.run(ctx, script, c.partitions[0], more, append(args, after...)...).Slice()
		if err != nil {
			return nil, rediscmd.Unavailable(ctx, err)
		}
		if len(reply) != 2 || reply[0] != int64(-1) {
			return reply, nil
		}
		place, _ := reply[1].(int64)
		if err := l.Recheck(ctx, c.partitions[place-1], held[place-1]); err != nil {
			return nil, err
		}
	}
	return nil, errIdentityMoves
}
