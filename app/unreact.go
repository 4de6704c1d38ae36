package app

import (
	"context"

	"chatcore/domain"
)

// Unreact takes a reaction back. Not there, it changes nothing.
func (c *Chats) Unreact(ctx context.Context, cmd React) (Done, error) {
	return c.react(ctx, "unreact", cmd, domain.Chat.Unreact)
}
