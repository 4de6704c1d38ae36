package memory

import (
	"context"
	"maps"
	"slices"

	"chatcore/domain"
	"chatcore/ports"
)

var (
	_ ports.Lister        = (*Log)(nil)
	_ ports.UserViewPager = (*UserView)(nil)
)

// pageAfter returns the ids behind a cursor, which is "=" and an id, and the cursor of the next page. The ids are in order.
func pageAfter[ID ~string](ids []ID, cursor string, limit int) ([]ID, string, error) {
	if cursor != "" {
		if cursor[0] != '=' {
			return nil, "", &domain.InvalidError{Field: "cursor", Problem: "is " + cursor, Allowed: "the cursor of the page before, or empty"}
		}
		i, found := slices.BinarySearch(ids, ID(cursor[1:]))
		if found {
			i++
		}
		ids = ids[i:]
	}
	if len(ids) <= limit {
		return ids, "", nil
	}
	return ids[:limit], "=" + string(ids[limit-1]), nil
}

// MemberPage implements [ports.Lister]. Its order is that of the ids.
func (l *Log) MemberPage(ctx context.Context, id domain.ChatID, cursor string, limit int) ([]domain.UserID, string, error) {
	if err := l.usable(ctx); err != nil {
		return nil, "", err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var members []domain.UserID
	if c := l.chats[id]; c != nil {
		members = slices.Sorted(slices.Values(c.members))
	}
	return pageAfter(members, cursor, limit)
}

// ChatPage implements [ports.Lister]. Its order is that of the ids.
func (l *Log) ChatPage(ctx context.Context, cursor string, limit int) ([]domain.ChatID, string, error) {
	if err := l.usable(ctx); err != nil {
		return nil, "", err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return pageAfter(slices.Sorted(maps.Keys(l.chats)), cursor, limit)
}

// LastMessages implements [ports.Lister].
func (l *Log) LastMessages(ctx context.Context, chats ...domain.ChatID) ([]ports.LastMessage, error) {
	if err := l.usable(ctx); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	found := make([]ports.LastMessage, len(chats))
	for i, id := range chats {
		c := l.chats[id]
		for _, r := range slices.Backward(c.page(ports.Range{Limit: len(l.feed) + 1}, nil)) {
			if r.Ordinal < c.ordinal(c.head()) {
				break
			}
			found[i] = ports.LastMessage{Seq: r.Seq, At: domain.Instant(r.Event.OccurredAt())}
		}
	}
	return found, nil
}

// LastRecords implements [ports.BulkReader].
func (l *Log) LastRecords(ctx context.Context, chats ...domain.ChatID) ([]ports.Record, error) {
	found := make([]ports.Record, len(chats))
	for i, chat := range chats {
		page, err := l.Search(ctx, chat, ports.Filter{Messages: true}, ports.Range{Backward: true, Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(page.Records) > 0 {
			found[i] = page.Records[0]
		}
	}
	return found, nil
}

// LoadChats implements [ports.BulkReader].
func (l *Log) LoadChats(ctx context.Context, loads ...ports.ChatLoad) ([]ports.Loaded, error) {
	found := make([]ports.Loaded, len(loads))
	for i, load := range loads {
		var err error
		if found[i], err = l.Load(ctx, load.Chat, load.Wants...); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// MembersOfChats implements [ports.BulkReader].
func (l *Log) MembersOfChats(ctx context.Context, limit int, chats ...domain.ChatID) ([][]domain.UserID, error) {
	if err := l.usable(ctx); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	found := make([][]domain.UserID, len(chats))
	for i, id := range chats {
		if c := l.chats[id]; c != nil && len(c.members) <= limit {
			found[i] = slices.Clone(c.members)
		}
	}
	return found, nil
}

// Page implements [ports.UserViewPager]. Its order is that of the ids.
func (v *UserView) Page(ctx context.Context, log string, user domain.UserID, cursor string, limit int) ([]domain.ChatID, string, error) {
	numbers, err := v.Of(ctx, log, user)
	if err != nil {
		return nil, "", err
	}
	return pageAfter(slices.Sorted(maps.Keys(numbers)), cursor, limit)
}
