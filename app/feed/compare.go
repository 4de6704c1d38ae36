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

// startComparison is compare with mu held. Until the log has answered, feeds are given no events of the chats.
func (p *partition) startComparison() {
	for _, c := range p.chats {
		c.doubted, c.unreadable = true, false
		c.doubts++
	}
	p.continueComparison()
}

// continueComparison has the log asked for the chats that are doubted. The caller holds mu.
func (p *partition) continueComparison() {
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
	if isUnreadable(err) {
		p.compareSoon()
	}
	p.mu.Unlock()
	if again {
		h.chores.run(func() { p.runComparison(1) })
	}
}

// compareSoon has the heads of chats that could not be read compared again. The caller holds mu.
func (p *partition) compareSoon() {
	if p.later {
		return
	}
	p.later = true
	time.AfterFunc(nextComparison(), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.later = false
		for _, c := range p.chats {
			if c.doubted {
				p.startComparison()
				return
			}
		}
	})
}

// compareHeads reads the heads of the doubted chats, in one round trip for each 64 chats. Feeds read what they have missed. A chat whose log has lost
// events is given a new beginning; one read for each chat of which an event is known finds those whose head does not show it. If a chat cannot be read,
// compareHeads compares the others, and returns the error.
func (p *partition) compareHeads(ctx context.Context) error {
	h := p.hub
	var doubts []doubt
	var loads []ports.ChatLoad
	others := 0
	p.mu.Lock()
	for _, c := range p.chats {
		switch {
		case c.known && c.doubted:
			doubts, loads = append(doubts, c.doubt()), append(loads, ports.ChatLoad{Chat: c.id})
		case c.known:
			others++
		}
	}
	p.mu.Unlock()
	if len(doubts) == 0 {
		return nil
	}
	history := h.history(ctx)
	loaded, unreadable := make([]ports.Loaded, len(loads)), make([]error, len(loads))
	if err := h.loadHeads(ctx, loads, loaded, unreadable); err != nil {
		return err
	}
	changed := h.history(ctx) != history
	p.mu.Lock()
	defer p.mu.Unlock()
	if changed { // the heads may be of either history
		p.startComparison()
		return nil
	}
	if history != p.history && others > 0 { // which are compared as well
		p.startComparison()
		return nil
	}
	for i, d := range doubts {
		c, head := d.chat, loaded[i].Head
		switch {
		case d.isOver():
		case unreadable[i] != nil:
			c.cannotBeRead()
		case head < d.head:
			c.lose(d.latest(head))
		case c.last > 0: // the log may have lost events and gone on since, in the same history if older data was restored in place
			c.verify()
		case history != p.history: // no event is known that could be compared
			c.lose(d.latest(head))
		default:
			c.trust(d.latest(head))
		}
	}
	p.history = history
	return errors.Join(unreadable...)
}

// doubt is what is known of a chat when the log is asked whether it has lost events of the chat.
type doubt struct {
	chat       *chat
	generation uint64
	doubts     int
	notices    int
	head, last domain.Seq
}

// doubt returns what is known of the chat. The caller holds part.mu, as it does for the methods below.
func (c *chat) doubt() doubt {
	return doubt{chat: c, generation: c.generation, doubts: c.doubts, notices: c.notices, head: c.head, last: c.last}
}

// isOver reports whether the log's answer is of no use: it has lost events meanwhile, as far as is known, or has to be asked again.
func (d doubt) isOver() bool { return d.chat.generation != d.generation || d.chat.doubts != d.doubts }

// latest returns the last seq of the chat, from the one that the log has answered and the events that were heard since it was asked.
func (d doubt) latest(answered domain.Seq) domain.Seq {
	if d.chat.notices == d.notices {
		return answered
	}
	return max(answered, d.chat.heard)
}

// trust has the followers of a chat that has lost nothing go on to a seq.
func (c *chat) trust(head domain.Seq) {
	c.doubted, c.unreadable = false, false
	if head > c.head {
		c.skipTo(head)
	}
	for _, s := range c.followers {
		if !s.live {
			s.feed.poke()
		}
	}
}

// cannotBeRead has the followers read what is new in a chat, or what they have missed of it, and thereby find that it cannot be read. If there is nothing
// new, those that are live wait.
func (c *chat) cannotBeRead() {
	c.unreadable = true
	if c.heard > c.head {
		c.skipTo(c.heard)
	}
	for _, s := range c.followers {
		s.feed.poke()
	}
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

// verify asks the log for the last event that is known of the chat. If it has another one in its place, or ends before, it has lost events. If none is known,
// and the chat is not doubted, the log may have lost events only if its history is another one. The caller holds part.mu.
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
	d := c.doubt()
	used, doubted := c.users > 0, c.doubted
	p.mu.Unlock()
	var page ports.Page
	var err error
	history := ""
	switch {
	case !used:
	case d.last == 0 && !doubted:
		history = h.history(h.ctx)
	default:
		page, err = h.d.Log.Read(h.ctx, c.id, ports.Range{From: max(d.last, 1), Limit: 1})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c.verifying = false
	switch {
	case !used:
	case c.doubts != d.doubts:
		if c.doubted {
			c.verify()
		}
	case c.generation != d.generation:
	case d.last == 0 && !doubted:
		if history != p.history {
			p.startComparison()
		}
	case err != nil:
		c.notVerified(err)
	case page.Head < d.head, d.last > 0 && len(page.Records) == 0:
		c.lose(d.latest(page.Head))
	case d.last > 0 && d.last == c.last && page.Records[0].ID != c.lastID:
		c.lose(d.latest(page.Head))
		c.note(page.Records[0])
	case c.doubted:
		c.trust(d.latest(page.Head))
	}
}

// notVerified has the log asked again after an error, unless the chat cannot be read.
func (c *chat) notVerified(err error) {
	p, h := c.part, c.part.hub
	switch {
	case h.ctx.Err() != nil:
	case !isUnreadable(err):
		time.AfterFunc(retryReads.Pause(3), func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			c.verify()
		})
	case c.doubted:
		c.cannotBeRead()
		p.compareSoon()
	}
}
