// Package foldcheck compares the read models of users, their chats and unread counts, with a fresh fold of the logs. The fold is as simple as
// possible and shares no code with the code that it checks.
package foldcheck

import (
	"chatcore/app/projection"
	"chatcore/domain"
)

// Chat is a chat's members and their read marks, folded from its events. The zero value is a chat without events.
type Chat struct {
	members  map[domain.UserID]domain.Seq // with the seq of the join
	users    map[domain.UserID]struct{}   // present and former members
	marks    map[domain.UserID]domain.Seq
	unread   map[domain.UserID]domain.Seq // from which messages count as unread whatever the mark says
	messages []message
}

type message struct {
	seq     domain.Seq
	id      domain.MessageID
	sender  domain.UserID
	deleted bool
}

// Apply folds the next event.
func (c *Chat) Apply(seq domain.Seq, e domain.Durable) {
	if c.members == nil {
		c.members, c.users = make(map[domain.UserID]domain.Seq), make(map[domain.UserID]struct{})
		c.marks, c.unread = make(map[domain.UserID]domain.Seq), make(map[domain.UserID]domain.Seq)
	}
	mark := func(user domain.UserID, at domain.Seq) {
		c.marks[user] = max(c.marks[user], at)
		delete(c.unread, user)
	}
	switch e := e.(type) {
	case domain.MessageNew:
		c.messages = append(c.messages, message{seq: seq, id: e.Message, sender: e.Sender})
		mark(e.Sender, seq)
	case domain.MessageDelete:
		for i := len(c.messages) - 1; i >= 0; i-- {
			if c.messages[i].id == e.Message {
				c.messages[i].deleted = true
				break
			}
		}
	case domain.ReadReceipt:
		mark(e.User, e.ReadSeq)
	case domain.ChatSettings:
		if e.UnreadSeq != nil {
			c.unread[e.User] = *e.UnreadSeq
		}
	case domain.ChatUpdate:
		switch e.Change {
		case domain.Created:
			c.members[e.Actor], c.users[e.Actor] = seq, struct{}{}
		case domain.MemberAdded:
			c.members[e.User], c.users[e.User] = seq, struct{}{}
		case domain.MemberRemoved:
			delete(c.members, e.User)
		case domain.Renamed, domain.RoleChanged, domain.Archived, domain.Unarchived:
		}
	}
}

// Joined returns the seq with which a user's present membership began, 0 for a user who is not in the chat.
func (c *Chat) Joined(user domain.UserID) domain.Seq { return c.members[user] }

// Member reports whether a user is in the chat.
func (c *Chat) Member(user domain.UserID) bool {
	_, member := c.members[user]
	return member
}

// Kept reports whether the chat's unread counts are stored if chats with more than most members have none.
func (c *Chat) Kept(most int) bool { return len(c.members) <= most }

// MarkedUnread reports whether the user has marked messages as unread since the mark moved.
func (c *Chat) MarkedUnread(user domain.UserID) bool { return c.unread[user] > 0 }

// Unread returns the number of messages of others, after the user's mark and join, that are not deleted. After a mark as unread, those of the user count as well.
func (c *Chat) Unread(user domain.UserID) domain.Ordinal {
	after, n := max(c.members[user], c.marks[user]), domain.Ordinal(0)
	marked := c.MarkedUnread(user)
	if marked {
		after = max(c.members[user], c.unread[user]-1)
	}
	for i := len(c.messages) - 1; i >= 0 && c.messages[i].seq > after; i-- {
		if m := c.messages[i]; (m.sender != user || marked) && !m.deleted {
			n++
		}
	}
	return n
}

// kept reports whether the chat's unread counts are stored.
func (c *Chat) kept() bool { return c.Kept(projection.MaxKeptUnread) }
