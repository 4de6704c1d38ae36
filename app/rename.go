package app

import (
	"context"

	"chatcore/domain"
)

// Rename gives a chat a title. The same title again changes nothing.
func (c *Chats) Rename(ctx context.Context, cmd domain.Rename) (Done, error) {
	title, err := domain.NewTitle(cmd.Title)
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkCommand(cmd.Command), err); err != nil {
		return Done{}, err
	}
	return c.run(ctx, command{
		name: "rename", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command,
		wants: want(domain.ChatEntity(), domain.MemberEntity(cmd.Actor)),
		decide: func(s *state) ([]domain.Durable, error) {
			return s.theChat().Rename(s.member(cmd.Actor), title, c.now())
		},
		args: arguments{string(title)},
	})
}
