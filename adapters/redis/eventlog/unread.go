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

// unreadCall is one script call: its chats, by their places in the result, and their partitions.
type unreadCall struct {
	partitions []int
	places     []int // of the chats in the result
	at         []int // index of each chat's partition in partitions
}

// CountUnread implements [ports.UnreadCounter] in one round trip for each 128 chats, on a Cluster for each partition and 128 chats.
func (l *Log) CountUnread(ctx context.Context, user domain.UserID, chats ...domain.ChatID) ([]ports.UnreadCount, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	counts := make([]ports.UnreadCount, len(chats))
	calls := l.unreadCalls(chats)
	errs, slots := make([]error, len(calls)), make(chan struct{}, unreadCalls)
	var asking sync.WaitGroup
	for i, call := range calls {
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			errs[i] = l.countUnread(ctx, user, chats, call, counts)
		})
	}
	asking.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return counts, nil
}

// unreadCalls divides chats into script calls.
func (l *Log) unreadCalls(chats []domain.ChatID) []unreadCall {
	var calls []unreadCall
	open := make(map[int]int) // index of the call with room, by partition on a Cluster
	for i, chat := range chats {
		partition, of := l.keys.Partition(chat), 0
		if l.keys.Cluster() {
			of = partition
		}
		at, known := open[of]
		if !known || len(calls[at].places) == unreadChats {
			calls = append(calls, unreadCall{})
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
func (l *Log) countUnread(ctx context.Context, user domain.UserID, chats []domain.ChatID, c unreadCall, counts []ports.UnreadCount) error {
	for range rediscmd.Routes {
		reply, held, err := l.askUnread(ctx, user, chats, c)
		var refused goredis.Error
		if errors.As(err, &refused) && rediscmd.HasCode(refused, "WRONGTYPE") { // of one of the chats: the counts stay unset, and the caller reads each chat separately
			return nil
		}
		if err != nil {
			return rediscmd.Unavailable(ctx, err)
		}
		if len(reply) == 2 && reply[0] == -1 {
			p := c.partitions[reply[1]-1]
			if err := l.Recheck(ctx, p, held[reply[1]-1]); err != nil {
				return err
			}
			continue
		}
		if len(reply) != 1+len(c.places) {
			return nil
		}
		for i, place := range c.places {
			counts[place] = unreadCount(reply[1+i])
		}
		return nil
	}
	return errIdentityMoves
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

// askUnread runs the script. It also returns the identities with which the script compared the partitions.
func (l *Log) askUnread(ctx context.Context, user domain.UserID, chats []domain.ChatID, c unreadCall) (reply []int64, held []string, err error) {
	args := make([]any, 0, 4+len(c.partitions)+2*len(c.places))
	args = append(args, string(user),
		l.codec.Version(wireformat.TypeChatUpdate), l.codec.Version(wireformat.TypeMessageNew), l.codec.Version(wireformat.TypeReadReceipt))
	more := make([]string, 0, len(c.partitions))
	for i, p := range c.partitions {
		identity := string(l.held[p].Load().bytes)
		held, args = append(held, identity), append(args, identity)
		if i > 0 {
			more = append(more, l.keys.ID(p))
		}
	}
	for i, place := range c.places {
		args = append(args, c.at[i]+1, keyspace.Escape(string(chats[place])))
	}
	reply, err = l.run(ctx, l.scripts.unread, c.partitions[0], more, args...).Int64Slice()
	return reply, held, err
}
