package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// DeletedChat is the result of the deletion of a chat.
type DeletedChat struct {
	Done
	Members  int // removed by this call
	Messages int // erased by this call
	Held     int // messages and other events that keep their content, because a legal hold protects them
}

// evictTogether is the number of members that one append removes.
const evictTogether = 64

// DeleteChat closes a chat for good, removes all members and erases all content: the messages, titles, metadata, reasons of restrictions and data of custom events.
// Ids, times, roles, reactions and the reasons of the deletion stay. No command changes the chat any more: members are none, and [domain.ErrChatExists] is returned for
// its id. [Chats.OpenDirect] alone creates a deleted direct chat anew. Once all is erased, a second [domain.ChatDeleted] says so.
//
// Under a legal hold of the log or the chat it gives a [*domain.LegalHoldError] and changes nothing. Messages that a hold of their sender protects keep their content, as
// do other events of such an actor, and the error is that as well. A log that cannot erase gives [errors.ErrUnsupported].
//
// The deletion takes about two round trips for each message, and two for each 1,024 events. It can be given again at any time, by the same user or by a trusted caller,
// and continues where it ended. report, unless nil, is called after each erased message; if it returns an error, the deletion ends with it.
func (c *Chats) DeleteChat(ctx context.Context, cmd domain.DeleteChat, report func(domain.MessageID, Erased) error) (deleted DeletedChat, err error) {
	reason, err := domain.NewReason(cmd.Reason)
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkCommand(cmd.Command), err); err != nil {
		return DeletedChat{}, err
	}
	var last domain.Seq // of the chat that is deleted; direct chats may go on
	closing := command{
		name: "delete-chat", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command, wants: want(domain.ChatEntity()),
		args: arguments{string(reason), strconv.FormatBool(cmd.Trusted)},
		decide: func(s *state) ([]domain.Durable, error) {
			last = s.head
			return s.theChat().DeleteTrusted(cmd.Actor, reason, c.now())
		},
		append: func(ctx context.Context, a ports.Append) (ports.Appended, error) { // after the decision, so that outsiders do not learn of holds
			if err := c.checkHolds(ctx, cmd.Chat, domain.HoldSubject{}, domain.HoldSubject{Chat: cmd.Chat}); err != nil {
				return ports.Appended{}, err
			}
			return c.log.Append(ctx, a)
		},
		again: func(s *state, _ Done, _ int) { last = s.entity(domain.CommandEntity(cmd.Actor, cmd.Command)).Version },
	}
	if !cmd.Trusted {
		closing.wants.add(domain.MemberEntity(cmd.Actor))
		closing.decide = func(s *state) ([]domain.Durable, error) {
			last = s.head
			return s.theChat().Delete(s.member(cmd.Actor), reason, c.now())
		}
	}
	if deleted.Done, err = c.run(ctx, closing); err != nil {
		return deleted, err
	}
	if deleted.Changed {
		last = deleted.Seq
	}
	if deleted.Members, err = c.evict(ctx, cmd); err != nil {
		return deleted, err
	}
	var hold error
	deleted.Messages, deleted.Held, hold = c.eraseAll(ctx, cmd, last, report)
	if hold != nil && !errors.Is(hold, domain.ErrLegalHold) {
		return deleted, hold
	}
	content, err := c.eraseContent(ctx, cmd, last)
	deleted.Held += content.Held
	if content.Held > 0 {
		hold = &domain.LegalHoldError{HoldSubject: content.Hold}
	}
	return deleted, cmp.Or(err, hold)
}

// eraseContent erases what no erasure of a message does, of the events of a deleted chat up to a seq, and then records that the chat has no content.
func (c *Chats) eraseContent(ctx context.Context, cmd domain.DeleteChat, last domain.Seq) (total ports.ContentErased, err error) {
	log, ok := c.log.(ports.Eraser)
	if !ok {
		return total, fmt.Errorf("the event log cannot erase: %w", errors.ErrUnsupported)
	}
	for from, first := domain.Seq(1), true; first || from > 0; first = false {
		done, err := log.EraseContent(ctx, cmd.Chat, ports.ContentRange{From: from, Until: last})
		if err != nil {
			return total, err
		}
		total.Erased, total.Held = total.Erased+done.Erased, total.Held+done.Held
		if done.Held > 0 {
			total.Hold = done.Hold
		}
		from = done.Next
	}
	reason, err := domain.NewReason(cmd.Reason)
	if err != nil {
		return total, err
	}
	_, err = c.run(ctx, command{
		name: "empty-chat", chat: cmd.Chat, by: cmd.Actor, wants: want(domain.ChatEntity()),
		decide: func(s *state) ([]domain.Durable, error) {
			return s.theChat().Empty(cmd.Actor, reason, total.Erased > 0, c.now()), nil
		},
	})
	return total, err
}

