package ports

import (
	"context"

	"chatcore/domain"
)

// LiveBus publishes ephemeral events to the current listeners.
type LiveBus interface {
	// Publish sends the event, at most once and without order between publishers. An error means that no listener received it.
	Publish(ctx context.Context, e domain.Ephemeral, m Meta) error
}

// MaxTyping is the most typing users of a chat that are listed.
const MaxTyping = 256

// TypingMarks stores the marks of typing users, each for the lifetime in its event.
type TypingMarks interface {
	// Start sets the mark of the event's user and chat until its ExpiresAt, unless one was set within [domain.TypingInterval]; it
	// reports whether it set it. Of concurrent starts one sets it.
	Start(ctx context.Context, e domain.TypingStart) (bool, error)
	// Stop removes the mark; there need be none.
	Stop(ctx context.Context, chat domain.ChatID, user domain.UserID) error
	// Of names those whose marks in a chat stand, in no particular order; of more than [MaxTyping] those that stand longest.
	Of(ctx context.Context, chat domain.ChatID) ([]domain.UserID, error)
}
