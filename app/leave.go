package app

import (
	"context"

	"chatcore/domain"
)

// Leave ends the user's own membership. The last owner cannot leave: [domain.ErrLastOwner].
func (c *Chats) Leave(ctx context.Context, cmd domain.Leave) (Done, error) {
	return c.about(ctx, "leave", cmd.Chat, cmd.Actor, cmd.Actor, domain.NoRole, cmd.Command,
		func(chat domain.Chat, who, _ domain.Member) ([]domain.Durable, error) {
			return chat.Leave(who, c.now())
		})
}
