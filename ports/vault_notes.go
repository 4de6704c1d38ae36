package ports

import (
	"context"

	"chatcore/domain"
)

// VaultNotes keeps beside a log how far its archivers have copied it to a vault. All methods are safe for concurrent use. They return [ErrUnavailable] if the
// log does not answer, and [ErrLogLost] if it is another one.
type VaultNotes interface {
	// ArchivedHistory returns the history of a partition that was noted last, "" if none was. See [Histories].
	ArchivedHistory(ctx context.Context, partition int) (string, error)
	// CheckHistory returns [ErrConflict] if a history is not that of the log now. It asks the log, unlike [Histories].
	CheckHistory(ctx context.Context, partition int, history string) error
	// NoteHistory notes that everything that a vault has of a partition was compared with a history. It returns [ErrConflict] if that is not the history of
	// the log now, and nothing was noted then.
	NoteHistory(ctx context.Context, partition int, history string) error
	// SealedSegments returns how many segments of each chat are sealed, in the order of the chats. All chats belong to the partition.
	SealedSegments(ctx context.Context, partition int, chats []domain.ChatID) ([]uint64, error)
	// NoteSealed changes the number of sealed segments of a chat. It returns [ErrConflict] if that is not from, if the log has another history, or if the
	// chat has fewer events than the segments together, each of 1,024. Nothing was noted then.
	NoteSealed(ctx context.Context, partition int, history string, chat domain.ChatID, from, to uint64) error
	// CountSealed returns the number of sealed segments of all chats of a partition.
	CountSealed(ctx context.Context, partition int) (uint64, error)
}
