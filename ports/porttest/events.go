package porttest

import (
	"crypto/rand"
	"strings"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// NewChatID returns a chat id that no other test uses.
func NewChatID() domain.ChatID { return domain.ChatID("chat-" + strings.ToLower(rand.Text())) }

// NewEvent returns e with a new id. It moves the entities that the domain names, and those in also.
func NewEvent(e domain.Durable, also ...domain.Entity) ports.NewEvent {
	return ports.NewEvent{ID: domain.EventID(rand.Text()), Event: e, Moves: append(domain.Moves(e), also...)}
}

// given is the conditions of a command.
type given []domain.Condition

func (g given) then(events ...ports.NewEvent) ports.Append {
	return ports.Append{Chat: events[0].Event.ChatID(), Conditions: g, Events: events}
}

func then(events ...ports.NewEvent) ports.Append { return given(nil).then(events...) }

func at(e domain.Entity, v domain.Seq) domain.Condition {
	return domain.Condition{Entity: e, Version: v}
}

// The events below belong to a chat with as many members as the test needs.

const (
	ann domain.UserID = "ann"
	bob domain.UserID = "bob"
)

func now() time.Time { return domain.Instant(time.Now()) }

func created(c domain.ChatID) ports.NewEvent {
	return NewEvent(domain.ChatUpdate{Chat: c, Actor: ann, Change: domain.Created, Title: "a title", At: now()})
}

func renamed(c domain.ChatID, title domain.Title) ports.NewEvent {
	return NewEvent(domain.ChatUpdate{Chat: c, Actor: ann, Change: domain.Renamed, Title: title, At: now()})
}

func added(c domain.ChatID, user domain.UserID) ports.NewEvent {
	return NewEvent(domain.ChatUpdate{Chat: c, Actor: ann, Change: domain.MemberAdded, User: user, Role: domain.RoleMember, At: now()})
}

func removed(c domain.ChatID, user domain.UserID) ports.NewEvent {
	return NewEvent(domain.ChatUpdate{Chat: c, Actor: ann, Change: domain.MemberRemoved, User: user, Previous: domain.RoleMember, At: now()})
}

// owned returns an event that moves the chat and the member.
func owned(c domain.ChatID, user domain.UserID) ports.NewEvent {
	return NewEvent(domain.ChatUpdate{
		Chat: c, Actor: ann, Change: domain.RoleChanged, User: user, Role: domain.RoleOwner, Previous: domain.RoleMember, At: now(),
	})
}

func sent(c domain.ChatID, m domain.MessageID, by domain.UserID) ports.NewEvent {
	return NewEvent(domain.MessageNew{Chat: c, Message: m, Sender: by, Content: "hello", At: now()})
}

func edited(c domain.ChatID, m domain.MessageID, by domain.UserID) ports.NewEvent {
	return NewEvent(domain.MessageEdit{Chat: c, Message: m, Editor: by, Content: "hello again", Revision: 1, At: now()})
}

func deleted(c domain.ChatID, m domain.MessageID, by domain.UserID) ports.NewEvent {
	return NewEvent(domain.MessageDelete{Chat: c, Message: m, By: by, At: now()})
}

func reacted(c domain.ChatID, m domain.MessageID, by domain.UserID) ports.NewEvent {
	return NewEvent(domain.MessageReaction{Chat: c, Message: m, User: by, Emoji: "👍", Action: domain.ReactionAdd, At: now()})
}

func read(c domain.ChatID, m domain.MessageID, by domain.UserID, seq domain.Seq) ports.NewEvent {
	return NewEvent(domain.ReadReceipt{Chat: c, User: by, Message: m, ReadSeq: seq, At: now()})
}

// huge returns an event that is too large for any log.
func huge(c domain.ChatID, m domain.MessageID) ports.NewEvent {
	content := domain.Content(strings.Repeat("x", domain.MaxEventBytes+1))
	return NewEvent(domain.MessageNew{Chat: c, Message: m, Sender: ann, Content: content, At: now()})
}

// recorded returns an append that records a command of ann's with an id.
func recorded(id domain.CommandID, a ports.Append) ports.Append {
	a.Command, a.Fingerprint = domain.CommandEntity(ann, id), 1<<63+7
	for i := range a.Events {
		a.Events[i].Meta.CausationID = id
	}
	return a
}

// nothing returns an append without events.
func (g given) nothing(c domain.ChatID) ports.Append { return ports.Append{Chat: c, Conditions: g} }

// repliedIn is a message in a thread.
func repliedIn(c domain.ChatID, m domain.MessageID, by domain.UserID, root domain.MessageID, inChat, mentions bool) ports.NewEvent {
	e := domain.MessageNew{Chat: c, Message: m, Sender: by, Content: "reply", Thread: root, InChat: inChat, At: now()}
	if mentions {
		e.Mentions, e.Mentioned = []domain.UserID{bob}, true
	}
	return NewEvent(e)
}

// mentioning is a message that mentions all members.
func mentioning(c domain.ChatID, m domain.MessageID, by domain.UserID) ports.NewEvent {
	return NewEvent(domain.MessageNew{Chat: c, Message: m, Sender: by, Content: "all", Broadcast: domain.BroadcastAll, Mentioned: true, At: now()})
}

// deletionOf is the deletion of a message. Messages in threads were pinned.
func deletionOf(m domain.MessageNew, by domain.UserID) ports.NewEvent {
	return NewEvent(domain.MessageDelete{
		Chat: m.Chat, Message: m.Message, By: by, Thread: m.Thread, InChat: m.InChat, Pinned: m.Thread != "", Mentioned: m.Mentioned, At: now(),
	})
}

func pinned(c domain.ChatID, m domain.MessageID, by domain.UserID) ports.NewEvent {
	return NewEvent(domain.MessagePin{Chat: c, Message: m, Sent: 1, Actor: by, Pinned: true, At: now()})
}

func settings(c domain.ChatID, by domain.UserID, e domain.ChatSettings) ports.NewEvent {
	e.Chat, e.User, e.At = c, by, now()
	return NewEvent(e)
}

func marked(c domain.ChatID, root domain.MessageID, by domain.UserID) ports.NewEvent {
	return NewEvent(domain.ThreadMark{Chat: c, Thread: root, User: by, ReadSeq: 1, Message: root, At: now()})
}
