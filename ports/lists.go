package ports

import (
	"context"
	"time"

	"chatcore/domain"
)

// Lister lists the members and the chats of an event log in pages, and returns the times of last messages.
//
// A cursor is "" for the first page, and the one that the page before returned for a later one; the page that returns "" is the last. A method
// returns a [*domain.InvalidError] for a foreign cursor. An item that is in the list from the first page to the last comes at least once; it may come
// twice if the list grows meanwhile.
type Lister interface {
	// MemberPage returns up to limit present or former members of a chat, in no particular order.
	MemberPage(ctx context.Context, chat domain.ChatID, cursor string, limit int) (users []domain.UserID, next string, err error)
	// ChatPage returns up to limit chats, in no particular order.
	ChatPage(ctx context.Context, cursor string, limit int) (chats []domain.ChatID, next string, err error)
	// LastMessages returns the place of the last message of each of the chats, in their order. It costs a few steps of the log for each chat.
	LastMessages(ctx context.Context, chats ...domain.ChatID) ([]LastMessage, error)
}

// LastMessage is where a chat's last message is. In a chat without messages it is where the chat was created.
type LastMessage struct {
	Seq    domain.Seq // 0 if there is no such chat
	At     time.Time
	Behind bool // of an [ActivityIndex]: there may have been later messages for longer than usual
}

// UserViewPager is a [UserView] whose chats can be listed in pages, with cursors as those of a [Lister].
type UserViewPager interface {
	// Page returns up to limit chats in which the user has a number, in no particular order.
	Page(ctx context.Context, log string, user domain.UserID, cursor string, limit int) (chats []domain.ChatID, next string, err error)
}

// BulkReader is an event log that reads from many chats at once: its round trips follow what one chat takes, not how many chats there are.
type BulkReader interface {
	// LastRecords returns the event that sent the last message of each of the chats, in their order, also one that [EventSearch] returns as
	// [domain.Unknown]. The record is zero, with seq 0, for a chat that has no message or does not exist.
	LastRecords(ctx context.Context, chats ...domain.ChatID) ([]Record, error)
	// LoadChats is [EventLog.Load] of many chats. It returns what was found in the order of the loads, each as of a moment of its own. An error of one
	// chat is the error of all.
	LoadChats(ctx context.Context, loads ...ChatLoad) ([]Loaded, error)
	// MembersOfChats returns the users who are or were members of each of the chats, in the order of the chats and each in no particular order. It returns
	// none for a chat that does not exist, and for one that has more than limit of them.
	MembersOfChats(ctx context.Context, limit int, chats ...domain.ChatID) ([][]domain.UserID, error)
}

// ChatLoad names entities of one chat to load.
type ChatLoad struct {
	Chat  domain.ChatID
	Wants []LoadRequest
}
