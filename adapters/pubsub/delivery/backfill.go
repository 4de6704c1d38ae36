package delivery

import (
	"slices"
	"time"

	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

const holePause = 2 * time.Second // between two attempts to read a missing part of the log; an operator has to repair the log meanwhile

// Step is the next step of a partition that catches up from the log: at most one of its fields is set. There is nothing to do if none is.
type Step struct {
	Pages *PageRequest // read these, then call [Partition.Backfilled] or [Partition.BackfillFailed]
	Open  []string     // read the checkpoints of these chats, then call [Partition.Opened] or [Partition.OpenFailed]
	Walk  bool         // list chats from Cursor on, then call [Partition.Walked], or [Partition.WalkFailed] if the log lacks chats

	Cursor uint64
}

// PageRequest is a request for a page of events of each of several chats.
type PageRequest struct {
	Known  groups.StreamID // entry that must still exist; zero for none
	Ranges []ports.EventRange

	chats []*chat
	seen  []domain.Seq
}

// Page is the answer for one chat: its events from the first seq that was asked for on, without a gap.
type Page struct {
	Records []*Record
	Head    domain.Seq
	Err     error // the events cannot be read; the page is empty then
}

// NextStep returns the next step. Its result has to be reported before the next call, except a walk that could not be made: it is the next step again.
func (p *Partition) NextStep() Step {
	limits := &p.m.limits
	if n := min(len(p.backfilling), limits.pageChats); n > 0 {
		chats := slices.Clone(p.backfilling[:n])
		p.backfilling = append(p.backfilling[:0], p.backfilling[n:]...)
		return Step{Pages: p.request(chats)}
	}
	if p.behind >= limits.behind || p.loaded >= limits.window {
		return Step{}
	}
	if n := min(len(p.names), limits.behind-p.behind); n > 0 {
		names := p.names[:n:n]
		p.names = p.names[n:]
		return Step{Open: names}
	}
	return Step{Walk: p.walking, Cursor: p.cursor}
}

func (p *Partition) request(chats []*chat) *PageRequest {
	r := &PageRequest{chats: chats, Ranges: make([]ports.EventRange, len(chats)), seen: make([]domain.Seq, len(chats))}
	if n := len(p.seen); n > 0 && p.seen[n-1].Compare(p.cutOff) >= 0 {
		r.Known = p.seen[n-1]
	}
	for i, c := range chats {
		r.seen[i], c.arrived = c.knownHead, false
		r.Ranges[i] = ports.EventRange{Chat: domain.ChatID(c.id), From: c.queuedSeq + 1, Limit: p.m.limits.pageEvents}
	}
	return r
}

// Backfilled takes the pages of a request. witness is the last entry of the stream at that moment, zero if there was none.
func (p *Partition) Backfilled(r *PageRequest, pages []Page, witness groups.StreamID, now time.Time) {
	if p.over {
		return
	}
	p.observe(witness)
	for i, c := range r.chats {
		if err := pages[i].Err; err != nil {
			p.m.event(Event{Kind: HoleFound, Partition: p, Chat: c.id, Err: err})
			p.feedLater(c, now)
			continue
		}
		p.closeHole(c)
		p.fill(c, pages[i], r.Ranges[i].From, r.seen[i])
	}
}

// BackfillFailed records that the pages could not be read: they are asked for again.
func (p *Partition) BackfillFailed(r *PageRequest) { p.backfilling = append(p.backfilling, r.chats...) }

// Opened opens chats that were left behind.
func (p *Partition) Opened(names []string, checkpoints []domain.Seq) {
	for i, name := range names {
		if p.left[name] == groups.Behind {
			p.open(name, checkpoints[i])
		}
	}
}

// OpenFailed records that the checkpoints could not be read: they are asked for again.
func (p *Partition) OpenFailed(names []string) { p.names = append(names, p.names...) }

// feed requests more of the log if a chat that is behind runs low.
func (p *Partition) feed(c *chat) {
	if c.mode == backfilling && !c.filling && c.queued-c.retried < p.m.limits.low {
		c.filling = true
		p.backfilling = append(p.backfilling, c)
		p.wake(false, true)
	}
}

// fill adds a page of the log to a chat, and makes the chat live again once nothing is missing. seen is the seq that was known to exist when the
// page was requested: the page lacks later events.
func (p *Partition) fill(c *chat, page Page, from, seen domain.Seq) {
	c.filling = false
	if c.mode != backfilling || from != c.queuedSeq+1 { // parked or moved meanwhile
		p.feed(c)
		return
	}
	if len(page.Records) > 0 {
		for _, r := range page.Records {
			r.redelivered = p.hadOwner
			p.enqueue(c, r)
		}
		c.knownHead = max(c.knownHead, c.queuedSeq) // the chat stays left behind until all passed events are finished
		p.m.event(Event{Kind: EventsBackfilled, Partition: p, Count: len(page.Records)})
	}
	known := c.queuedSeq
	if !c.arrived { // otherwise what is known to exist may be later than the page
		known = max(known, seen)
	}
	if (c.queuedSeq >= page.Head || len(page.Records) == 0) && c.knownHead <= known {
		p.caughtUp(c)
	}
	p.feed(c)
}

// caughtUp makes a chat live again. Events that are known to exist and are not in the log were entries of the stream without an event.
func (p *Partition) caughtUp(c *chat) {
	if c.knownHead > c.queuedSeq {
		p.m.event(Event{Kind: PhantomEntries, Partition: p, Count: int(c.knownHead - c.queuedSeq)}) //nolint:gosec // a count
		c.knownHead = c.queuedSeq
		p.window.free(c, c.queuedSeq)
		p.requestCommit()
	}
	c.mode = tailing
	p.behind--
	p.wake(false, true)
	if c.savedMark != groups.Streamed || c.skipped {
		p.markDirty(c)
	}
}

// feedLater schedules, after a pause, another read of the log for a chat whose next events cannot be read. The chat does not count among those that
// catch up: chats with holes would exclude others.
func (p *Partition) feedLater(c *chat, now time.Time) {
	if c.mode == backfilling && !c.hole {
		c.hole = true
		p.behind--
		p.wake(false, true)
	}
	p.m.after(now.Add(holePause), func(time.Time) {
		if c.filling = false; !p.over {
			p.feed(c)
		}
	})
}

// closeHole ends a chat's hole.
func (p *Partition) closeHole(c *chat) {
	if !c.hole {
		return
	}
	c.hole = false
	p.m.event(Event{Kind: HoleClosed, Partition: p, Chat: c.id})
	if c.mode == backfilling {
		p.behind++
	}
}

// startWalk starts a check of every chat of the partition.
func (p *Partition) startWalk() {
	p.again = p.walking
	if !p.walking {
		p.walking, p.walked, p.cursor = true, 0, 0
		p.walk = groups.Walk{Changed: true, Active: true}
		p.requestCommit()
	}
	p.wake(false, true)
}

// Walked checks one page of the partition's chats for chats that are behind. At the end of the last page, those that still are become left behind in
// the store too, so that no later owner has to walk for them. If it needs checkpoints, it takes nothing and returns their chats.
func (p *Partition) Walked(heads []ports.ChatHead, next uint64, total int, known *Checkpoints) (unknown []string) {
	if p.over {
		return nil
	}
	if unknown = p.unknownHeads(heads, known); len(unknown) > 0 {
		return unknown
	}
	p.feedHeads(heads, known)
	p.evict()
	p.walked += len(heads)
	p.walk = groups.Walk{Changed: true, Active: true, Checked: p.walked, Total: max(total, p.walked)}
	if p.cursor = next; next == 0 {
		p.endWalk()
	}
	p.requestCommit()
	p.m.event(Event{Kind: HoleClosed, Partition: p})
	return nil
}

// WalkFailed records that the log lacks chats, with the error that names them. Once it is repaired, all chats are checked from the beginning.
func (p *Partition) WalkFailed(err error) {
	p.m.event(Event{Kind: HoleFound, Partition: p, Err: err})
	p.cursor, p.walked = 0, 0
}

func (p *Partition) unknownHeads(heads []ports.ChatHead, known *Checkpoints) (unknown []string) {
	known.begin(p)
	for _, h := range heads {
		if chat := string(h.Chat); p.chats[chat] == nil && p.left[chat] == groups.Streamed {
			unknown = known.need(unknown, chat)
		}
	}
	return unknown
}

// feedHeads feeds every chat from the log whose head is beyond its queued events. It returns the chats that were fed from the stream until now, and
// the number of their events that the stream has not delivered.
func (p *Partition) feedHeads(heads []ports.ChatHead, known *Checkpoints) (behind []*chat, events uint64) {
	for _, h := range heads {
		id := string(h.Chat)
		c := p.chats[id]
		switch {
		case c == nil && p.left[id] != groups.Streamed: // a step opens it
			continue
		case c == nil && known.known[id] >= h.Head && h.Err == nil:
			continue
		case c == nil:
			c = p.open(id, known.known[id])
		}
		if c.mode == parked || c.queuedSeq >= h.Head && h.Err == nil {
			continue
		}
		head := max(c.queuedSeq, h.Head) // the head is unknown if it is missing
		if c.mode == tailing {
			behind, events = append(behind, c), events+uint64(head-c.queuedSeq)
		}
		p.fallBehind(c, head)
	}
	return behind, events
}

// endWalk is called when every chat was checked. Unfinished events that were read from the log may not be in the stream: from here on only the mark
// of their chat shows them.
func (p *Partition) endWalk() {
	for c := p.first; c != nil; c = c.next {
		if c.mode == backfilling || c.mode == tailing && c.queuedSeq > c.ackedSeq {
			c.knownHead = max(c.knownHead, c.queuedSeq)
			p.passBy(c)
		}
	}
	p.walking, p.walked = p.again, 0
	p.walk = groups.Walk{Changed: true, Active: p.again}
	p.again, p.scan = false, headScan{passes: 1}
	p.m.event(Event{Kind: WalkEnded, Partition: p})
}
