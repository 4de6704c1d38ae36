package app

import (
	"context"
	"slices"

	"chatcore/domain"
)

// Send posts a message.
type Send struct {
	Chat        domain.ChatID
	By          domain.UserID
	MessageID   domain.MessageID // names the send; "" for a new id, but then a repetition is another message
	Content     string
	ReplyTo     domain.MessageID
	Mentions    []domain.UserID
	Attachments []domain.Attachment
	ClientMeta  string // a JSON object, carried as it is
}

// Sent is where a message is.
type Sent struct {
	MessageID domain.MessageID
	Seq       domain.Seq
	Duplicate bool // whether it was there already
}

// Send posts a message, and ends the sender's typing. The same sender's message under the same id is the same send, for as long as
// the chat exists: it gives the first result, whatever it says now. [domain.ErrMessageExists] if the id is someone else's.
func (c *Chats) Send(ctx context.Context, cmd Send) (Sent, error) {
	draft, err := c.draft(cmd)
	if err := firstError(checkChat(cmd.Chat, cmd.By), checkUsers(cmd.Mentions), err); err != nil {
		return Sent{}, err
	}
	s := &sending{c: c, by: cmd.By, draft: draft}
	done, err := c.run(ctx, command{
		name: "send", chat: cmd.Chat, by: cmd.By,
		wants:  want(domain.ChatEntity(), domain.MemberEntity(cmd.By), domain.MessageEntity(draft.ID)),
		expect: domain.MessageEntity(draft.ID), decide: s.decide, endsTyping: true,
	})
	switch {
	case err != nil:
		return Sent{}, err
	case !done.Changed:
		return Sent{MessageID: draft.ID, Seq: s.first, Duplicate: true}, nil
	}
	return Sent{MessageID: draft.ID, Seq: done.Seq}, nil
}

// sending is a send at work.
type sending struct {
	c     *Chats
	by    domain.UserID
	draft domain.Draft
	first domain.Seq // of the message that was there already
}

func (s *sending) decide(found *state) ([]domain.Durable, error) {
	existing := found.message(s.draft.ID)
	s.first = existing.Seq
	return found.theChat().Post(found.member(s.by), existing, s.draft, s.c.now())
}

func (c *Chats) draft(cmd Send) (domain.Draft, error) {
	if cmd.MessageID == "" {
		cmd.MessageID = domain.MessageID(c.ids.NewID())
	}
	draft := domain.Draft{
		ID: cmd.MessageID, ReplyTo: cmd.ReplyTo, Mentions: slices.Clone(cmd.Mentions), Attachments: slices.Clone(cmd.Attachments),
	}
	err := checkMessage(cmd.MessageID)
	if err == nil && cmd.ReplyTo != "" {
		err = checkMessage(cmd.ReplyTo)
	}
	if err == nil && (cmd.Content != "" || len(cmd.Attachments) == 0) {
		draft.Content, err = domain.NewContent(cmd.Content)
	}
	if err == nil {
		draft.ClientMeta, err = domain.NewClientMeta(cmd.ClientMeta)
	}
	return draft, firstError(err, draft.Check())
}
