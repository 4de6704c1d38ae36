package ports

import (
	"context"
	"time"

	"chatcore/domain"
)

// ChatView is an event log that keeps the last message of the main timeline of each chat, in the form that chat lists show. The entries are a cache, which the
// built-in consumer group writes: chats may be missing, and entries may be of earlier messages or of earlier states of a message. A reader compares an entry
// with the log ([ChatRow.Current]). Lists of a log that is no ChatView load the messages.
type ChatView interface {
	// PutLastMessages writes entries. An entry is taken only if its message is the last one, in the state of the entry's version, in the step that writes it: late
	// entries change nothing. An erasure of a message removes the chat's entry in the step that erases it.
	PutLastMessages(ctx context.Context, entries ...ChatViewEntry) error
	// ListedLastMessages returns the entries of the chats, in their order, also outdated ones. Version is 0 for a chat without an entry.
	ListedLastMessages(ctx context.Context, chats ...domain.ChatID) ([]ChatViewEntry, error)
	// LoadRows loads entities as [BulkReader.LoadChats] does, together with the last messages and with what [UnreadCounter.CountUnread] returns for a user: in
	// the round trips of LoadChats alone. The three parts of a row may be of different moments.
	LoadRows(ctx context.Context, user domain.UserID, loads ...ChatLoad) ([]ChatRow, error)
}

// MaxPreview is the most bytes of a preview.
const MaxPreview = 256

// ChatViewEntry is the last message of a chat, of at most 600 bytes in all.
type ChatViewEntry struct {
	Chat    domain.ChatID
	Version domain.Seq // of the message: the seq of the last event that changed it
	LastPreview
}

// LastPreview is the last message of a chat's main timeline as a list shows it. It is zero if the chat has no message.
type LastPreview struct {
	Message     domain.MessageID
	Seq         domain.Seq // of the message
	Sender      domain.UserID
	At          time.Time // when it was sent, in milliseconds
	Preview     string    // the beginning of its content, at most [MaxPreview] bytes, whole runes; "" if it is deleted
	Attachments int       // their number, 0 if it is deleted
	Deleted     bool
}

// ChatRow is what [ChatView.LoadRows] returns of a chat.
type ChatRow struct {
	Loaded Loaded
	Unread UnreadCount
	Last   LastPreview // zero unless Current
	// Current reports whether Last is the last message in its present state, or the chat has no message.
	Current bool
}
