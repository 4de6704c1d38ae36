package delivery

import (
	"time"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// Checkpoints holds checkpoints that the caller has read for one call. The zero value holds none. One of which a read has failed must not be used
// again.
type Checkpoints struct {
	known     map[string]domain.Seq
	evictions int
}

// Add adds the checkpoints of chats.
func (k *Checkpoints) Add(chats []string, seqs []domain.Seq) {
	for i, chat := range chats {
		k.known[chat] = seqs[i]
	}
}

// begin discards the checkpoints that were read before chats were evicted: they may be outdated since.
func (k *Checkpoints) begin(p *Partition) {
	if k.known == nil {
		k.known = make(map[string]domain.Seq)
	}
	if k.evictions != p.evictions {
		clear(k.known)
		k.evictions = p.evictions
	}
}

// need adds a chat to the unknown ones unless its checkpoint is known or asked for.
func (k *Checkpoints) need(unknown []string, chat string) []string {
	if _, asked := k.known[chat]; asked {
		return unknown
	}
	k.known[chat] = 0
	return append(unknown, chat)
}

// Fetched takes the entries of a read of the stream, up to last. If it needs checkpoints that are not among the known ones, it takes nothing and returns
// their chats: the caller reads and adds them, and calls again.
func (p *Partition) Fetched(records []*Record, last groups.StreamID, known *Checkpoints) (unknown []string) {
	if p.over {
		return nil
	}
	known.begin(p)
	for _, r := range records {
		if r.Seq == 0 || !p.Logged() || p.chats[r.Chat] != nil || p.left[r.Chat] == groups.Parked {
			continue
		}
		unknown = known.need(unknown, r.Chat)
	}
	if len(unknown) > 0 {
		return unknown
	}
	for _, r := range records {
		p.take(r, known.known)
	}
	p.read = last
	p.observe(last)
	p.evict()
	p.requestCommit()
	return nil
}

// take takes one entry of the stream.
func (p *Partition) take(r *Record, known map[string]domain.Seq) {
	if r.Seq == 0 || !p.Logged() {
		p.takeForeign(r)
		return
	}
	if p.left[r.Chat] == groups.Parked && p.chats[r.Chat] == nil {
		p.window.push(slot{id: r.ID})
		return
	}
	c := p.open(r.Chat, known[r.Chat])
	if c.isFinished(r.Seq) {
		c.queuedSeqAtLeast(r.Seq)
		p.window.push(slot{id: r.ID})
		return
	}
	p.window.push(slot{id: r.ID, chat: c, seq: r.Seq})
	switch {
	case c.mode == parked:
		c.knownHead = max(c.knownHead, r.Seq) // an entry without an event blocks the position otherwise, once the chat continues
	case c.mode == backfilling:
		c.arrived = true
		c.knownHead = max(c.knownHead, r.Seq)
		p.passBy(c)
		p.feed(c)
	case r.Seq <= c.queuedSeq: // twice on the stream
	case r.Seq > c.queuedSeq+1 || c.queued >= p.m.limits.share:
		p.fallBehind(c, r.Seq)
		p.passBy(c)
	default:
		r.redelivered = p.mayHaveBegun(r.ID)
		p.enqueue(c, r)
	}
}

// queuedSeqAtLeast advances the last queued seq to one that follows it and is finished.
func (c *chat) queuedSeqAtLeast(seq domain.Seq) {
	if seq == c.queuedSeq+1 && c.mode == tailing {
		c.queuedSeq = seq
	}
}

func (p *Partition) takeForeign(r *Record) {
	c := p.others
	r.Seq, r.redelivered = 0, p.mayHaveBegun(r.ID)
	if r.Half && p.Logged() && r.Broken == "" {
		r.Broken = "the entry has half of chat and seq"
	}
	p.window.push(slot{id: r.ID, chat: c, record: r})
	q := c.queueOf(r)
	q.link(r)
	p.show(q)
}

// HasRoom reports whether the window has room for another read. It lets the position of a full window pass a chat that has blocked it for long. A
// caller that waits for room asks again after some time.
func (p *Partition) HasRoom(now time.Time) bool {
	if p.window.size() < p.m.limits.window {
		return true
	}
	p.skipSlowHead(now)
	return false
}

// skipSlowHead lets the position of a full window pass a chat whose first unfinished event has blocked it for long. Entries of other programs are in no
// log and cannot be passed.
func (p *Partition) skipSlowHead(now time.Time) {
	s := p.window.head()
	if s == nil || s.record != nil || s.passable() {
		return
	}
	c := s.chat
	blocked := c.waiting > 0
	for q := c.first; q != nil && !blocked; q = q.after {
		blocked = q.inFlight && (q.head.Seq == s.seq || q.key != "" || q == &c.only) && now.Sub(q.startedAt) > heldFor
	}
	if blocked {
		p.fallBehind(c, c.queuedSeq)
		p.passBy(c)
	}
}
