package app

import (
	"context"

	"chatcore/domain"
)

// Remove ends a user's membership. Not a member: it changes nothing.
func (c *Chats) Remove(ctx context.Context, cmd domain.Remove) (Done, error) {
	return c.about(ctx, "remove", cmd.Chat, cmd.Actor, cmd.User, domain.NoRole, cmd.Command,
		func(chat domain.Chat, by, target domain.Member) ([]domain.Durable, error) {
			return chat.Remove(by, target, c.now())
		})
}
