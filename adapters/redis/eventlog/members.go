package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"chatcore/adapters/redis/keyspace"
	"chatcore/domain"
	"chatcore/ports"
)

var _ ports.MemberCounter = (*Log)(nil)

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
	const elements = 4 // of the reply for each chat
	for len(c.places) > 0 {
		var args []any
		for i, place := range c.places {
			r := requests[place]
			args = append(args, c.at[i]+1, keyspace.Escape(string(r.Chat)), r.Most, len(r.Users))
			for _, user := range r.Users {
				args = append(args, string(user))
			}
		}
		reply, err := l.askCall(ctx, l.scripts.members, c, l.readVersions(), args)
		if err != nil {
			return err
		}
		n := len(reply) / elements
		if n == 0 || n > len(c.places) {
			return fmt.Errorf("a reply of %d elements about %d chats", len(reply), len(c.places))
		}
		for i, place := range c.places[:n] {
			if counts[place], err = memberCounts(requests[place], reply[1+elements*i:1+elements*(i+1)]); err != nil {
				return &ports.CorruptError{Chat: requests[place].Chat, Cause: err}
			}
		}
		c.places, c.at = c.places[n:], c.at[n:]
	}
	return nil
}

// memberCounts returns the counts in a part of the reply of members.lua.
func memberCounts(r ports.CountRequest, part []any) (ports.MemberCounts, error) {
	head, _ := part[0].(int64)
	members, _ := part[1].(int64)
	text, _ := part[2].(string)
	if head == statusMissing {
		return ports.MemberCounts{}, errors.New(text)
	}
	m := ports.MemberCounts{Head: seqOf(head), Members: int(members)}
	users := r.Users
	listed, _ := part[3].([]any)
	for _, user := range listed {
		name, _ := user.(string)
		users = append(users, domain.UserID(name))
	}
	numbers := strings.Fields(text)
	if len(numbers) == 0 {
		return m, nil
	}
	if len(numbers) != len(users) {
		return m, fmt.Errorf("%d counts of %d users", len(numbers), len(users))
	}
	m.Users = make([]ports.MemberCount, len(numbers))
	for i, number := range numbers {
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return m, err
		}
		m.Users[i] = ports.MemberCount{User: users[i], UnreadCount: unreadCount(n)}
	}
	return m, nil
}
