package feed

import (
	"slices"
	"sync"

	"chatcore/domain"
)

// pageSize is the number of events of a page. Page i of a chat has the seqs from i·pageSize+1 on.
const pageSize = 64

// pageKey names a page of one generation of a chat: see [chat].
type pageKey struct {
	generation uint64
	index      domain.Seq
}

func keyOf(generation uint64, seq domain.Seq) pageKey {
	return pageKey{generation, (seq - 1) / pageSize}
}

// page holds consecutive events of a page, not always all. The chat's events are appended as they are heard, and so does the last page grow.
type page struct {
	key          pageKey
	events       []*Event // readers hold parts of it: it only grows
	checked      bool     // whether events whose message is deleted are redacted
	bytes        int      // of memory, at the last count
	newer, older *page
}

func (p *page) first() domain.Seq { return p.events[0].Record.Seq }
func (p *page) last() domain.Seq  { return p.events[len(p.events)-1].Record.Seq }

// pageCache keeps the events that feeds may need next, up to a number of bytes of memory: it drops the pages first that were used longest ago.
type pageCache struct {
	limit int

	// mu guards the fields below, and the fields of the pages.
	mu    sync.Mutex
	chats map[uint64]map[domain.Seq]*page // by generation and index
	bytes int
	ends  page // ends.older is the newest page, ends.newer the oldest
}

func newPageCache(limit int) *pageCache {
	c := &pageCache{limit: limit, chats: make(map[uint64]map[domain.Seq]*page)}
	c.ends.newer, c.ends.older = &c.ends, &c.ends
	return c
}

// after returns cached events of a chat that follow a seq without a gap, of one page. For users it returns only events of pages that are checked.
func (c *pageCache) after(generation uint64, seq domain.Seq, user bool) []*Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.find(keyOf(generation, seq+1))
	if p == nil || user && !p.checked || p.first() > seq+1 || p.last() <= seq {
		return nil
	}
	c.use(p)
	c.count(p)
	c.shrink()
	return p.events[seq+1-p.first():]
}

// at returns a cached event, or nil.
func (c *pageCache) at(generation uint64, seq domain.Seq) *Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.find(keyOf(generation, seq)); p != nil && p.first() <= seq && seq <= p.last() {
		return p.events[seq-p.first()]
	}
	return nil
}

// append adds an event that was heard, unless it leaves a gap behind the cached events of its page: a feed that needs it then reads the page.
func (c *pageCache) append(generation uint64, e *Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := keyOf(generation, e.Record.Seq)
	p := c.find(key)
	switch {
	case p == nil:
		c.insert(&page{key: key, events: []*Event{e}, checked: true})
	case p.last()+1 == e.Record.Seq:
		p.events = append(p.events, e)
		p.bytes += e.held()
		c.bytes += e.held()
		c.use(p)
		c.shrink()
	}
}

// put adds the events of a page that was read. Events that the page has already are kept in their place, so that feeds share their encodings. It returns
// the events with those that were heard during the read.
func (c *pageCache) put(key pageKey, events []*Event, checked bool) []*Event {
	if len(events) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.find(key); known != nil {
		for i, e := range events {
			if seq := e.Record.Seq; known.first() <= seq && seq <= known.last() {
				same := known.events[seq-known.first()]
				if e.redacted.Load() != nil {
					same.redact()
				}
				events[i] = same
			}
		}
		last := events[len(events)-1].Record.Seq
		if known.first() <= last+1 && last < known.last() {
			events = append(events, known.events[last+1-known.first():]...)
		}
		c.remove(known)
	}
	c.insert(&page{key: key, events: events, checked: checked})
	return events
}

// redact redacts the cached events of messages of a chat.
func (c *pageCache) redact(generation uint64, messages ...domain.MessageID) {
	if len(messages) == 0 {
		return
	}
	c.each(generation, func(p *page) {
		for _, e := range p.events {
			if m := contentOf(e.Record.Event); m != "" && slices.Contains(messages, m) {
				e.redact()
			}
		}
	})
}

// uncheck has the pages of a chat read again for users: messages may have been deleted since.
func (c *pageCache) uncheck(generation uint64) {
	c.each(generation, func(p *page) { p.checked = false })
}

// forget drops the pages of a chat.
func (c *pageCache) forget(generation uint64) { c.each(generation, c.remove) }

func (c *pageCache) each(generation uint64, fn func(*page)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.chats[generation] {
		fn(p)
	}
}

// The methods below are called with mu held.

func (c *pageCache) find(key pageKey) *page { return c.chats[key.generation][key.index] }

func (c *pageCache) insert(p *page) {
	if c.chats[p.key.generation] == nil {
		c.chats[p.key.generation] = make(map[domain.Seq]*page, 1)
	}
	c.chats[p.key.generation][p.key.index] = p
	p.newer, p.older = &c.ends, c.ends.older
	p.newer.older, p.older.newer = p, p
	c.count(p)
	c.shrink()
}

// count counts the memory of a page again: encodings of its events are made after it was read.
func (c *pageCache) count(p *page) {
	c.bytes -= p.bytes
	p.bytes = 0
	for _, e := range p.events {
		p.bytes += e.held()
	}
	c.bytes += p.bytes
}

func (c *pageCache) remove(p *page) {
	delete(c.chats[p.key.generation], p.key.index)
	if len(c.chats[p.key.generation]) == 0 {
		delete(c.chats, p.key.generation)
	}
	c.bytes -= p.bytes
	p.newer.older, p.older.newer = p.older, p.newer
}

func (c *pageCache) use(p *page) {
	p.newer.older, p.older.newer = p.older, p.newer
	p.newer, p.older = &c.ends, c.ends.older
	p.newer.older, p.older.newer = p, p
}

func (c *pageCache) shrink() {
	for c.bytes > c.limit && c.ends.newer != &c.ends {
		c.remove(c.ends.newer)
	}
}
