package feed

import (
	"context"
	"errors"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// Lost implements [ports.TailWatcher].
func (p *partition) Lost(int) {
	p.hub.counts.losts.Add(1)
	p.compare()
}

// compare has the heads of the followed chats compared with those of the log.
func (p *partition) compare() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.startComparison()
}

// startComparison is compare with mu held.
func (p *partition) startComparison() {
	if p.comparing {
		p.again = true
		return
	}
	p.comparing = true
	p.hub.chores.run(func() { p.runComparison(1) })
}

func (p *partition) runComparison(attempt int) {
	p.mu.Lock()
	p.again = false
	p.mu.Unlock()
	h := p.hub
	err := p.compareHeads(h.ctx)
	if err != nil && !isUnreadable(err) && h.ctx.Err() == nil {
		h.d.Logger.WarnContext(h.ctx, "heads of followed chats could not be read", "partition", p.index, "error", err)
		time.AfterFunc(retryReads.Pause(attempt), func() { h.chores.run(func() { p.runComparison(attempt + 1) }) })
		return
	}
	p.mu.Lock()
	again := p.again
	p.comparing = again
	if isUnreadable(err) && !p.later {
		p.later = true
		time.AfterFunc(nextComparison(), p.compareLater)
	}
	p.mu.Unlock()
	if again {
		h.chores.run(func() { p.runComparison(1) })
	}
}

// compareLater compares the heads again, for the sake of chats that could not be read.
func (p *partition) compareLater() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.later = false
	if len(p.chats) > 0 {
		p.startComparison()
	}
}

// compareHeads reads the heads of the followed chats, in one round trip for each 64 chats. Feeds read what they have missed. A chat whose log has lost
// events is given a new beginning; one read for each chat of which an event is known finds those whose head does not show it. If a chat cannot be read,
// compareHeads compares the others, and returns the error.
func (p *partition) compareHeads(ctx context.Context) error {
	h := p.hub
	var chats []*chat
	var heads []domain.Seq
	var generations []uint64
	var loads []ports.ChatLoad
	p.mu.Lock()
	for _, c := range p.chats {
		if c.known {
			chats, heads, loads = append(chats, c), append(heads, c.head), append(loads, ports.ChatLoad{Chat: c.id})
			generations = append(generations, c.generation)
		}
	}
	p.mu.Unlock()
	if len(chats) == 0 {
		return nil
	}
	history := h.history(ctx)
	loaded, unreadable := make([]ports.Loaded, len(loads)), make([]error, len(loads))
	if err := h.loadHeads(ctx, loads, loaded, unreadable); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, c := range chats {
		if unreadable[i] != nil {
			continue
		}
		switch head := loaded[i].Head; {
		case head < heads[i]:
			c.lose(head)
		case head > c.head:
			c.skipTo(head)
		}
		switch { // the log may have lost events and gone on since, in the same history if older data was restored in place
		case c.last > 0:
			c.verify()
		case history != p.history && c.generation == generations[i]: // no event is known that could be compared
			c.lose(loaded[i].Head)
		}
	}
	p.history = history
	return errors.Join(unreadable...)
}

// loadHeads reads the last seqs of chats. It sets an error for each chat that cannot be read. The log answers for many chats or for none: if one of them
// cannot be read, loadHeads reads each half.
func (h *Hub) loadHeads(ctx context.Context, loads []ports.ChatLoad, loaded []ports.Loaded, unreadable []error) error {
	found, err := h.d.Log.LoadChats(ctx, loads...)
	switch {
	case !isUnreadable(err):
		copy(loaded, found)
		return err
	case len(loads) == 1:
		h.noteUnreadable(loads[0].Chat, err)
		unreadable[0] = err
		return nil
	}
	half := len(loads) / 2
	if err := h.loadHeads(ctx, loads[:half], loaded[:half], unreadable[:half]); err != nil {
		return err
	}
	return h.loadHeads(ctx, loads[half:], loaded[half:], unreadable[half:])
}

// history returns the name of the log's present history: see [ports.Histories].
func (h *Hub) history(ctx context.Context) string {
	if log, ok := h.d.Log.(ports.Histories); ok {
		return log.History(ctx)
	}
	return ""
}

// verify asks the log for the last event that is known of the chat. If it has another one in its place, it has lost events. If none is known, the log may
// have lost events only if its history is another one. The caller holds part.mu.
func (c *chat) verify() {
	if c.verifying {
		return
	}
	c.verifying = true
	c.part.hub.chores.run(c.runVerification)
}

func (c *chat) runVerification() {
	p, h := c.part, c.part.hub
	p.mu.Lock()
	seq, generation := c.last, c.generation
	used := c.users > 0
	p.mu.Unlock()
	var page ports.Page
	var err error
	history := ""
	switch {
	case !used:
	case seq == 0:
		history = h.history(h.ctx)
	default:
		page, err = h.d.Log.Read(h.ctx, c.id, ports.Range{From: seq, Limit: 1})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c.verifying = false
	switch {
	case !used || c.generation != generation:
	case seq == 0:
		if history != p.history {
			p.startComparison()
		}
	case err != nil:
		if !errors.Is(err, ports.ErrCorrupt) && h.ctx.Err() == nil {
			time.AfterFunc(retryReads.Pause(3), func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				c.verify()
			})
		}
	case len(page.Records) == 0:
		c.lose(page.Head)
	case seq == c.last && page.Records[0].ID != c.lastID:
		c.lose(page.Head)
		c.note(page.Records[0])
	}
}
