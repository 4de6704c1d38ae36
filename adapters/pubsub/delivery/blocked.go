package delivery

import (
	"cmp"
	"strings"
	"time"

	"chatcore/ports/groups"
)

// reportAfter is how long a chat is blocked by transient failures or postponed events before it is reported. Short outages stay out of the store and the log.
const reportAfter = 10 * time.Second

// blockage is the reason why a queue makes no progress. It begins with the first failure or the start of the slow handler, and ends when a handler
// succeeds or fails in another way.
type blockage struct {
	reason   groups.BlockReason
	since    time.Time
	failures int // transient ones in a row
	cause    string
	reported bool // it is counted, and in the store or in the next commit
}

// hold keeps a queue's head for another handler start that does not count as an attempt.
func (p *Partition) hold(q *queue, reason groups.BlockReason, o Outcome, now time.Time) {
	r := q.head
	r.redelivered, r.tried = true, true
	q.wait(true)
	q.reserved = false
	p.block(q, reason, now, clip(o.Cause))
	b := q.blocked
	b.failures++
	if r.attempts > 0 || p.m.config.Order != ByChat { // the next start may have been recorded as an attempt; other queues finish events beyond this one
		p.markDirty(q.chat)
	}
	next := now.Add(cmp.Or(o.After, p.m.pause(b.failures, min(p.m.config.Retry.Max, transientMax))))
	switch due := b.since.Add(reportAfter); {
	case reason == groups.BlockedNewer || !now.Before(due):
		p.report(q)
	case next.After(due):
		p.m.after(due, func(time.Time) {
			if q.blocked == b && !p.over {
				p.report(q)
			}
		})
	}
	p.retryAt(q, next)
}

// block records why a queue makes no progress. A queue that is already blocked keeps the earlier time.
func (p *Partition) block(q *queue, reason groups.BlockReason, since time.Time, cause string) {
	b := q.blocked
	if b == nil {
		q.blocked = &blockage{reason: reason, since: since, cause: cause}
		return
	}
	if b.reported && (b.reason != reason || b.cause != cause) {
		p.m.event(Event{Kind: BlockedCount, Reason: b.reason, Count: -1})
		p.m.event(Event{Kind: BlockedCount, Reason: reason, Count: 1})
		p.markDirty(q.chat)
	}
	b.reason, b.cause = reason, cause
	if since.Before(b.since) {
		b.since = since
	}
}

// report makes a blockage visible: in the group's state, in a count and as an event.
func (p *Partition) report(q *queue) {
	b := q.blocked
	if b.reported || !q.tracked() {
		return
	}
	b.reported = true
	p.m.event(Event{Kind: BlockedCount, Reason: b.reason, Count: 1})
	p.markDirty(q.chat)
	p.m.event(Event{Kind: ChatBlocked, Partition: p, Chat: q.chat.id, Seq: q.head.Seq, Reason: b.reason, Since: b.since, Cause: b.cause})
}

// inherit continues a blockage that an earlier owner has reported, except a slow handler, which ran in the earlier owner's process.
func (c *chat) inherit(q *queue, f groups.Failure) {
	switch f.Reason {
	case "":
	case groups.BlockedSlow:
		c.p.markDirty(c)
	default:
		q.blocked = &blockage{reason: f.Reason, since: f.Since, cause: f.Cause, reported: true}
		c.p.m.event(Event{Kind: BlockedCount, Reason: f.Reason, Count: 1})
	}
}

// unblock ends a queue's blockage, if there is one.
func (p *Partition) unblock(q *queue) {
	b := q.blocked
	if b == nil {
		return
	}
	q.blocked = nil
	if b.reported {
		p.m.event(Event{Kind: BlockedCount, Reason: b.reason, Count: -1})
		p.markDirty(q.chat)
	}
}

// unblockSlow ends a queue's blockage by a slow handler.
func (p *Partition) unblockSlow(q *queue) {
	if q.blocked != nil && q.blocked.reason == groups.BlockedSlow {
		p.unblock(q)
	}
}

// reportSlow reports the chats whose handlers run for longer than the bound. A handler of an earlier lease blocks the queue that is delivered under the
// present one.
func (m *Member) reportSlow(now time.Time) {
	for running := m.flights.first; running != nil && now.Sub(running.startedAt) >= m.config.Slow; running = running.nextFlight {
		q := running
		if q.chat.p.over {
			if q = m.successor(q); q == nil {
				continue
			}
		}
		q.chat.p.block(q, groups.BlockedSlow, running.startedAt, "")
		q.chat.p.report(q)
	}
}

// clip bounds the text of an error that is stored.
func clip(text string) string {
	const most = 256
	text = strings.ToValidUTF8(text, "�")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
