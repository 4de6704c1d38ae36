package ports

import (
	"context"

	"chatcore/domain"
)

// ActivityIndex is an event log with an index of its chats' last messages, from which the last messages of thousands of chats are read at once. The index
// is a cache that the built-in consumer group writes: it may lack chats, be behind the log, and have chats that the log has lost. A log that is no
// ActivityIndex is asked by [Lister].
type ActivityIndex interface {
	// IndexLastMessages writes the last messages of chats. A message replaces only those with no greater seq, unless its entry says otherwise. An entry with
	// seq 0 sets Behind of the message that the index has, if it has one.
	IndexLastMessages(ctx context.Context, entries ...ActivityEntry) error
	// IndexedLastMessages returns the index entries of the chats, in their order. The seq is 0 for a chat that the index lacks.
	IndexedLastMessages(ctx context.Context, chats ...domain.ChatID) ([]LastMessage, error)
}

// ActivityEntry is the last message of a chat, for an [ActivityIndex].
type ActivityEntry struct {
	Chat domain.ChatID
	LastMessage
	Replace bool // the entry replaces one with a greater seq too: a rebuild has read it from the log
}
