package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// Marked is the result of MarkRead.
type Marked struct {
	Done // zero if the mark was only accepted
	// Recorded reports whether the log has the mark, or a higher one. Otherwise the mark is accepted: this process records it within about a second.
	Recorded bool
}

// MarkRead moves the user's mark forward; read that far already, it changes nothing.
//
// A seq may be that of any event of the chat. The last message at or before it counts, also a deleted one and one from before the user joined; if
// there is none, the call changes nothing. A seq above the chat's last is a [*domain.SeqRangeError], which names the last. A message id and a seq
// together are a [*domain.InvalidError]. A mark of a message that the user has marked as unread ([Chats.SetSettings]) ends that, also if the user has read further
// before.
//
// Marks of a user and chat are recorded at most once a second, over all processes, and only forward. A mark that can be recorded now is recorded before
// MarkRead returns, and the result is Recorded. A mark that comes too soon is checked in the same way, so that every refusal and limit is returned at
// once, and is then accepted: MarkRead returns, and this process records the highest accepted mark of the user and chat when its time has come. It
// retries while the log cannot be reached. It ends without recording the mark if the user may no longer mark it, for example after a removal.
//
// A recorded mark is as safe as any event. A crash of the process loses the marks that it has accepted and not yet recorded: those of the last second,
// or of an outage of the log. [Chats.Close] records them first. The command id of an accepted mark is not recorded. Giving any mark again is safe,
// since marks only move forward.
//
// With [domain.MarkRead.AwaitRecorded] the call returns once the log has a mark of the user that is at least as high. Calls that wait together in one
// process are recorded as one, the highest. Then one of them is Changed, and the others are not. A call waits only as long as its own ctx allows; the
// fate of calls that it waits with does not affect it. Calls wait in this way too while the process has accepted too many marks (131,072 users and
// chats), and once it is being closed.
func (c *Chats) MarkRead(ctx context.Context, cmd domain.MarkRead) (Marked, error) {
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkCommand(cmd.Command), checkPosition(cmd)); err != nil {
		return Marked{}, err
	}
	return c.markLimited(ctx, readMarking{MarkRead: cmd, limits: c.limitsOf(cmd.Actor, cmd.Chat, LimitRead)})
}

// markLimited is markRead within the limits.
func (c *Chats) markLimited(ctx context.Context, cmd readMarking) (Marked, error) {
	if err := cmd.limits.before(ctx); err != nil {
		return Marked{}, c.hideFromOutsider(ctx, membership(cmd.Chat, cmd.Actor), err)
	}
	marked, err := c.markRead(ctx, cmd)
	marked.Done, err = cmd.limits.settle(ctx, marked.Done, err)
	marked.Recorded = marked.Recorded && err == nil
	return marked, err
}

// checkPosition returns an error unless exactly one of the message's id and the seq is given.
func checkPosition(cmd domain.MarkRead) error {
	const allowed = "either the id of a message, or a seq from 1 to the chat's last"
	switch {
	case cmd.MessageID != "" && cmd.Seq != 0:
		return &domain.InvalidError{Field: "seq", Problem: fmt.Sprintf("is %d beside messageId %q", cmd.Seq, cmd.MessageID), Allowed: allowed}
	case cmd.MessageID == "" && cmd.Seq == 0:
		return &domain.InvalidError{Field: "seq", Problem: "is 0 and there is no messageId", Allowed: allowed}
	}
	return nil
}

// readMarking is a call of MarkRead, or of MarkThread for a reply.
type readMarking struct {
	domain.MarkRead
	thread   domain.MessageID // the root; "" for the main timeline
	limits   *callLimits
	accepted bool       // by an earlier call
	settings domain.Seq // version of the user's settings that the call knew
}

// errMarkedUnread is the reason for which an accepted mark is not recorded.
var errMarkedUnread = errors.New("marked as unread since")

// key names the marks that a marking is one of.
func (m readMarking) key() readKey { return readKey{m.Chat, m.Actor, m.thread} }

// mark is the entity that a marking moves.
func (m readMarking) mark() domain.Entity {
	if m.thread != "" {
		return domain.ThreadMarkEntity(m.Actor, m.thread)
	}
	return domain.ReadEntity(m.Actor)
}

