package app

import (
	"context"
	"encoding/json"
	"slices"

	"chatcore/domain"
)

// Edit gives a message new content, mentions and attachments. The same ones again change nothing.
func (c *Chats) Edit(ctx context.Context, cmd domain.Edit) (Done, error) {
	to, err := revisionOf(cmd)
	if err := firstError(
		checkChat(cmd.Chat, cmd.Actor), checkMessage(cmd.MessageID), checkCommand(cmd.Command), checkUsers(cmd.Mentions), err,
	); err != nil {
		return Done{}, err
	}
	edit := command{
		name: "edit", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command,
		wants: want(domain.MemberEntity(cmd.Actor), domain.MessageEntity(cmd.MessageID)),
		decide: func(s *state) ([]domain.Durable, error) {
			return s.message(cmd.MessageID).Edit(s.member(cmd.Actor), to, s.referred("", to.Mentions), c.policy.EditWindow, c.now())
		},
		limits: c.limitsOf(cmd.Actor, cmd.Chat, LimitEdit),
		args:   arguments{string(cmd.MessageID), string(to.Content), listText(to.Mentions), listText(to.Attachments)},
	}
	edit.wants.addMembers(cmd.Actor, to.Mentions)
	return c.run(ctx, edit)
}

func revisionOf(cmd domain.Edit) (domain.Revision, error) {
	to := domain.Revision{Mentions: domain.EachOnce(slices.Clone(cmd.Mentions)), Attachments: slices.Clone(cmd.Attachments)}
	var err error
	if cmd.Content != "" {
		to.Content, err = domain.NewContent(cmd.Content)
	}
	return to, firstError(err, to.Check())
}

// listText is the text of a list for a fingerprint: "" for nil, as commands without the list had.
func listText[T any](list []T) string {
	if list == nil {
		return ""
	}
	text, _ := json.Marshal(list) // strings and numbers
	return string(text)
}
