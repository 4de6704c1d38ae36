package app

import (
	"context"
	"time"

	"chatcore/domain"
)

// React puts a reaction to a message, or with Unreact takes it back.
type React struct {
	Chat      domain.ChatID
	By        domain.UserID
	MessageID domain.MessageID
	Emoji     string // one emoji, or a :shortcode:
	Command   domain.CommandID
}

// reactionRule is [domain.Chat.React] or [domain.Chat.Unreact].
type reactionRule func(
	c domain.Chat, by domain.Member, m domain.Message, r *domain.Reactions, emoji domain.Emoji, at time.Time,
) ([]domain.Durable, error)

// React puts a reaction, in the emoji's normal form ([domain.NewEmoji]). There already, in whichever spelling, it changes nothing.
func (c *Chats) React(ctx context.Context, cmd React) (Done, error) {
	return c.react(ctx, "react", cmd, domain.NewEmoji, domain.Chat.React)
}

func (c *Chats) react(
	ctx context.Context, name string, cmd React, parse func(string) (domain.Emoji, error), decide reactionRule,
) (Done, error) {
	emoji, err := parse(cmd.Emoji)
	if err := firstError(checkChat(cmd.Chat, cmd.By), checkMessage(cmd.MessageID), checkCommand(cmd.Command), err); err != nil {
		return Done{}, err
	}
	reactions := domain.ReactionsEntity(cmd.MessageID)
	return c.run(ctx, command{
		name: name, chat: cmd.Chat, by: cmd.By, id: cmd.Command,
		wants: want(domain.ChatEntity(), domain.MemberEntity(cmd.By), domain.MessageEntity(cmd.MessageID), reactions),
		decide: func(s *state) ([]domain.Durable, error) {
			return decide(s.theChat(), s.member(cmd.By), s.message(cmd.MessageID), s.reactions(cmd.MessageID), emoji, c.now())
		},
		// Many react to the same message at once: a condition on its reactions would make nearly all of them conflict, while a
		// reaction that was recorded twice folds to one.
		unconditional: func(e domain.Entity) bool { return e == reactions },
		args:          arguments{string(cmd.MessageID), cmd.Emoji},
	})
}
