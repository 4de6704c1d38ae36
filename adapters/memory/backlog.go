package memory

import (
	"context"
	"maps"
	"slices"

	"chatcore/ports"
)

var _ ports.Backlog = (*Log)(nil)

// ListHeads implements [ports.Backlog]: there is one partition, and it is given whole.
func (l *Log) ListHeads(ctx context.Context, _ int, _ uint64) (heads []ports.ChatHead, next uint64, total int, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(l.chats)) {
		heads = append(heads, ports.ChatHead{Chat: id, Head: l.chats[id].head()})
	}
	return heads, 0, len(heads), nil
}

// ReadRaw implements [ports.Backlog].
func (l *Log) ReadRaw(ctx context.Context, _ int, _ string, stretches []ports.EventRange) (pages []ports.EncodedPage, witness string, err error) {
	pages = make([]ports.EncodedPage, len(stretches))
	for i, s := range stretches {
		page, err := l.Read(ctx, s.Chat, ports.Range{From: max(s.From, 1), Limit: min(s.Limit, ports.MaxPage)})
		if err != nil {
			return nil, "", err
		}
		pages[i].Head = page.Head
		for _, r := range page.Records {
			encoded, err := l.codec.Encode(r.ID, r.Event, r.Meta)
			if err != nil {
				return nil, "", err
			}
			pages[i].Events = append(pages[i].Events, encoded.Splice(r.Seq, r.Ordinal))
		}
	}
	return pages, "", nil
}

// CompareHeads implements [ports.Backlog]. Deliveries in memory are read from the log itself, so none can be missing.
func (l *Log) CompareHeads(ctx context.Context, _ int, _ string, _ uint64, _ int) (ports.HeadPage, error) {
	return ports.HeadPage{}, ctx.Err()
}