// advance decides to move the mark to a message. receiptAt returns when the last mark was recorded, from the time that the mark has.
func (m readMarking) advance(s *state, message domain.MessageID, now time.Time, receiptAt func(time.Time) time.Time) ([]domain.Durable, error) {
	by, target := s.member(m.Actor), s.message(message)
	if m.thread != "" {
		position := *as[*domain.ThreadPosition](s, m.mark())
		position.ReceiptAt = receiptAt(position.ReceiptAt)
		return position.Advance(by, s.message(m.thread), target, now)
	}
	mark := s.readMark(m.Actor)
	mark.ReceiptAt = receiptAt(mark.ReceiptAt)
	return mark.Advance(by, target, s.head, s.unreadFrom(m.Actor), now)
}

func (c *Chats) markRead(ctx context.Context, cmd readMarking) (Marked, error) {
	if cmd.MessageID == "" {
		id, err := c.messageAt(ctx, cmd)
		if err != nil {
			return Marked{}, err
		}
		if id == "" {
			done, err := c.markNothing(ctx, cmd)
			return Marked{done, true}, err
		}
		cmd.MessageID = id
	}
	if err := checkMessage(cmd.MessageID); err != nil {
		return Marked{}, err
	}
	// A call that is refused, marks nothing new or was made before returns at once and delays no other.
	mark, done, err := c.newMark(ctx, &cmd)
	if err != nil || mark.Seq == 0 {
		return Marked{done, true}, err
	}
	if !cmd.AwaitRecorded && !c.backdated {
		if marked, returned, err := c.markSoon(ctx, cmd, mark); returned {
			return marked, err
		}
	}
	done, err = c.awaitMark(ctx, cmd, mark)
	return Marked{done, true}, err
}

// markSoon records a mark now or accepts it. It reports false if it can do neither.
func (c *Chats) markSoon(ctx context.Context, cmd readMarking, mark domain.Message) (marked Marked, returned bool, err error) {
	key := cmd.key()
	accepted := acceptance{id: mark.ID, seq: mark.Seq, due: c.now().Add(domain.ReadCoalescing), settings: cmd.settings} // by then a call that records now has returned
	if !c.pending.has(key) {
		var done Done
		led := c.reads.try(key, mark, func(highest func() domain.Message) readOutcome {
			target := c.pending.highest(key, highest())
			done, err = c.tryMark(ctx, cmd, target, &accepted.last)
			return c.outcomeOf(ctx, key, done, target.Seq, err)
		})
		var tooSoon *domain.TooSoonError
		switch {
		case led && !errors.As(err, &tooSoon):
			return Marked{done, true}, true, err
		case led:
			accepted.due = tooSoon.Until
		}
	}
	if err := cmd.limits.take(ctx); err != nil {
		return Marked{}, true, err
	}
	if c.linker != nil {
		accepted.link = c.linker.Link(ctx)
	}
	return Marked{}, c.pending.accept(c, key, accepted), nil //nolint:contextcheck // the record outlives the call
}

