package delivery

import "slices"

// checkInside checks that the counts and lists of a member agree with each other.
func (w *world) checkInside(n *node) {
	running, blocked := 0, 0
	for l := n.m.flights.first; l != nil; l = l.nextFlight {
		running++
		if !l.inFlight || l.head == nil || !l.head.inFlight {
			w.fail("a queue among the flights is not in flight")
		}
	}
	if running != n.m.inFlight {
		w.fail("%s counts %d records in flight, and has %d", n.name, n.m.inFlight, running)
	}
	queued := make(map[*queue]bool)
	for _, l := range n.m.ready.items[n.m.ready.first:] {
		queued[l] = true
	}
	for _, a := range n.m.assignments {
		if a.owned != nil {
			blocked += w.checkPartition(a.owned, queued)
		}
	}
	if blocked != w.blocked[n] {
		w.fail("%s has reported %d blocked chats, and has %d", n.name, w.blocked[n], blocked)
	}
}

// counts of a partition or of a chat.
type counts struct{ queued, running, waiting, retried, loaded, behind, blocked int }

func (w *world) checkPartition(p *Partition, ready map[*queue]bool) (blocked int) {
	limits := &p.m.limits
	var sum counts
	slots := make(map[*chat]int)
	for _, s := range p.window.slots[p.window.first:] {
		slots[s.chat]++
	}
	for _, l := range p.stalled {
		ready[l] = true
	}
	chats := append(slices.Collect(func(yield func(*chat) bool) {
		for c := p.first; c != nil && yield(c); c = c.next {
		}
	}), p.others)
	for _, c := range chats {
		n := w.checkChat(c, ready)
		if c.slots != slots[c] {
			w.fail("%q counts %d slots, and has %d", c.id, c.slots, slots[c])
		}
		sum.running += n.running
		sum.waiting += n.waiting
		sum.retried += n.retried
		sum.loaded += n.loaded
		sum.behind += n.behind
		sum.blocked += n.blocked
	}
	if len(chats)-1 != len(p.chats) {
		w.fail("%v lists %d chats, and has %d", p, len(chats)-1, len(p.chats))
	}
	if sum.running != p.running || sum.waiting != p.waiting || sum.retried != p.retried || sum.loaded != p.loaded || sum.behind != p.behind {
		w.fail("%v counts running %d, waiting %d, loaded %d, behind %d, and has %+v", p, p.running, p.waiting, p.loaded, p.behind, sum)
	}
	if n := len(p.heldBack); n > len(p.chats)+1 {
		w.fail("%d chats are held back of %d", n, len(p.chats))
	}
	if n := p.window.size(); n >= limits.window+mostRead {
		w.fail("the window has %d entries", n)
	}
	if letters := len(p.retrying); p.retried >= 2*limits.waiting+w.config.Concurrency+2+letters { // an earlier owner had as many
		w.fail("%d records are tried again", p.retried)
	}
	return sum.blocked
}

func (w *world) checkChat(c *chat, ready map[*queue]bool) (n counts) {
	for _, l := range c.held.items[c.held.first:] {
		ready[l] = true
	}
	for l := c.first; l != nil; l = l.after {
		if l.reserved && !l.inFlight && c.p.m.config.Concurrency == 0 {
			w.fail("a start of %q is recorded although none begins", c.id)
		}
		records := 0
		for r := l.head; r != nil; r = r.next {
			records++
			if r.counted {
				n.loaded++
			}
			if r.queue != l || r.next == nil && l.tail != r {
				w.fail("%q has a record in two queues, or after its tail", c.id)
			}
			if r.next != nil && r.letter == "" && r.next.letter == "" && r.next.Seq <= r.Seq && r.Seq > 0 {
				w.fail("%q has %d after %d", c.id, r.next.Seq, r.Seq)
			}
		}
		if n.queued += records; records != l.queued {
			w.fail("a queue of %q counts %d records, and has %d", c.id, l.queued, records)
		}
		if l.inFlight {
			n.running++
		}
		if l.waiting {
			n.waiting++
		}
		if l.retried {
			n.retried++
		}
		if l.blocked != nil && l.blocked.reported {
			n.blocked++
		}
		if l.head == nil && l != &c.only {
			w.fail("%q keeps a queue without records", c.id)
		}
		if l.head != nil && !l.inFlight && !l.waiting && !ready[l] {
			w.fail("nothing starts %q/%d", c.id, l.head.Seq)
		}
		if l.waiting && l.inFlight {
			w.fail("%q/%d waits in flight", c.id, l.head.Seq)
		}
	}
	if c.mode == backfilling && !c.hole {
		n.behind = 1
	}
	if n.queued != c.queued || n.running != c.running || n.waiting != c.waiting || n.retried != c.retried {
		w.fail("%q counts queued %d, running %d, waiting %d, and has %+v", c.id, c.queued, c.running, c.waiting, n)
	}
	if most := c.p.m.config.ChatConcurrency; most > 0 && c.p.m.config.Order != ByChat && c.running > most {
		w.fail("%q has %d records in flight", c.id, c.running)
	}
	last := c.ackedSeq
	for _, r := range c.done {
		if r.From <= last+1 && r.From <= last || r.To < r.From {
			w.fail("%q has finished %v after %d", c.id, c.done, c.ackedSeq)
		}
		last = r.To + 1
	}
	return n
}
