package app

import (
	"context"

	"chatcore/domain"
)

// Archive closes a chat to new messages, reactions and members. Done already, it changes nothing.
func (c *Chats) Archive(ctx context.Context, cmd domain.Archive) (Done, error) {
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkCommand(cmd.Command)); err != nil {
		return Done{}, err
	}
	return c.run(ctx, command{
		name: "archive", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command,
		wants: want(domain.ChatEntity(), domain.MemberEntity(cmd.Actor)),
		decide: func(s *state) ([]domain.Durable, error) {
			return s.theChat().Archive(s.member(cmd.Actor), c.now())
		},
	})
}
