package app

import (
	"context"

	"chatcore/domain"
)

// Remove ends a user's membership.
type Remove struct {
	Chat    domain.ChatID
	Actor   domain.UserID
	User    domain.UserID
	Command domain.CommandID
}

// Remove ends a user's membership. Not a member: it changes nothing.
func (c *Chats) Remove(ctx context.Context, cmd Remove) (Done, error) {
	return c.about(ctx, "remove", cmd.Chat, cmd.Actor, cmd.User, domain.NoRole, cmd.Command,
		func(chat domain.Chat, by, target domain.Member) ([]domain.Durable, error) {
			return chat.Remove(by, target, c.now())
		})
}
