package delivery

import (
	"time"

	"chatcore/ports"
	"chatcore/ports/groups"
)

// Pace of the head scan. docs/decisions.md has its cost.
const (
	scanPage  = 256                   // the most chats of one comparison
	scanFirst = 10 * time.Millisecond // between two comparisons of a member, and of a partition until its first pass is complete
	scanEvery = time.Second           // between two comparisons of a partition after its first pass
	scanPass  = 180                   // comparisons that a later pass is spread over, if scanPage allows
	scanAwait = 50 * time.Millisecond // between two checks whether the stream was read up to a comparison's tail
	scanTail  = 20                    // checks after which the stream's last entry is read again: the tail may have been deleted
)

// headScan compares the heads of a partition's chats with the group's checkpoints, page after page, for as long as the member owns the partition. It
// finds chats whose last events have no entry on the stream: an append was interrupted, or an entry was deleted.
type headScan struct {
	cursor uint64
	due    time.Time // of the next comparison
	page   int       // chats of the next comparison
	passes int       // completed since the partition was acquired

	ahead []ports.ChatHead // heads beyond their checkpoints; their entries may still be unread
	tail  groups.StreamID  // last entry of the stream at that moment
	waits int              // checks whether the stream was read up to it
}

// Scan is the next step of the comparison of a partition's heads with the group's checkpoints. A member takes one step at a time, for all of its
// partitions: this bounds the load of the first passes after an acquire.
type Scan struct {
	Partition *Partition    // nil if nothing is due
	Wait      time.Duration // until the next call of NextScan, after the step

	// Resolve says that the step is a call of [Partition.Resolved]. Otherwise Count heads are compared from Cursor on, and [Partition.Compared]
	// or [Partition.ScanFailed] is called.
	Resolve bool
	Cursor  uint64
	Count   int
}

// NextScan returns the step that is due first.
func (m *Member) NextScan(now time.Time) Scan {
	p := m.nextScan()
	if p == nil {
		return Scan{Wait: scanEvery}
	}
	if wait := p.scan.due.Sub(now); wait > 0 {
		return Scan{Wait: min(wait, scanEvery)}
	}
	if len(p.scan.ahead) == 0 {
		count := p.scan.page
		if count == 0 {
			count = scanPage
		}
		return Scan{Partition: p, Wait: scanFirst, Cursor: p.scan.cursor, Count: count}
	}
	if !p.hasRead(p.scan.tail) {
		p.scan.due = now.Add(scanAwait)
		if p.scan.waits++; p.scan.waits%scanTail == 0 {
			return Scan{Partition: p, Wait: scanFirst, Cursor: p.scan.cursor, Count: 1}
		}
		return Scan{Wait: scanFirst}
	}
	return Scan{Partition: p, Wait: scanFirst, Resolve: true}
}

// nextScan returns the owned partition whose step is due first, nil if there is none. It leaves out a partition that is walked, because a walk checks
// every chat anyway.
func (m *Member) nextScan() *Partition {
	var next *Partition
	for _, a := range m.assignments {
		p := a.owned
		if p == nil || p.draining || p.walking || !p.Logged() {
			continue
		}
		if next == nil || p.scan.due.Before(next.scan.due) {
			next = p
		}
	}
	return next
}

// hasRead reports whether every entry up to id was taken into the window, or is before the position.
func (p *Partition) hasRead(id groups.StreamID) bool {
	return p.read.Compare(id) >= 0 || p.position.Compare(id) >= 0
}

// Compared takes a page of heads that are beyond their checkpoints. count is how many chats were asked for, and tail the stream's last entry at that
// moment.
func (p *Partition) Compared(page ports.HeadPage, tail groups.StreamID, count int, now time.Time) {
	h := &p.scan
	switch {
	case p.over:
		return
	case len(h.ahead) > 0: // the heads of the comparison before wait for its tail
		if tail.Compare(h.tail) < 0 {
			h.tail = tail
		}
		return
	case page.Err != nil:
		p.m.event(Event{Kind: HoleFound, Partition: p, Err: page.Err})
	case page.Next == 0:
		p.m.event(Event{Kind: HoleClosed, Partition: p})
	}
	h.cursor, h.ahead, h.tail, h.waits = page.Next, page.Ahead, tail, 0
	if page.Next == 0 {
		h.passes++
	}
	wait := scanFirst
	if h.passes > 0 {
		h.page = min(max(page.Total/scanPass, 16), scanPage)
		wait = scanEvery * time.Duration(max(1, page.Compared/max(count, 1))) // a small set is returned as a whole
	}
	if len(h.ahead) > 0 {
		wait = 0
	}
	h.due = now.Add(wait)
}

// ScanFailed records that a step has failed: it is taken again.
func (p *Partition) ScanFailed(now time.Time) { p.scan.due = now.Add(scanEvery) }

// Resolved feeds chats from the log if the log has more events of them than the stream has, as far as it was read. Until that is done they count as
// left behind, for those who inspect the group. If it needs checkpoints, it takes nothing and returns their chats.
func (p *Partition) Resolved(known *Checkpoints, now time.Time) (unknown []string) {
	if p.over {
		return nil
	}
	if unknown = p.unknownHeads(p.scan.ahead, known); len(unknown) > 0 {
		return unknown
	}
	behind, events := p.feedHeads(p.scan.ahead, known)
	p.scan.ahead = nil
	p.scan.due = now.Add(scanFirst)
	if p.scan.passes > 0 {
		p.scan.due = now.Add(scanEvery)
	}
	if len(behind) == 0 {
		return nil
	}
	for _, c := range behind {
		p.passBy(c)
	}
	p.evict()
	p.m.event(Event{Kind: UnstreamedEvents, Partition: p, Chats: len(behind), Count: int(events)}) //nolint:gosec // a count
	return nil
}
