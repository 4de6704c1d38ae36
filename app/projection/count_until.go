package projection

import (
	"context"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// countUntil is the log's count as of the models' seq. Its cost follows the number of messages behind after that are deleted now.
func (m *Models) countUntil(ctx context.Context, chat domain.ChatID, after domain.Seq) (ports.MessageCount, error) {
	last, err := m.log.Read(ctx, chat, ports.Range{Backward: true, Limit: 1, Until: m.until})
	if err != nil || len(last.Records) == 0 {
		return ports.MessageCount{}, err
	}
	count := ports.MessageCount{Last: last.Records[0].Seq, Head: last.Records[0].Ordinal}
	if after > 0 {
		mark, err := m.log.Read(ctx, chat, ports.Range{From: after, Backward: true, Limit: 1, Until: m.until})
		if err != nil {
			return ports.MessageCount{}, err
		}
		count.At = mark.Records[0].Ordinal
	}
	for r := (ports.Range{From: after + 1, Limit: together, Until: m.until}); ; {
		page, err := m.log.Search(ctx, chat, ports.Filter{Tombstones: true}, r)
		if err != nil || len(page.Records) == 0 {
			return count, err
		}
		deleted, err := m.deletedUntil(ctx, chat, page.Records)
		if err != nil {
			return ports.MessageCount{}, err
		}
		count.Deleted += deleted
		if len(page.Records) < r.Limit {
			return count, nil
		}
		r.From = page.Records[len(page.Records)-1].Seq + 1
	}
}

// deletedUntil returns how many of the messages that the given events sent were deleted as of the models' seq.
func (m *Models) deletedUntil(ctx context.Context, chat domain.ChatID, sends []ports.Record) (deleted domain.Ordinal, err error) {
	wants := make([]ports.LoadRequest, len(sends))
	for i, r := range sends {
		wants[i] = ports.LoadRequest{Entity: domain.MessageEntity(messageOf(r.Event)), Latest: true, Until: m.until}
	}
	loaded, err := m.log.Load(ctx, chat, wants...)
	if err != nil {
		return 0, err
	}
	for _, h := range loaded.Entities {
		if u := entity.FirstUnreadable(h.Events); u != nil {
			return 0, &u.NewerVersionError
		}
		for _, r := range h.Events {
			if domain.Deletes(r.Event) != "" {
				deleted++
			}
		}
	}
	return deleted, nil
}

// messageOf returns the id of the message that an event sent.
func messageOf(sent domain.Durable) domain.MessageID {
	switch e := sent.(type) {
	case domain.MessageNew:
		return e.Message
	case domain.Unknown:
		return e.Message
	}
	return ""
}
