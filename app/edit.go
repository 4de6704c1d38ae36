package app

import (
	"context"

	"chatcore/domain"
)

// Edit gives a message new content.
type Edit struct {
	Chat      domain.ChatID
	By        domain.UserID
	MessageID domain.MessageID
	Content   string
	Command   domain.CommandID
}

// Edit gives a message new content. The same content again changes nothing.
func (c *Chats) Edit(ctx context.Context, cmd Edit) (Done, error) {
	content, err := domain.NewContent(cmd.Content)
	if err := firstError(checkChat(cmd.Chat, cmd.By), checkMessage(cmd.MessageID), checkCommand(cmd.Command), err); err != nil {
		return Done{}, err
	}
	return c.run(ctx, command{
		name: "edit", chat: cmd.Chat, by: cmd.By, id: cmd.Command,
		wants: want(domain.MemberEntity(cmd.By), domain.MessageEntity(cmd.MessageID)),
		decide: func(s *state) ([]domain.Durable, error) {
			return s.message(cmd.MessageID).Edit(s.member(cmd.By), content, c.policy.EditWindow, c.now())
		},
		limits: c.limitsOf(cmd.By, cmd.Chat, LimitEdit),
		args:   arguments{string(cmd.MessageID), string(content)},
	})
}
