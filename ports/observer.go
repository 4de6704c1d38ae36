package ports

import (
	"context"

	"chatcore/domain"
)

// Observer watches commands at work: for traces and meters.
type Observer interface {
	// Command begins a durable command of the given name. Calls within it use the returned context; the function ends it, with the error that the
	// caller receives.
	Command(ctx context.Context, name string, chat domain.ChatID) (context.Context, func(err error))
}
