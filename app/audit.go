package app

import (
	"cmp"
	"context"
	"iter"
	"math"
	"slices"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// firstAudit is the number of events that an audit reads first: one more than a page of [MaxList], for callers that page.
const firstAudit = MaxList + 1

// Audit yields the events of a chat with their actors (see [domain.Actor]), oldest first: every event as it was recorded, also of messages edited or
// deleted later. Iteration stops at the first error; [domain.ErrChatNotFound] if there is no such chat. Events up to about.After are not read, unless they
// are of the message that about names: of that one they are read and left out.
func (q *Queries) Audit(ctx context.Context, chat domain.ChatID, about domain.Audit) iter.Seq2[ports.Record, error] {
	return func(yield func(ports.Record, error) bool) {
		if err := checkAudit(chat, about); err != nil {
			yield(ports.Record{}, err)
			return
		}
		if about.Message != "" {
			q.auditMessage(ctx, chat, about, yield)
			return
		}
		for r := (ports.Range{From: min(about.After, math.MaxUint64-1) + 1, Limit: firstAudit}); ; {
			page, err := q.auditPage(ctx, chat, about.User, r)
			if err != nil {
				yield(ports.Record{}, err)
				return
			}
			for _, record := range page.Records {
				if !yield(record, nil) {
					return
				}
				r.From = record.Seq + 1
			}
			if len(page.Records) < r.Limit {
				return
			}
			r.Limit = ports.MaxPage
		}
	}
}

// auditPage returns a page of all events, or of those that concern a user.
func (q *Queries) auditPage(ctx context.Context, chat domain.ChatID, user domain.UserID, r ports.Range) (ports.Page, error) {
	if user == "" {
		return q.read(ctx, chat, r)
	}
	return q.search(ctx, chat, ports.Filter{User: user}, r)
}

// auditMessage follows the links of the message and of its reactions.
func (q *Queries) auditMessage(ctx context.Context, chat domain.ChatID, about domain.Audit, yield func(ports.Record, error) bool) {
	loaded, err := q.log.Load(ctx, chat,
		ports.LoadRequest{Entity: domain.MessageEntity(about.Message), Until: q.until, Whole: true},
		ports.LoadRequest{Entity: domain.ReactionsEntity(about.Message), Until: q.until, Whole: true},
	)
	if err == nil {
		err = entity.Found(chat, loaded.Head)
	}
	if err != nil {
		yield(ports.Record{}, err)
		return
	}
	records := slices.Concat(loaded.Entities[0].Events, loaded.Entities[1].Events)
	if len(records) == 0 {
		yield(ports.Record{}, noMessage(chat, about.Message))
		return
	}
	slices.SortFunc(records, func(a, b ports.Record) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, r := range records {
		if r.Seq > about.After && !yield(r, nil) {
			return
		}
	}
}

func checkAudit(chat domain.ChatID, a domain.Audit) error {
	if a.Message != "" && a.User != "" {
		return &domain.InvalidError{Field: "message and user", Problem: "are given together", Allowed: "one of them, or neither"}
	}
	if err := checkChat(chat); err != nil {
		return err
	}
	switch {
	case a.User != "":
		return checkUsers([]domain.UserID{a.User})
	case a.Message != "":
		return checkMessage(a.Message)
	}
	return nil
}
