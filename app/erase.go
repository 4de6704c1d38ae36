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
// An erasure takes two round trips to the log, and one if this process has just sent the message or has it in its cache with its events. It counts against [LimitDelete], unless it is trusted.
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
