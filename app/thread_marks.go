package app

import (
	"context"

	"chatcore/domain"
)

// MarkThread moves the user's mark of a thread forward, or changes whether the user follows the thread, or both. Marks are recorded and accepted as those of
// [Chats.MarkRead] are, for each user and thread on its own; a change of following is recorded at once, with the mark that is given with it. A user may mark a
// thread without following it. A mark that is not higher, and a choice that was made before, change nothing.
//
// The author of the root, and everybody who replies, follows a thread until they choose otherwise; a reply makes its sender follow again. Replies from
// before a user chose to follow are not unread.
//
// It returns [domain.ErrThread] if the root is itself a reply, and [domain.ErrMessageNotFound] for a message that is no reply in the thread. It is allowed
// in an archived chat. [LimitRead] is taken if it is set.
func (c *Chats) MarkThread(ctx context.Context, cmd domain.MarkThread) (Marked, error) {
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkMessage(cmd.Thread), checkCommand(cmd.Command), checkThreadMark(cmd)); err != nil {
		return Marked{}, err
	}
	limits := c.limitsOf(cmd.Actor, cmd.Chat, LimitRead)
	if cmd.Following == domain.FollowingUnchanged {
		mark := domain.MarkRead{Chat: cmd.Chat, Actor: cmd.Actor, MessageID: cmd.MessageID, Command: cmd.Command}
		return c.markLimited(ctx, readMarking{MarkRead: mark, thread: cmd.Thread, limits: limits})
	}
	position := domain.ThreadMarkEntity(cmd.Actor, cmd.Thread)
	follow := command{
		name: "mark-thread", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command, limits: limits,
		args:  arguments{string(cmd.Thread), string(cmd.MessageID), cmd.Following.String()},
		wants: want(domain.MemberEntity(cmd.Actor), domain.MessageEntity(cmd.Thread), position),
		decide: func(s *state) ([]domain.Durable, error) {
			var reply *domain.Message
			if cmd.MessageID != "" {
				m := s.message(cmd.MessageID)
				reply = &m
			}
			return as[*domain.ThreadPosition](s, position).Mark(s.member(cmd.Actor), s.message(cmd.Thread), reply, cmd.Following, c.now())
		},
		unconditional: func(_ *state, e domain.Entity) bool { return e.Kind == domain.KindMessage },
	}
	if cmd.MessageID != "" && cmd.MessageID != cmd.Thread {
		follow.wants.add(domain.MessageEntity(cmd.MessageID))
	}
	done, err := c.run(ctx, follow)
	return Marked{done, err == nil}, err
}

// checkThreadMark returns an error for a command that says nothing.
func checkThreadMark(cmd domain.MarkThread) error {
	switch {
	case cmd.Following > domain.Unfollow:
		return &domain.InvalidError{Field: "following", Problem: "is " + cmd.Following.String(), Allowed: "unchanged, default, follow, unfollow"}
	case cmd.MessageID != "":
		return checkMessage(cmd.MessageID)
	case cmd.Following == domain.FollowingUnchanged:
		return &domain.InvalidError{Field: "messageId", Problem: "is empty and following is unchanged", Allowed: "the id of a reply, default, follow or unfollow, or both"}
	}
	return nil
}
