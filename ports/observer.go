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

// Linker is an [Observer] that links work in the background to the call that caused it.
type Linker interface {
	// Link returns a function that adds a link to the call of ctx to another context, or nil if there is nothing to link to. The function does not
	// keep ctx.
	Link(ctx context.Context) func(context.Context) context.Context
}
