package archive

import (
	"context"
	"fmt"

	"chatcore/adapters/vault/object"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

const (
	readChats = 64 // chats that are read from the log together
	pageChats = 64 // chats of a tail whose events are in memory together
)

// stretch is a part of a chat's log: the events from a seq on, up to a seq or the end.
type stretch struct {
	chat     domain.ChatID
	from, to domain.Seq
}

// read returns the events of stretches of a partition, of each up to its end or the head of the chat.
func (a *Archiver) read(ctx context.Context, p *partition, wanted ...stretch) ([][]object.Event, error) {
	found := make([][]object.Event, len(wanted))
	open := make([]int, 0, len(wanted))
	for i, w := range wanted {
		if w.from <= w.to {
			open = append(open, i)
		}
	}
	for len(open) > 0 {
		some := open[:min(len(open), readChats)]
		ranges := make([]ports.EventRange, len(some))
		for k, i := range some {
			from := wanted[i].from + domain.Seq(len(found[i]))
			ranges[k] = ports.EventRange{Chat: wanted[i].chat, From: from, Limit: int(min(wanted[i].to-from+1, ports.MaxPage))} //nolint:gosec // at most MaxPage
		}
		pages, _, err := a.config.Log.ReadRaw(ctx, p.number, "", ranges)
		if err != nil {
			return nil, err
		}
		left := open[len(some):]
		for k, i := range some {
			more, err := eventsOf(ranges[k], pages[k])
			if err != nil {
				return nil, err
			}
			found[i] = append(found[i], more...)
			if len(more) > 0 && wanted[i].from+domain.Seq(len(found[i])) <= wanted[i].to {
				left = append(left, i)
			}
		}
		open = left
	}
	return found, nil
}

// Segment returns the events of the log that a segment of a chat has or will have, fewer if the log has not all of them.
func (a *Archiver) Segment(ctx context.Context, partition int, chat domain.ChatID, number uint64) ([]object.Event, error) {
	first := domain.Seq(number*object.SegmentEvents + 1)
	found, err := a.read(ctx, a.partitions[partition], stretch{chat, first, first + object.SegmentEvents - 1})
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// eventsOf returns the events of a page.
func eventsOf(r ports.EventRange, page ports.EncodedPage) ([]object.Event, error) {
	if page.Err != nil {
		return nil, page.Err
	}
	events := make([]object.Event, len(page.Events))
	for i, json := range page.Events {
		seq := r.From + domain.Seq(i) //nolint:gosec // an index
		placed, err := wireformat.PeekPlaced(json)
		if err == nil && placed.Seq != seq {
			err = fmt.Errorf("the entry is that of seq %d", placed.Seq)
		}
		if err != nil {
			return nil, &ports.CorruptError{Chat: r.Chat, Seq: seq, Cause: err}
		}
		events[i] = object.Event{ID: placed.ID, Ordinal: placed.Ordinal, JSON: json}
	}
	return events, nil
}

// heads calls fn with the heads of pages of a partition's chats. A chat may come twice.
func (a *Archiver) heads(ctx context.Context, p *partition, fn func(heads []ports.ChatHead) error) error {
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		heads, next, _, err := a.config.Log.ListHeads(ctx, p.number, cursor)
		if err != nil {
			return err
		}
		for _, h := range heads {
			if h.Err != nil {
				return h.Err
			}
		}
		if err := fn(heads); err != nil {
			return err
		}
		cursor = next
	}
	return nil
}
