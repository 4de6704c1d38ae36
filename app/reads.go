package app

import (
	"context"
	"errors"
	"time"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// MarkRead moves the user's mark forward; read that far already, it changes nothing. It returns once the log has a mark of the user that is at
// least as high.
//
// A seq may be that of any event of the chat. The last message at or before it counts, also a deleted one and one from before the user joined; if
// there is none, the call changes nothing. A seq above the chat's last is a [*domain.SeqRangeError], which names the last.
//
// Marks of a user and chat are recorded at most once a second, over all processes, and only forward: a mark that comes too soon waits for its turn,
// and marks of one process that wait together are recorded as one, the highest. Then one of the calls is Changed, and the others are not. A call
// waits only as long as its own ctx allows; the fate of calls that it waits with does not affect it.
func (c *Chats) MarkRead(ctx context.Context, cmd domain.MarkRead) (Done, error) {
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkCommand(cmd.Command)); err != nil {
		return Done{}, err
	}
	marking := readMarking{cmd, c.limitsOf(cmd.Actor, cmd.Chat, LimitRead)}
	if err := marking.limits.before(ctx); err != nil {
		return Done{}, c.hideFromOutsider(ctx, membership(cmd.Chat, cmd.Actor), err)
	}
	done, err := c.markRead(ctx, marking)
	return marking.limits.settle(ctx, done, err)
}

// readMarking is a call of MarkRead.
type readMarking struct {
	domain.MarkRead
	limits *callLimits
}

func (c *Chats) markRead(ctx context.Context, cmd readMarking) (Done, error) {
	if cmd.MessageID == "" {
		id, err := c.messageAt(ctx, cmd)
		if err != nil {
			return Done{}, err
		}
		if id == "" {
			return c.markNothing(ctx, cmd)
		}
		cmd.MessageID = id
	}
	if err := checkMessage(cmd.MessageID); err != nil {
		return Done{}, err
	}
	// A call that is refused, marks nothing new or was made before returns at once and delays no other.
	mark, done, err := c.newMark(ctx, cmd)
	if err != nil || mark.Seq == 0 {
		return done, err
	}
	var failure error
	led, err := c.reads.do(ctx, readKey{cmd.Chat, cmd.Actor}, mark, cmd.limits.take, func(highest func() domain.Message) readOutcome {
		var tried domain.Seq
		done, tried, failure = c.recordMark(ctx, cmd, highest)
		switch {
		case failure != nil && sharedFailure(ctx, failure):
			return readOutcome{failed: tried, err: failure}
		case failure != nil || done.Duplicate: // the others' marks are not recorded by that
			return readOutcome{}
		}
		return readOutcome{recorded: tried}
	})
	switch {
	case led:
		return done, failure
	case errors.Is(err, ports.ErrRateLimited):
	case err == nil && cmd.Command != "": // another call recorded the mark; this one's id is still to be recorded
		done, _, err = c.recordMark(ctx, cmd, func() domain.Message { return mark })
	}
	return done, err
}

// sharedFailure reports whether an error of a leading call applies to the calls that wait for it: errors of the log do, those caused by the leader's
// own command id or the end of its ctx do not.
func sharedFailure(ctx context.Context, err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return false
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= 0 { // a socket may notice before ctx does
		return false
	}
	var refusal *domain.Refusal
	var invalid *domain.InvalidError
	return !errors.As(err, &refusal) && !errors.As(err, &invalid) && !errors.Is(err, domain.ErrTooSoon) && !errors.Is(err, ports.ErrConflict) &&
		!errors.Is(err, ports.ErrRateLimited)
}

// newMark returns the message to mark; a zero one and the answer if there is nothing to wait for.
func (c *Chats) newMark(ctx context.Context, cmd readMarking) (domain.Message, Done, error) {
	marking := markCommand(cmd, cmd.MessageID)
	s := newState(&marking)
	c.entities.Cached(cmd.Chat, s.entities)
	if err := c.load(ctx, &marking, s); err != nil {
		return domain.Message{}, Done{}, err
	}
	if done, repeated, err := s.repeated(&marking); repeated || err != nil {
		if err == nil {
			err = c.confirm(ctx, s, done.Seq)
		}
		return domain.Message{}, done, err
	}
	mark := s.message(cmd.MessageID)
	events, err := s.readMark(cmd.Actor).Advance(s.member(cmd.Actor), mark, s.head, c.now())
	switch {
	case err != nil && !errors.Is(err, domain.ErrTooSoon):
		return domain.Message{}, Done{}, err
	case err != nil || len(events) > 0:
		return mark, Done{}, nil
	case cmd.Command != "":
		done, _, err := c.recordMark(ctx, cmd, func() domain.Message { return mark })
		return domain.Message{}, done, err
	}
	return domain.Message{}, Done{}, c.confirm(ctx, s, s.entity(domain.ReadEntity(cmd.Actor)).Version)
}

// recordMark appends the highest mark that was asked for, when its time has come. It also returns the seq of the mark that it tried last.
func (c *Chats) recordMark(ctx context.Context, cmd readMarking, highest func() domain.Message) (done Done, tried domain.Seq, err error) {
	var tooSoon *domain.TooSoonError
	var last receiptTime
	for range decisions {
		target := highest()
		marking := markCommand(cmd, target.ID)
		marking.decide = func(s *state) ([]domain.Durable, error) {
			mark, now := s.readMark(cmd.Actor), c.now()
			mark.ReceiptAt = time.Time{}
			if !c.backdated {
				mark.ReceiptAt = last.of(s.entity(domain.ReceiptEntity(cmd.Actor)), now)
			}
			return mark.Advance(s.member(cmd.Actor), s.message(target.ID), s.head, now)
		}
		done, err = c.run(ctx, marking)
		if !errors.As(err, &tooSoon) {
			return done, target.Seq, err
		}
		if err := c.clock.Sleep(ctx, tooSoon.Until); err != nil {
			return Done{}, target.Seq, err
		}
	}
	return Done{}, 0, tooSoon
}

