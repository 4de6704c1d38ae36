package ports

import (
	"context"

	"chatcore/domain"
)

// Observer watches commands at work: for traces and meters.
type Observer interface {
	// Command begins a durable command of the given name. What is called within it gets the context; the function ends it, with the
	// error that its caller gets.
	Command(ctx context.Context, name string, chat domain.ChatID) (context.Context, func(err error))
}
