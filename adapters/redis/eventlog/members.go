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

const (
	leftOut     = -3  // in place of a count: the user is left out
	enoughUsers = 512 // of a call, which then ends with the chat; see members.lua
)

// CountMembers implements [ports.MemberCounter] in one round trip for each 128 chats or about 512 users, on a Cluster for each partition and so many.
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
		n := len(reply) / 2
		if n == 0 || n > len(c.places) {
			return fmt.Errorf("a reply of %d elements about %d chats", len(reply), len(c.places))
		}
		for i, place := range c.places[:n] {
			numbers, _ := reply[1+2*i].(string)
			listed, _ := reply[2+2*i].(string)
			if counts[place], err = memberCounts(requests[place].Users, numbers, listed); err != nil {
				return &ports.CorruptError{Chat: requests[place].Chat, Cause: err}
			}
		}
		c.places, c.at = c.places[n:], c.at[n:]
	}
	return nil
}

// memberCounts returns the counts in the two elements for a chat in the reply of members.lua.
func memberCounts(asked []domain.UserID, numbers, listed string) (ports.MemberCounts, error) {
	head, rest, _ := strings.Cut(numbers, " ")
	if head == strconv.Itoa(statusMissing) {
		return ports.MemberCounts{}, errors.New(rest)
	}
	users := asked
	if listed != "" {
		for user := range strings.SplitSeq(listed, "\n") {
			users = append(users, domain.UserID(user))
		}
	}
	var m ports.MemberCounts
	place := -2 // of the user of a number
	for text := range strings.FieldsSeq(numbers) {
		n, err := strconv.ParseInt(text, 10, 64)
		switch {
		case err != nil:
			return m, err
		case place == -2:
			m.Head = seqOf(n)
		case place == -1:
			m.Members = int(n)
		case place >= len(users):
			return m, fmt.Errorf("there are more counts than the %d users", len(users))
		case n != leftOut:
			m.Users = append(m.Users, ports.MemberCount{User: users[place], UnreadCount: unreadCount(n)})
		}
		place++
	}
	return m, nil
}