// receiptTime is when the last receipt of a user was recorded, by this process's clock.
type receiptTime struct {
	seq   domain.Seq // of a receipt whose time lies in the future
	since time.Time  // when this process saw it first
}

// of returns the time of the last receipt, zero if there is none. A receipt of a process whose clock is ahead counts from when it was seen
// first: it delays the next mark by a second, not by the difference of the clocks.
func (r *receiptTime) of(receipts *entity.Versioned, now time.Time) time.Time {
	if len(receipts.Records) == 0 {
		return time.Time{}
	}
	last := receipts.Records[len(receipts.Records)-1]
	at := last.Event.OccurredAt()
	if !at.After(now) {
		return at
	}
	if r.seq != last.Seq {
		r.seq, r.since = last.Seq, now
	}
	return r.since
}

// markCommand marks a message, on behalf of a call that gave its command id for cmd.MessageID. The mark and the receipts are conditions of the
// append: of two processes that decide at the same time, one decides again on the events of the other.
func markCommand(cmd readMarking, message domain.MessageID) command {
	return command{
		name: "read", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command, args: arguments{string(cmd.MessageID)}, limits: cmd.limits,
		wants: want(
			domain.MemberEntity(cmd.Actor), domain.MessageEntity(message), domain.ReadEntity(cmd.Actor), domain.ReceiptEntity(cmd.Actor),
		),
		unconditional: func(_ *state, e domain.Entity) bool { return e.Kind == domain.KindMessage },
	}
}

// membership only needs the actor's membership.
func membership(chat domain.ChatID, by domain.UserID) *command {
	return &command{
		chat: chat, by: by, wants: want(domain.MemberEntity(by)),
		decide: func(*state) ([]domain.Durable, error) { return nil, domain.NotMember(chat, by) },
	}
}

// markNothing is MarkRead up to a seq without a message at or before it. A command id is recorded.
func (c *Chats) markNothing(ctx context.Context, cmd readMarking) (Done, error) {
	nothing := membership(cmd.Chat, cmd.Actor)
	nothing.name, nothing.id, nothing.limits = "read", cmd.Command, cmd.limits
	refuse := nothing.decide
	nothing.decide = func(s *state) ([]domain.Durable, error) {
		if s.member(cmd.Actor).Current() {
			return nil, nil
		}
		return refuse(s)
	}
	return c.run(ctx, *nothing)
}

// messageAt returns the last message at or before the command's seq, or "" if there is none. It takes one round trip if the chat has a message there.
// Only members learn what the chat has at a seq.
func (c *Chats) messageAt(ctx context.Context, cmd readMarking) (domain.MessageID, error) {
	chat, seq := cmd.Chat, cmd.Seq
	if seq == 0 {
		return "", &domain.InvalidError{Field: "seq", Problem: "is 0 and there is no messageId", Allowed: "the id of a message, or a seq from 1 to the chat's last"}
	}
	page, err := c.log.Search(ctx, chat, ports.Filter{Messages: true}, ports.Range{From: seq, Backward: true, Limit: 1})
	if err != nil {
		return "", err
	}
	var newer *entity.Unreadable // a message whose id this program cannot read
	if page.Head >= seq && len(page.Records) > 0 {
		switch e := page.Records[0].Event.(type) {
		case domain.MessageNew:
			return e.Message, nil
		case domain.Unknown:
			if e.Message != "" {
				return e.Message, nil
			}
			newer = entity.UnreadableOf(page.Records[0].Seq, e)
		}
	}
	needed := membership(chat, cmd.Actor)
	s := newState(needed)
	c.entities.Cached(chat, s.entities)
	if err := c.load(ctx, needed, s); err != nil {
		return "", err
	}
	switch {
	case !s.member(cmd.Actor).Current():
		return "", domain.NotMember(chat, cmd.Actor)
	case page.Head < seq:
		return "", &domain.SeqRangeError{Chat: chat, Seq: seq, Head: page.Head}
	case newer != nil:
		return "", &newer.NewerVersionError
	}
	return "", nil
}

// Unread returns how many messages of others a member has not read: those after the member's read mark, or after the member joined, without
// tombstones. It takes the same effort however long the chat is. It returns [domain.ErrNotMember] for anyone else.
func (q *Queries) Unread(ctx context.Context, chat domain.ChatID, user domain.UserID) (domain.Ordinal, error) {
	if err := checkChat(chat, user); err != nil {
		return 0, err
	}
	return q.models.Unread(ctx, chat, user)
}

// UnreadOf returns the numbers of a user's unread messages in each of the user's chats. The counts are exact as of now, for chats of any size: one
// round trip for each 128 chats. The set of chats comes from the built-in subscribers' read model: a moment behind the log.
func (q *Queries) UnreadOf(ctx context.Context, user domain.UserID) (map[domain.ChatID]domain.Ordinal, error) {
	chats, err := q.ChatsOf(ctx, user)
	if err != nil {
		return nil, err
	}
	return q.models.UnreadIn(ctx, user, chats)
}

// KeptUnread returns a user's unread counts as they are stored for other programs, up to a second behind the log; see [MaxKeptUnread].
func (q *Queries) KeptUnread(ctx context.Context, user domain.UserID) (map[domain.ChatID]domain.Ordinal, error) {
	if err := checkUsers([]domain.UserID{user}); err != nil {
		return nil, err
	}
	return q.models.KeptUnread(ctx, user)
}
