package feed

import (
	"context"
	"errors"
	"maps"
	"slices"

	"chatcore/domain"
	"chatcore/ports"
)

// readKey names a read of a page. Reads for users check which messages are deleted.
type readKey struct {
	page pageKey
	user bool
}

// pageResult is the result of a read: the events of a page that the log has.
type pageResult struct {
	events []*Event
	err    error
}

// errStale is the result of a read of a chat that has no feed any more, or whose log has lost events meanwhile.
var errStale = errors.New("the page is of no use any more")

// errDoubted is the result of a read of a chat of which the log may have lost events. The read is repeated once the log has answered.
var errDoubted = errors.New("the log may have lost events of the chat")

// startRead has a page read, unless it is being read already. The feed is woken when the read has ended.
func (h *Hub) startRead(f *Feed, c *chat, key readKey) *pageFlight {
	read, leads := h.pages.Join(key, func(waiting *[]*Feed, _ bool) bool {
		*waiting = append(*waiting, f)
		return true
	})
	if !leads {
		h.counts.pagesShared.Add(1)
		return read
	}
	h.reads.run(func() {
		h.pages.Land(key, read, h.readPage(c, key))
		for _, waiting := range h.pages.State(key, read) { // nobody joins a read that has landed
			waiting.poke()
		}
	})
	return read
}

// readPage reads a page from the log.
func (h *Hub) readPage(c *chat, key readKey) pageResult {
	p := c.part
	p.mu.Lock()
	if c.generation != key.page.generation || c.users == 0 {
		p.mu.Unlock()
		return pageResult{err: errStale}
	}
	head, gaps := c.head, c.gaps
	c.reading++
	p.mu.Unlock()

	h.counts.pagesRead.Add(1)
	page, err := h.d.Log.Read(h.ctx, c.id, ports.Range{From: key.page.index*pageSize + 1, Limit: pageSize})
	var deleted map[domain.MessageID]struct{}
	if err == nil && key.user {
		deleted, err = h.deletedIn(h.ctx, c.id, page.Records)
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	meanwhile := c.deleted
	if c.reading--; c.reading == 0 {
		c.deleted = nil
	}
	switch {
	case err != nil:
		return pageResult{err: err}
	case c.doubted && c.generation == key.page.generation:
		c.verify()
		return pageResult{err: errDoubted}
	case c.generation != key.page.generation, key.user && c.gaps != gaps: // a deletion may have been missed
		return pageResult{err: errStale}
	case page.Head < head || c.differs(page.Records):
		c.lose(page.Head)
		if n := len(page.Records); n > 0 {
			c.note(page.Records[n-1])
		}
		return pageResult{err: errStale}
	}
	for _, m := range meanwhile {
		if deleted == nil {
			deleted = make(map[domain.MessageID]struct{}, len(meanwhile))
		}
		deleted[m] = struct{}{}
	}
	events := make([]*Event, len(page.Records))
	for i, r := range page.Records {
		events[i] = newEvent(r, 0)
		if _, gone := deleted[contentOf(r.Event)]; gone {
			events[i].redact()
		}
		c.note(r)
	}
	if key.user {
		c.redact(slices.Collect(maps.Keys(deleted))...)
	}
	return pageResult{events: h.cache.put(key.page, events, key.user)}
}

// differs reports whether records that were read have another event in the place of the last one that is known. The caller holds part.mu.
func (c *chat) differs(records []ports.Record) bool {
	if len(records) == 0 || c.last < records[0].Seq || c.last > records[len(records)-1].Seq {
		return false
	}
	return records[c.last-records[0].Seq].ID != c.lastID
}

// deletedIn returns the messages that are deleted now of those that the records have content of. It takes at most two round trips.
func (h *Hub) deletedIn(ctx context.Context, chat domain.ChatID, records []ports.Record) (map[domain.MessageID]struct{}, error) {
	sent, others := make(map[domain.MessageID]struct{}), make(map[domain.MessageID]struct{})
	deleted := make(map[domain.MessageID]struct{})
	for _, r := range records {
		if e, ok := r.Event.(domain.MessageNew); ok {
			sent[e.Message] = struct{}{}
		} else if m := domain.Deletes(r.Event); m != "" {
			deleted[m] = struct{}{}
		}
	}
	for _, r := range records {
		if m := contentOf(r.Event); m != "" {
			if _, here := sent[m]; !here {
				others[m] = struct{}{}
			}
		}
	}
	if len(sent) > 0 {
		// The range has no Until: a message that was deleted after the page is a tombstone too.
		page, err := h.d.Log.Search(ctx, chat, ports.Filter{Tombstones: true}, ports.Range{From: records[0].Seq, Limit: len(sent)})
		if err != nil {
			return nil, err
		}
		for _, r := range page.Records {
			if m := contentOf(r.Event); m != "" {
				deleted[m] = struct{}{}
			}
		}
	}
	return deleted, h.addDeleted(ctx, chat, others, deleted)
}

// addDeleted adds those of the messages that are deleted now: only an erasure follows a deletion.
func (h *Hub) addDeleted(ctx context.Context, chat domain.ChatID, messages, deleted map[domain.MessageID]struct{}) error {
	var wants []ports.LoadRequest
	for m := range messages {
		if _, known := deleted[m]; !known {
			wants = append(wants, ports.LoadRequest{Entity: domain.MessageEntity(m), Latest: true})
		}
	}
	if len(wants) == 0 {
		return nil
	}
	loaded, err := h.d.Log.Load(ctx, chat, wants...)
	if err != nil {
		return err
	}
	for i, history := range loaded.Entities {
		for _, r := range history.Events {
			if m := domain.Deletes(r.Event); m != "" && wants[i].Entity == domain.MessageEntity(m) {
				deleted[m] = struct{}{}
			}
		}
	}
	return nil
}
