package app

import (
	"context"
	"slices"

	"chatcore/domain"
)

// about is a command by one member about another user, which may set that user's role. The chat is a condition because its owners and whether it is
// archived decide. with sets further fields of the command.
func (c *Chats) about(
	ctx context.Context, name string, chat domain.ChatID, by, user domain.UserID, role domain.Role, id domain.CommandID,
	decide func(chat domain.Chat, by, target domain.Member) ([]domain.Durable, error), with ...func(*command),
) (Done, error) {
	if err := firstError(checkChat(chat, by, user), checkCommand(id)); err != nil {
		return Done{}, err
	}
	entities := []domain.Entity{domain.ChatEntity(), domain.MemberEntity(by), domain.MemberEntity(user)}
	cmd := command{
		name: name, chat: chat, by: by, id: id,
		wants: want(slices.Compact(entities)...),
		decide: func(s *state) ([]domain.Durable, error) {
			return decide(s.theChat(), s.member(by), s.member(user))
		},
		args: arguments{string(user), role.String()},
	}
	for _, set := range with {
		set(&cmd)
	}
	return c.run(ctx, cmd)
}
