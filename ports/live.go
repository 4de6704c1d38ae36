package ports

import (
	"context"

	"chatcore/domain"
)

// LiveBus tells ephemeral events to who listens right now.
type LiveBus interface {
	// Publish hands the event on, at most once and without order between publishers. An error means that nobody was told.
	Publish(ctx context.Context, e domain.Ephemeral, m Meta) error
}

// MaxTyping is how many of those who type in a chat are told.
const MaxTyping = 256

// TypingMarks remembers who is typing, each mark for as long as the event says.
type TypingMarks interface {
	// Start sets the mark of the event's user and chat until its ExpiresAt, unless one was set within [domain.TypingInterval]; it
	// reports whether it set it. Of concurrent starts one sets it.
	Start(ctx context.Context, e domain.TypingStart) (bool, error)
	// Stop removes the mark; there need be none.
	Stop(ctx context.Context, chat domain.ChatID, user domain.UserID) error
	// Of names those whose marks in a chat stand, in no particular order; of more than [MaxTyping] those that stand longest.
	Of(ctx context.Context, chat domain.ChatID) ([]domain.UserID, error)
}
