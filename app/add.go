package app

import (
	"context"

	"chatcore/domain"
)

// Add makes a user a plain member. For a present member of any role it changes nothing. It returns a [*domain.CapError] if the user is in
// [Caps.ChatsPerUser] chats.
func (c *Chats) Add(ctx context.Context, cmd domain.Add) (Done, error) {
	return c.about(ctx, "add", cmd.Chat, cmd.Actor, cmd.User, domain.NoRole, cmd.Command,
		func(chat domain.Chat, by, target domain.Member) ([]domain.Durable, error) {
			return chat.Add(by, target, cmd.User, c.now())
		},
		func(add *command) {
			add.joins = []domain.UserID{cmd.User}
			add.limits = c.limitsOf(cmd.Actor, cmd.Chat, LimitAdd)
			add.gate = GateQuestion{Kind: GateAdd, Actor: cmd.Actor, Chat: cmd.Chat, Targets: add.joins}
		})
}
