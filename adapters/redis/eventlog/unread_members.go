package eventlog

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

var _ ports.MemberCounter = (*Log)(nil)

// CountMembers implements [ports.MemberCounter] with one script call for each chat, and one round trip for each 64 chats of a server.
func (l *Log) CountMembers(ctx context.Context, requests ...ports.CountRequest) ([]ports.MemberCounts, error) {
	chats, questions := make([]domain.ChatID, len(requests)), make([]question, len(requests))
	for i, r := range requests {
		if err := r.Check(); err != nil {
			return nil, err
		}
		args := make([]any, 1, 6+len(r.Users))
		args = append(args, l.codec.Version(wireformat.TypeChatUpdate), l.codec.Version(wireformat.TypeMessageNew), l.codec.Version(wireformat.TypeReadReceipt),
			keyspace.Escape(string(r.Chat)), r.Most)
		for _, user := range r.Users {
			args = append(args, string(user))
		}
		chats[i], questions[i] = r.Chat, question{partition: l.keys.Partition(r.Chat), args: args}
	}
	replies, err := l.askChats(ctx, l.scripts.unreadMembers, chats, questions)
	if err != nil {
		return nil, err
	}
	counts := make([]ports.MemberCounts, len(requests))
	for i, reply := range replies {
		if counts[i], err = memberCounts(requests[i], reply); err != nil {
			return nil, &ports.CorruptError{Chat: chats[i], Cause: err}
		}
	}
	return counts, nil
}

// memberCounts returns the counts in a reply of unread_members.lua.
func memberCounts(r ports.CountRequest, reply []any) (ports.MemberCounts, error) {
	if len(reply) < 3 {
		return ports.MemberCounts{}, fmt.Errorf("the reply has %d elements", len(reply))
	}
	members, _ := reply[1].(int64)
	text, _ := reply[2].(string)
	m := ports.MemberCounts{Head: seqOf(reply[0]), Members: int(members)}
	numbers := strings.Fields(text)
	if len(numbers) == 0 {
		return m, nil
	}
	var listed []any
	if len(r.Users) == 0 && len(reply) > 3 {
		listed, _ = reply[3].([]any)
	}
	if len(numbers) != len(r.Users)+len(listed) {
		return m, fmt.Errorf("%d counts of %d users", len(numbers), len(r.Users)+len(listed))
	}
	m.Users = make([]ports.MemberCount, len(numbers))
	for i, number := range numbers {
		if m.Users[i].User = userAt(r.Users, listed, i); m.Users[i].User == "" {
			return m, fmt.Errorf("user %d is no text", i)
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return m, err
		}
		m.Users[i].UnreadCount = unreadCount(n)
	}
	return m, nil
}

// userAt returns the user of a count: the asked one or, if none was, the listed one.
func userAt(asked []domain.UserID, listed []any, i int) domain.UserID {
	if len(asked) > 0 {
		return asked[i]
	}
	user, _ := listed[i].(string)
	return domain.UserID(user)
}
