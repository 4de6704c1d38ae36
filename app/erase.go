package app

import (
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

// Erased is the result of an erasure.
type Erased struct {
	Done
	// Attachments are those of all revisions of the message. The files lie elsewhere: the caller deletes them. A repetition returns none.
	Attachments []domain.Attachment
}

// Erase removes the content of a message and of all its revisions from the log: content, mentions, attachments, client metadata, the reply's target and
// the reason of a deletion. A message that is not deleted yet is deleted by the same command. A tombstone with ids, times and
// [domain.MessageErased] stays. Erased already, it changes nothing. A log that cannot erase gives [errors.ErrUnsupported].
// Under a legal hold of the log, the chat or the sender it gives a [*domain.LegalHoldError], and changes nothing.
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
	var known []ports.Record // of the message, unless its state was cached without them
	erase := command{
		name: "erase", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command,
		wants: want(domain.MessageEntity(cmd.MessageID)),
		args:  arguments{string(cmd.MessageID), string(reason), strconv.FormatBool(cmd.Trusted)},
		append: func(ctx context.Context, a ports.Append) (ports.Appended, error) {
			if len(a.Events) == 0 { // of a command that changes nothing
				return c.log.Append(ctx, a)
			}
			found, err := log.Erase(ctx, ports.Erasure{Append: a, Message: cmd.MessageID, Known: known})
			erased.Attachments = attachmentsOf(found.Events)
			return found.Appended, err
		},
	}
	message := func(s *state) domain.Message {
		known = s.entity(domain.MessageEntity(cmd.MessageID)).Known()
		return s.message(cmd.MessageID)
	}
	if cmd.Trusted {
		erase.decide = func(s *state) ([]domain.Durable, error) { return message(s).EraseTrusted(cmd.Actor, reason, c.now()) }
	} else {
		erase.wants.add(domain.MemberEntity(cmd.Actor))
		erase.limits = c.limitsOf(cmd.Actor, cmd.Chat, LimitDelete)
		erase.decide = func(s *state) ([]domain.Durable, error) {
			return message(s).Erase(s.member(cmd.Actor), reason, c.now())
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
	Held     int // that stay, because a legal hold protects them
}

// evictTogether is the number of members that one append removes.
const evictTogether = 64

// DeleteChat closes a chat for good, removes all members and erases all messages. No command changes the chat any more: members are none, and
// [domain.ErrChatExists] is returned for its id. [Chats.OpenDirect] alone creates a deleted direct chat anew. Titles, metadata and custom events stay in the log.
//
// Under a legal hold of the log or the chat it gives a [*domain.LegalHoldError] and changes nothing. Messages that a hold of their sender protects stay, and the
// error is that as well.
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
	deleted.Messages, deleted.Held, err = c.eraseAll(ctx, cmd, last, report)
	return deleted, err
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

// entityLog is the part of an event log that returns the events of entities.
type entityLog interface {
	Load(ctx context.Context, chat domain.ChatID, wants ...ports.LoadRequest) (ports.Loaded, error)
}

// sendsMoving yields the events that sent messages and moved an entity, newest first.
func sendsMoving(ctx context.Context, log entityLog, chat domain.ChatID, e domain.Entity) iter.Seq2[domain.MessageNew, error] {
	return func(yield func(domain.MessageNew, error) bool) {
		for r, err := range recordsMoving(ctx, log, chat, e) {
			if sent, ok := r.Event.(domain.MessageNew); (ok || err != nil) && !yield(sent, err) {
				return
			}
		}
	}
}

// recordsMoving yields the events that moved an entity, newest first.
func recordsMoving(ctx context.Context, log entityLog, chat domain.ChatID, e domain.Entity) iter.Seq2[ports.Record, error] {
	return func(yield func(ports.Record, error) bool) {
		want := ports.LoadRequest{Entity: e, Last: ports.MaxPage / 4}
		for {
			loaded, err := log.Load(ctx, chat, want)
			if err != nil {
				yield(ports.Record{}, err)
				return
			}
			h := loaded.Entities[0]
			if unreadable := entity.FirstUnreadable(h.Events); unreadable != nil {
				yield(ports.Record{}, &unreadable.NewerVersionError)
				return
			}
			for _, r := range slices.Backward(h.Events) {
				if !yield(r, nil) {
					return
				}
			}
			if want.From = h.Older; want.From == 0 {
				return
			}
		}
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
