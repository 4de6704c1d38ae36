package app

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// Sent is where a message is.
type Sent struct {
	MessageID domain.MessageID
	Seq       domain.Seq
	Duplicate bool // whether it was there already
	// Differs reports, of a duplicate, whether the message that was first sent under the id is another one: its content, reply, thread, mentions,
	// attachments or client metadata. That message stands, and this one was not recorded. Of an
	// erased message it is false.
	Differs bool
}

// Send posts a message, and ends the sender's typing. The same sender's message under the same id is the same send, for as long as the chat exists:
// it returns the first result, and sets Differs if the draft is another now. [domain.ErrMessageExists] if the id is someone else's, and
// [domain.ErrMessageNotFound] if ReplyTo or Thread names no message of the chat, and [domain.ErrThread] if Thread names a reply in a thread. A non-member gets [domain.ErrNotMember] instead of either; a repetition of the
// sender's own message succeeds also after the sender has left.
//
// A reply in a thread is not in the main timeline, unless InChat is set: it does not count among the unread messages of the chat, and [Queries.History] leaves it
// out. Replies conflict with nothing that happens to the root; it may be deleted. The policy's actions are post for the main timeline, reply for a
// thread, and mentionAll for a Broadcast.
//
// A send takes one round trip to the log. A root, or mentions of users whose membership, this process does not know yet take one more.
//
// [LimitSend] and [LimitSendInChat] are taken if they are set, both or none, as [Chats] says; on a Cluster one after the other, and the first stays
// taken if the second refuses. A send that is given again counts again, and one that its limit or the gate refuses may have been recorded when it was
// given before.
func (c *Chats) Send(ctx context.Context, cmd domain.Send) (Sent, error) {
	draft, err := c.draft(cmd)
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkUsers(cmd.Mentions), err); err != nil {
		return Sent{}, err
	}
	by := cmd.Actor
	send := command{
		name: "send", chat: cmd.Chat, by: by,
		wants:  want(domain.ChatEntity(), domain.MemberEntity(by), domain.MessageEntity(draft.ID)),
		expect: domain.MessageEntity(draft.ID),
		decide: func(s *state) ([]domain.Durable, error) {
			existing := s.message(s.draft.ID)
			s.found = existing.Seq
			return s.theChat().Post(s.member(by), existing, s.draft, s.referredBy(s.draft), c.now())
		},
		draft:      draft,
		endsTyping: true,
		limits:     c.limitsOf(by, cmd.Chat, LimitSend, LimitSendInChat),
		gate:       GateQuestion{Kind: GateSend, Actor: by, Chat: cmd.Chat, Targets: draft.Mentions},
	}
	if draft.Thread != "" {
		send.wants.add(domain.MessageEntity(draft.Thread))
		send.unconditional = isRoot
	}
	if draft.ReplyTo != "" && draft.ReplyTo != draft.Thread {
		send.exists = domain.MessageEntity(draft.ReplyTo)
		send.wants.add(send.exists)
	}
	send.wants.addMembers(by, draft.Mentions)
	done, err := c.run(ctx, send)
	if err != nil {
		return Sent{}, err
	}
	sent := Sent{MessageID: draft.ID, Seq: done.Seq, Duplicate: !done.Changed}
	if sent.Duplicate {
		sent.Differs, err = c.differs(ctx, cmd.Chat, done.Seq, draft)
	}
	return sent, err
}

// isRoot reports whether an entity is the root of the thread of a draft. Sends use of it only that it exists and is no reply, which never changes.
func isRoot(s *state, e domain.Entity) bool { return e == domain.MessageEntity(s.draft.Thread) }

// differs reports whether a draft is not the message that was sent at seq. Later changes of that message, and of memberships, do not matter. It takes
// one round trip, and one more if the mentions differ.
func (c *Chats) differs(ctx context.Context, chat domain.ChatID, seq domain.Seq, draft domain.Draft) (bool, error) {
	page, err := c.log.Read(ctx, chat, ports.Range{From: seq, Limit: 1})
	if err != nil {
		return false, err
	}
	var first domain.Message
	if len(page.Records) > 0 {
		first.Apply(seq, page.Records[0].Event)
	}
	if first.Erased {
		return false, nil // nobody knows any more
	}
	if !first.Exists() {
		return false, &ports.CorruptError{Chat: chat, Seq: seq, Cause: fmt.Errorf("the log no longer has message %q", draft.ID)}
	}
	sent := first.Draft()
	if !slices.Equal(sent.Mentions, draft.Mentions) {
		if draft.Mentions, sent.Mentions, err = c.mentionsAsOf(ctx, chat, seq, draft.Mentions, sent.Mentions); err != nil {
			return false, err
		}
	}
	return !draft.Equal(sent), nil
}

// mentionsAsOf returns of each list the users that were members as of seq: a send records only those.
func (c *Chats) mentionsAsOf(
	ctx context.Context, chat domain.ChatID, seq domain.Seq, drafted, recorded []domain.UserID,
) (draftedThen, recordedThen []domain.UserID, err error) {
	var entities []entity.Versioned
	for _, user := range domain.EachOnce(slices.Concat(drafted, recorded)) {
		entities = append(entities, entity.Versioned{Entity: domain.MemberEntity(user)})
	}
	if _, err := c.entities.At(seq).Load(ctx, chat, entities); err != nil {
		return nil, nil, err
	}
	was := make(map[domain.UserID]bool)
	for _, s := range entities {
		m, _ := s.State.(*domain.Member)
		was[m.User] = m.Current()
	}
	outside := func(user domain.UserID) bool { return !was[user] }
	return slices.DeleteFunc(slices.Clone(drafted), outside), slices.DeleteFunc(slices.Clone(recorded), outside), nil
}

func (c *Chats) draft(cmd domain.Send) (domain.Draft, error) {
	if cmd.MessageID == "" {
		cmd.MessageID = domain.MessageID(c.ids.NewID())
	}
	draft := domain.Draft{
		ID: cmd.MessageID, ReplyTo: cmd.ReplyTo, Mentions: domain.EachOnce(cmd.Mentions), Attachments: slices.Clone(cmd.Attachments),
		Thread: cmd.Thread, InChat: cmd.InChat, Broadcast: cmd.Broadcast,
	}
	err := checkMessage(cmd.MessageID)
	if err == nil && cmd.ReplyTo != "" {
		err = checkMessage(cmd.ReplyTo)
	}
	if err == nil && cmd.Thread != "" {
		err = checkMessage(cmd.Thread)
	}
	if err == nil && (cmd.Content != "" || len(cmd.Attachments) == 0) {
		draft.Content, err = domain.NewContent(cmd.Content)
	}
	if err == nil {
		draft.ClientMeta, err = domain.NewClientMeta(cmd.ClientMeta)
	}
	return draft, firstError(err, draft.Check())
}

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
	if to.RemoveBroadcast {
		edit.args[2] += " without broadcast" // a list is JSON, so no other command has this text
	}
	edit.wants.addMembers(cmd.Actor, to.Mentions)
	return c.run(ctx, edit)
}

func revisionOf(cmd domain.Edit) (domain.Revision, error) {
	to := domain.Revision{Mentions: domain.EachOnce(cmd.Mentions), Attachments: slices.Clone(cmd.Attachments), RemoveBroadcast: cmd.RemoveBroadcast}
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
