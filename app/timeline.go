package app

import (
	"context"

	"chatcore/domain"
	"chatcore/ports"
)

// timelinePage is how many events are read at a time for a history with changes.
const timelinePage = 256

// timeline returns the messages of a range and the changes of the chat among them, in its order.
func (q *Queries) timeline(ctx context.Context, chat domain.ChatID, r ports.Range) ([]MessageView, error) {
	records, err := q.selected(ctx, chat, r, timelinePage, func(record ports.Record) bool {
		return domain.InTimeline(record.Event) || isChange(record.Event)
	})
	if err != nil {
		return nil, err
	}
	var sends []ports.Record
	for _, record := range records {
		if domain.InTimeline(record.Event) {
			sends = append(sends, record)
		}
	}
	messages, err := q.viewsOf(ctx, chat, sends)
	if err != nil {
		return nil, err
	}
	views := make([]MessageView, len(records))
	for i, record := range records {
		if domain.InTimeline(record.Event) {
			views[i], messages = messages[0], messages[1:]
			continue
		}
		views[i].Message = domain.Message{Chat: chat, Seq: record.Seq, Sender: domain.Actor(record.Event), SentAt: record.Event.OccurredAt()}
		views[i].Change = &records[i]
	}
	return views, nil
}

// isChange reports whether an event is a change that a history shows to all members.
func isChange(e domain.Durable) bool {
	switch e := e.(type) {
	case domain.ChatUpdate, domain.ChatPolicy, domain.MessagePin:
		return true
	case domain.MemberRestriction:
		return e.Kind != domain.Block
	}
	return false
}