// awaitMark returns when the log has the mark.
func (c *Chats) awaitMark(ctx context.Context, cmd readMarking, mark domain.Message) (done Done, err error) {
	key := cmd.key()
	var failure error
	led, err := c.reads.do(ctx, key, mark, cmd.limits.take, func(highest func() domain.Message) readOutcome {
		var tried domain.Seq
		done, tried, failure = c.recordMark(ctx, cmd, func() domain.Message { return c.pending.highest(key, highest()) })
		return c.outcomeOf(ctx, key, done, tried, failure)
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

// outcomeOf returns what a leading call that tried to record a mark leaves to others, and notes what it has recorded.
func (c *Chats) outcomeOf(ctx context.Context, key readKey, done Done, tried domain.Seq, err error) readOutcome {
	switch {
	case err != nil && sharedFailure(ctx, err):
		return readOutcome{failed: tried, err: err}
	case err != nil || done.Duplicate: // the others' marks are not recorded by that
		return readOutcome{}
	}
	c.pending.recorded(key, tried)
	return readOutcome{recorded: tried}
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

// newMark returns the message to mark; a zero one and the answer if there is nothing to wait for. It sets the version of the settings that the call knows.
func (c *Chats) newMark(ctx context.Context, cmd *readMarking) (domain.Message, Done, error) {
	marking := markCommand(*cmd, cmd.MessageID)
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
	if cmd.thread == "" {
		cmd.settings = s.entity(domain.SettingsEntity(cmd.Actor)).Version
	}
	events, err := cmd.advance(s, mark.ID, c.now(), func(at time.Time) time.Time { return at })
	switch {
	case err != nil && !errors.Is(err, domain.ErrTooSoon):
		return domain.Message{}, Done{}, err
	case err != nil || len(events) > 0:
		return mark, Done{}, nil
	case cmd.Command != "":
		done, _, err := c.recordMark(ctx, *cmd, func() domain.Message { return mark })
		return domain.Message{}, done, err
	}
	return domain.Message{}, Done{}, c.confirm(ctx, s, s.entity(cmd.mark()).Version)
}

// recordMark appends the highest mark that was asked for, when its time has come. It also returns the seq of the mark that it tried last.
func (c *Chats) recordMark(ctx context.Context, cmd readMarking, highest func() domain.Message) (done Done, tried domain.Seq, err error) {
	var tooSoon *domain.TooSoonError
	var last receiptTime
	for range decisions {
		target := highest()
		done, err = c.tryMark(ctx, cmd, target, &last)
		if !errors.As(err, &tooSoon) {
			return done, target.Seq, err
		}
		if err := c.clock.Sleep(ctx, tooSoon.Until); err != nil {
			return Done{}, target.Seq, err
		}
	}
	return Done{}, 0, tooSoon
}

// tryMark appends a mark, or returns a [*domain.TooSoonError]. last is that of earlier tries. A mark that was accepted before the user marked messages as unread is
// refused: what the user did last counts.
func (c *Chats) tryMark(ctx context.Context, cmd readMarking, target domain.Message, last *receiptTime) (Done, error) {
	marking := markCommand(cmd, target.ID)
	marking.decide = func(s *state) ([]domain.Durable, error) {
		now := c.now()
		if cmd.accepted && cmd.thread == "" {
			if set := s.settings(cmd.Actor); set.UnreadSeq > 0 && set.UnreadAt > cmd.settings {
				return nil, &domain.Refusal{Reason: errMarkedUnread, Detail: fmt.Sprintf("by user %q in chat %q", cmd.Actor, cmd.Chat)}
			}
		}
		return cmd.advance(s, target.ID, now, func(at time.Time) time.Time {
			switch {
			case c.backdated:
				return time.Time{}
			case cmd.thread != "":
				return last.seen(s.entity(cmd.mark()).Version, at, now)
			}
			return last.of(s.entity(domain.ReceiptEntity(cmd.Actor)), now)
		})
	}
	return c.run(ctx, marking)
}

// receiptTime is when the last receipt of a user was recorded, by this process's clock.
type receiptTime struct {
	seq   domain.Seq // of a receipt whose time lies in the future
	since time.Time  // when this process saw it first
}

// of returns the time of the last receipt, zero if there is none.
func (r *receiptTime) of(receipts *entity.Versioned, now time.Time) time.Time {
	if len(receipts.Records) == 0 {
		return time.Time{}
	}
	last := receipts.Records[len(receipts.Records)-1]
	return r.seen(last.Seq, last.Event.OccurredAt(), now)
}

// seen returns the time of a receipt. One of a process whose clock is ahead counts from when it was seen first: it delays the next mark by a second,
// not by the difference of the clocks.
func (r *receiptTime) seen(seq domain.Seq, at, now time.Time) time.Time {
	if !at.After(now) {
		return at
	}
	if r.seq != seq {
		r.seq, r.since = seq, now
	}
	return r.since
}

// markCommand marks a message, on behalf of a call that gave its command id for cmd.MessageID. The mark, the receipts and the user's settings are conditions
// of the append: of two processes that decide at the same time, one decides again on the events of the other.
func markCommand(cmd readMarking, message domain.MessageID) command {
	unconditional := func(_ *state, e domain.Entity) bool { return e.Kind == domain.KindMessage }
	if cmd.thread != "" {
		return command{
			name: "mark-thread", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command, args: arguments{string(cmd.thread), string(cmd.MessageID)}, limits: cmd.limits,
			wants:         want(domain.MemberEntity(cmd.Actor), domain.MessageEntity(message), domain.MessageEntity(cmd.thread), cmd.mark()),
			unconditional: unconditional,
		}
	}
	return command{
		name: "read", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command, args: arguments{string(cmd.MessageID)}, limits: cmd.limits,
		wants: want(
			domain.MemberEntity(cmd.Actor), domain.MessageEntity(message), domain.ReadEntity(cmd.Actor), domain.ReceiptEntity(cmd.Actor),
			domain.SettingsEntity(cmd.Actor),
		),
		unconditional: unconditional,
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