// checkHolds returns a [*domain.LegalHoldError] if one of some subjects is under a legal hold.
func (c *Chats) checkHolds(ctx context.Context, chat domain.ChatID, subjects ...domain.HoldSubject) error {
	log, ok := c.log.(ports.HoldChecker)
	if !ok {
		return nil
	}
	held, err := log.Held(ctx, chat, subjects...)
	if err != nil {
		return err
	}
	if i := slices.Index(held, true); i >= 0 {
		return &domain.LegalHoldError{HoldSubject: subjects[i]}
	}
	return nil
}

// evict removes the members of a deleted chat and returns their number.
func (c *Chats) evict(ctx context.Context, cmd domain.DeleteChat) (n int, err error) {
	var users []domain.UserID
	for user, err := range c.log.Members(ctx, cmd.Chat) {
		if err != nil {
			return 0, err
		}
		users = append(users, user)
	}
	for some := range slices.Chunk(domain.EachOnce(users), evictTogether) {
		evict := command{name: "evict", chat: cmd.Chat, by: cmd.Actor, wants: want(domain.ChatEntity())}
		evict.wants.addMembers("", some)
		removed := 0
		evict.decide = func(s *state) ([]domain.Durable, error) {
			members := make([]domain.Member, len(some))
			for i, user := range some {
				members[i] = s.member(user)
			}
			if chat := s.theChat(); chat.Kind == domain.Direct && !chat.Deleted() {
				return nil, nil // it began again after its members were removed
			}
			events, err := s.theChat().Evict(cmd.Actor, members, c.now())
			removed = len(events)
			return events, err
		}
		if _, err := c.run(ctx, evict); err != nil {
			return n, err
		}
		n += removed
	}
	return n, nil
}

// eraseAll erases the messages of a deleted chat up to a seq. It returns the number of those that were not erased yet, and of those under a legal hold, with its
// error.
func (c *Chats) eraseAll(ctx context.Context, cmd domain.DeleteChat, last domain.Seq, report func(domain.MessageID, Erased) error) (n, held int, hold error) {
	for sent, err := range c.sends(ctx, cmd.Chat, last) {
		if err != nil {
			return n, held, err
		}
		if sent.Erased {
			continue
		}
		erased, err := c.Erase(ctx, domain.Erase{Chat: cmd.Chat, Actor: cmd.Actor, MessageID: sent.Message, Reason: cmd.Reason, Trusted: true})
		if errors.Is(err, domain.ErrLegalHold) {
			held, hold = held+1, err
			continue
		}
		if err == nil && report != nil {
			err = report(sent.Message, erased)
		}
		if err != nil {
			return n, held, err
		}
		n++
	}
	return n, held, hold
}

// sends yields the events that sent the messages of a chat up to a seq: those of the main timeline, and then those that are in threads alone.
func (c *Chats) sends(ctx context.Context, chat domain.ChatID, last domain.Seq) iter.Seq2[domain.MessageNew, error] {
	return func(yield func(domain.MessageNew, error) bool) {
		for r := (ports.Range{From: 1, Until: last, Limit: ports.MaxPage}); ; {
			page, err := c.log.Search(ctx, chat, ports.Filter{Messages: true}, r)
			if err != nil {
				yield(domain.MessageNew{}, err)
				return
			}
			for _, record := range page.Records {
				sent, _ := record.Event.(domain.MessageNew)
				if unreadable := entity.FirstUnreadable([]ports.Record{record}); unreadable != nil {
					err = &unreadable.NewerVersionError
				}
				if !yield(sent, err) || err != nil {
					return
				}
			}
			if len(page.Records) < r.Limit {
				break
			}
			r.From = page.Records[len(page.Records)-1].Seq + 1
		}
		for r, err := range recordsMoving(ctx, c.log, chat, domain.ThreadsEntity()) {
			sent, ok := r.Event.(domain.MessageNew)
			if (err != nil || ok && !sent.InTimeline() && r.Seq <= last) && !yield(sent, err) {
				return
			}
		}
	}
}
