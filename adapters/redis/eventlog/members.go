package eventlog

import (
	"context"
	"fmt"

	"chatcore/adapters/redis/keyspace"
	"chatcore/domain"
	"chatcore/ports"
)

var _ ports.MemberCounter = (*Log)(nil)

const (
	leftOut     = -3   // in place of a count: the user is left out
	enoughUsers = 1024 // of a call, which then ends with the chat; see members.lua
)

// CountMembers implements [ports.MemberCounter] in one round trip for each 128 chats or about 1,024 users, on a Cluster for each partition and so many.
func (l *Log) CountMembers(ctx context.Context, requests ...ports.CountRequest) ([]ports.MemberCounts, error) {
	chats := make([]domain.ChatID, len(requests))
	for i, r := range requests {
		if err := r.Check(); err != nil {
			return nil, err
		}
		chats[i] = r.Chat
	}
	counts := make([]ports.MemberCounts, len(requests))
	if err := l.eachCall(ctx, chats, func(c countCall) error { return l.countMembersIn(ctx, requests, c, counts) }); err != nil {
		return nil, err
	}
	return counts, nil
}

// countMembersIn makes a script call for the chats of a call, and further ones until all are counted. It sets their counts.
func (l *Log) countMembersIn(ctx context.Context, requests []ports.CountRequest, c countCall, counts []ports.MemberCounts) error {
	for len(c.places) > 0 {
		var args []any
		asked := 0
		for i, place := range c.places {
			if asked >= enoughUsers {
				break
			}
			r := requests[place]
			asked += len(r.Users)
			args = append(args, c.at[i]+1, keyspace.Escape(string(r.Chat)), r.Most, uint64(r.After), len(r.Users))
			for _, user := range r.Users {
				args = append(args, string(user))
			}
		}
		reply, err := l.askCall(ctx, l.scripts.members, c, l.readVersions(), args)
		if err != nil {
			return err
		}
		n := len(reply) - 1
		if n < 1 || n > len(c.places) {
			return fmt.Errorf("a reply of %d elements about %d chats", len(reply), len(c.places))
		}
		for i, place := range c.places[:n] {
			if counts[place], err = memberCounts(requests[place], reply[1+i]); err != nil {
				return &ports.CorruptError{Chat: requests[place].Chat, Cause: err}
			}
		}
		c.places, c.at = c.places[n:], c.at[n:]
	}
	return nil
}

// memberCounts returns the counts in an element of the reply of members.lua.
func memberCounts(r ports.CountRequest, element any) (ports.MemberCounts, error) {
	part, _ := element.([]any)
	if len(part) < 2 {
		return ports.MemberCounts{}, fmt.Errorf("a reply %v", element)
	}
	members, counted := part[1].(int64)
	if !counted { // the head is statusMissing
		return ports.MemberCounts{}, fmt.Errorf("%v", part[1])
	}
	m := ports.MemberCounts{Head: seqOf(part[0]), Members: int(members)}
	if len(part) == 2 {
		return m, nil
	}
	users := r.Users
	if len(part) > 3 {
		users = usersIn(part[3])
	}
	numbers, _ := part[2].([]any)
	if len(numbers) > 0 && len(numbers) != len(users) {
		return m, fmt.Errorf("%d counts of %d users", len(numbers), len(users))
	}
	m.Users = make([]ports.MemberCount, 0, len(numbers))
	for i, number := range numbers {
		if n, _ := number.(int64); n != leftOut {
			m.Users = append(m.Users, ports.MemberCount{User: users[i], UnreadCount: unreadCount(n)})
		}
	}
	return m, nil
}

// usersIn returns the users in a list of a reply.
func usersIn(list any) []domain.UserID {
	names, _ := list.([]any)
	users := make([]domain.UserID, len(names))
	for i, name := range names {
		text, _ := name.(string)
		users[i] = domain.UserID(text)
	}
	return users
}
