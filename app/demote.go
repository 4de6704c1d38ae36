package app

import (
	"context"

	"chatcore/domain"
)

// Demote lowers a member's role. In that role already: it changes nothing.
func (c *Chats) Demote(ctx context.Context, cmd domain.Demote) (Done, error) {
	return c.about(ctx, "demote", cmd.Chat, cmd.Actor, cmd.User, cmd.Role, cmd.Command,
		func(chat domain.Chat, by, target domain.Member) ([]domain.Durable, error) {
			return chat.Demote(by, target, cmd.Role, c.now())
		})
}
