package app

import (
	"context"
	"errors"
	"fmt"
	"strconv"

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
// the reason of a deletion. A message that is not deleted yet is deleted by the same command. What remains is a tombstone with ids, times and
// [domain.MessageErased]. Erased already, it changes nothing. A log that cannot erase gives [errors.ErrUnsupported].
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
