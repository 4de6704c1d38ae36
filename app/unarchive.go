package app

import (
	"context"

	"chatcore/domain"
)

// Unarchive opens an archived chat again. Done already, it changes nothing.
func (c *Chats) Unarchive(ctx context.Context, cmd domain.Unarchive) (Done, error) {
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkCommand(cmd.Command)); err != nil {
		return Done{}, err
	}
	return c.run(ctx, command{
		name: "unarchive", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command,
		wants: want(domain.ChatEntity(), domain.MemberEntity(cmd.Actor)),
		decide: func(s *state) ([]domain.Durable, error) {
			return s.theChat().Unarchive(s.member(cmd.Actor), c.now())
		},
	})
}
