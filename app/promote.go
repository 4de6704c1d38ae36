package app

import (
	"context"

	"chatcore/domain"
)

// Promote raises a member's role. In that role already: it changes nothing.
func (c *Chats) Promote(ctx context.Context, cmd domain.Promote) (Done, error) {
	return c.about(ctx, "promote", cmd.Chat, cmd.Actor, cmd.User, cmd.Role, cmd.Command,
		func(chat domain.Chat, by, target domain.Member) ([]domain.Durable, error) {
			return chat.Promote(by, target, cmd.Role, c.now())
		})
}
