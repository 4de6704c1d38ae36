package app

import (
	"context"

	"chatcore/domain"
)

// Delete leaves a tombstone in a message's place. Deleted already, it changes nothing.
func (c *Chats) Delete(ctx context.Context, cmd domain.Delete) (Done, error) {
	reason, err := domain.NewReason(cmd.Reason)
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkMessage(cmd.MessageID), checkCommand(cmd.Command), err); err != nil {
		return Done{}, err
	}
	return c.run(ctx, command{
		name: "delete", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command,
		wants: want(domain.MemberEntity(cmd.Actor), domain.MessageEntity(cmd.MessageID)),
		decide: func(s *state) ([]domain.Durable, error) {
			return s.message(cmd.MessageID).Delete(s.member(cmd.Actor), reason, c.now())
		},
		limits: c.limitsOf(cmd.Actor, cmd.Chat, LimitDelete),
		args:   arguments{string(cmd.MessageID), string(reason)},
	})
}
