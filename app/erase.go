package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// Erased is the result of an erasure.
type Erased struct {
	Done
	// Attachments are those of all revisions of the message. The files lie elsewhere: the caller deletes them. A repetition returns none.
	Attachments []domain.Attachment
}

// Erase removes the content of a message and of all its revisions from the log: content, mentions, attachments, client metadata, the reply's target and
// the reason of a deletion. A message that is not deleted yet is deleted by the same command. A tombstone with ids, times and
// [domain.MessageErased] stays. Erased already, it changes nothing. A log that cannot erase gives [errors.ErrUnsupported].
//
// An erasure takes two round trips to the log. It counts against [LimitDelete], unless it is trusted.
func (c *Chats) Erase(ctx context.Context, cmd domain.Erase) (Erased, error) {
	reason, err := domain.NewReason(cmd.Reason)
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkMessage(cmd.MessageID), checkCommand(cmd.Command), err); err != nil {
		return Erased{}, err
	}
	log, ok := c.log.(ports.Eraser)
	if !ok {
		return Erased{}, fmt.Errorf("the event log cannot erase: %w", errors.ErrUnsupported)
	}
	var erased Erased
	erase := command{
		name: "erase", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command,
		wants: want(domain.MessageEntity(cmd.MessageID)),
		args:  arguments{string(cmd.MessageID), string(reason), strconv.FormatBool(cmd.Trusted)},
		append: func(ctx context.Context, a ports.Append) (ports.Appended, error) {
			if len(a.Events) == 0 { // of a command that changes nothing
				return c.log.Append(ctx, a)
			}
			found, err := log.Erase(ctx, ports.Erasure{Append: a, Message: cmd.MessageID})
			erased.Attachments = attachmentsOf(found.Events)
			return found.Appended, err
		},
	}
	if cmd.Trusted {
		erase.decide = func(s *state) ([]domain.Durable, error) {
			return s.message(cmd.MessageID).EraseTrusted(cmd.Actor, reason, c.now())
		}
	} else {
		erase.wants.add(domain.MemberEntity(cmd.Actor))
		erase.limits = c.limitsOf(cmd.Actor, cmd.Chat, LimitDelete)
		erase.decide = func(s *state) ([]domain.Durable, error) {
			return s.message(cmd.MessageID).Erase(s.member(cmd.Actor), reason, c.now())
		}
	}
	erased.Done, err = c.run(ctx, erase)
	return erased, err
}

// DeletedChat is the result of the deletion of a chat.
type DeletedChat struct {
	Done
	Members  int // removed by this call
	Messages int // erased by this call
}

// evictTogether is the number of members that one append removes.
const evictTogether = 64

// DeleteChat closes a chat for good, removes all members and erases all messages. No command changes the chat any more: members are none, and
// [domain.ErrChatExists] is returned for its id. [Chats.OpenDirect] alone creates a deleted direct chat anew. Titles, metadata and custom events stay in the log.
//
// The deletion takes about two round trips for each message. It can be given again at any time, by the same user or by a trusted caller, and continues where it
// ended. report, unless nil, is called after each erased message; if it returns an error, the deletion ends with it.
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
	deleted.Messages, err = c.eraseAll(ctx, cmd, last, report)
	return deleted, err
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

// eraseAll erases the messages of a deleted chat up to a seq, and returns the number of those that were not erased yet.
func (c *Chats) eraseAll(ctx context.Context, cmd domain.DeleteChat, last domain.Seq, report func(domain.MessageID, Erased) error) (n int, err error) {
	for r := (ports.Range{From: 1, Limit: ports.MaxPage}); ; {
		page, err := c.log.Search(ctx, cmd.Chat, ports.Filter{Messages: true}, r)
		if err != nil {
			return n, err
		}
		for _, record := range page.Records {
			if unreadable := entity.FirstUnreadable([]ports.Record{record}); unreadable != nil {
				return n, &unreadable.NewerVersionError
			}
			sent, _ := record.Event.(domain.MessageNew)
			if record.Seq > last {
				return n, nil
			}
			if sent.Erased {
				continue
			}
			erased, err := c.Erase(ctx, domain.Erase{Chat: cmd.Chat, Actor: cmd.Actor, MessageID: sent.Message, Reason: cmd.Reason, Trusted: true})
			if err == nil && report != nil {
				err = report(sent.Message, erased)
			}
			if err != nil {
				return n, err
			}
			n++
		}
		if len(page.Records) < r.Limit {
			return n, nil
		}
		r.From = page.Records[len(page.Records)-1].Seq + 1
	}
}

// attachmentsOf returns the attachments of all events, each once.
func attachmentsOf(events []ports.Record) []domain.Attachment {
	var all []domain.Attachment
	seen := make(map[domain.Attachment]struct{})
	for _, r := range events {
		var attachments []domain.Attachment
		switch e := r.Event.(type) {
		case domain.MessageNew:
			attachments = e.Attachments
		case domain.MessageEdit:
			attachments = e.Attachments
		}
		for _, a := range attachments {
			if _, twice := seen[a]; !twice {
				seen[a] = struct{}{}
				all = append(all, a)
			}
		}
	}
	return all
}
