package live

import (
	"slices"
	"sync"
	"sync/atomic"

	"chatcore/adapters/wireformat"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// maxPending is the highest number of bytes of announcements that wait for a read of the stream. Beyond it the read gives their events.
const maxPending = 4 << 20

// partition is what the tail knows of a partition that is watched. It lives until nobody watches it any more; a later watch makes another one.
type partition struct {
	tail  *Tail
	index int
	TailPartition

	ready chan struct{} // closed once last is known

	users, uses int   // watchers, those that Watch has not returned yet too, and how often there were none any more; guarded by Tail.mu
	node        *node // nil before it is placed; guarded by Tail.mu

	home         atomic.Pointer[node] // the node, without Tail.mu
	moved        atomic.Bool          // the stream has to be read at a new node
	unsubscribed atomic.Bool          // the server has ended the subscription

	// mu guards: all below. It is held while watchers are called, so that their calls are in order.
	mu         sync.Mutex
	watchers   []*watcher
	subscribed bool            // the server has confirmed the subscription
	known      bool            // whether last is set
	last       groups.StreamID // the last entry up to which everything was passed on
	highest    groups.StreamID // the highest last so far
	unread     bool            // the stream may have entries after last that nobody announces
	lost       bool            // entries after last are gone, or too many: last has to be taken anew
	behind     int             // entries passed on by reads that did not reach the end of the stream
	pending    []string        // announcements that do not follow last
	bytes      int             // of pending
	read       int             // of pending that were there before the present read of the stream began
	parsed     wireformat.Announcement
	notices    []ports.Notice
}

// watcher is one watch. Two of them may have the same TailWatcher.
type watcher struct{ ports.TailWatcher }

func newPartition(t *Tail, index int) *partition {
	return &partition{tail: t, index: index, TailPartition: t.config.Partitions[index], ready: make(chan struct{})}
}

// add adds a watcher, which hears everything after last. leave removes it, and returns when it is not called any more.
func (p *partition) add(w ports.TailWatcher) (leave func()) {
	added := &watcher{w}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watchers = append(p.watchers, added)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.watchers = slices.DeleteFunc(p.watchers, func(other *watcher) bool { return other == added })
	}
}

// close removes all watchers.
func (p *partition) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watchers = nil
}

// moveTo has the node read the stream from now on.
func (p *partition) moveTo(n *node) {
	p.home.Store(n)
	p.moved.Store(true)
	p.unsubscribed.Store(false)
}

// wake has the present node read.
func (p *partition) wake() {
	if n := p.home.Load(); n != nil {
		n.wake()
	}
}

// confirmed is called once the server has confirmed the subscription.
func (p *partition) confirmed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.subscribed, p.unread = true, true
	p.wake()
}

// resubscribed implements [receiver].
func (p *partition) resubscribed() { p.confirmed() }

// evicted implements [receiver].
func (p *partition) evicted() {
	p.unsubscribed.Store(true)
	p.tail.misplaced()
}

// message implements [receiver]. payload is an announcement.
func (p *partition) message(payload string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tail.announcements.Add(1)
	defer p.forget()
	if err := p.parsed.Parse(payload); err != nil {
		p.tail.malformed.Add(1)
		p.unread = true
		p.wake()
		return
	}
	if p.known && !p.lost {
		if p.pass(&p.parsed) {
			return
		}
		if len(p.pending) == 0 {
			p.tail.holes.Add(1)
		}
	}
	if p.bytes += len(payload); p.bytes > maxPending {
		p.pending, p.bytes, p.read = nil, 0, 0
	} else {
		p.pending = append(p.pending, payload)
	}
	p.unread = true
	p.wake()
}

// pass passes on the events of an announcement after last. It reports whether the announcement is done: nothing is missing between last and its events, or
// they are all known.
func (p *partition) pass(a *wireformat.Announcement) bool {
	events := a.Events
	switch {
	case events[len(events)-1].ID.Compare(p.last) <= 0:
		return true
	case a.Previous == p.last:
	default:
		at := slices.IndexFunc(events, func(e wireformat.Announced) bool { return e.ID == p.last })
		if at < 0 {
			return false
		}
		events = events[at+1:]
	}
	p.notices = p.notices[:0]
	for i := range events {
		p.notices = append(p.notices, ports.Notice{Chat: events[i].Chat, Seq: events[i].Seq, JSON: events[i].JSON})
	}
	p.reached(events[len(events)-1].ID)
	p.notify()
	return true
}

// forget keeps no announcement in memory longer than watchers do.
func (p *partition) forget() { clear(p.parsed.Events) }

// notify calls the watchers with the notices.
func (p *partition) notify() {
	if len(p.notices) == 0 {
		return
	}
	for _, w := range p.watchers {
		w.Appended(p.index, p.notices)
	}
	clear(p.notices)
}

// next returns what has to be read now: the last entry of the stream, or the entries after an id, or nothing.
func (p *partition) next() (last, entries bool, after groups.StreamID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unread = p.moved.Swap(false) || p.unread
	if !p.known && !p.subscribed {
		return false, false, p.last
	}
	if !p.known || p.lost { // what is appended after the read is announced
		p.unread = false
		return true, false, p.last
	}
	if entries, p.unread = p.unread, false; entries {
		p.read = len(p.pending)
	}
	return false, entries, p.last
}

// retry has the next read include the partition.
func (p *partition) retry() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unread = true
}

// begin takes the last entry of the stream as the last known one. Watchers hear that entries before it may be lost.
func (p *partition) begin(last groups.StreamID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reached(last)
	p.behind = 0
	if p.lost {
		p.lost = false
		p.tail.losts.Add(1)
		for _, w := range p.watchers {
			w.Lost(p.index)
		}
	}
	if !p.known {
		p.known = true
		close(p.ready)
	}
	p.read = 0
	p.drain(false)
}

// took passes on the entries that were read after an id, and announcements that follow them. The first entry is the one with that id, if the stream still has
// it. more reports whether the stream may have more.
func (p *partition) took(after groups.StreamID, entries []entry, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost || !p.known {
		return
	}
	if !p.continues(after, entries) || p.restored(entries) {
		p.lost = true
		return
	}
	p.notices = p.notices[:0]
	for _, e := range entries {
		if e.id.Compare(p.last) <= 0 {
			continue
		}
		p.reached(e.id)
		p.behind++
		if e.notice.Seq > 0 {
			p.notices = append(p.notices, e.notice)
		}
	}
	p.tail.found.Add(uint64(len(p.notices)))
	p.notify()
	if !more {
		p.behind = 0
	}
	if p.behind > p.tail.config.Bound {
		p.lost = true
		return
	}
	p.unread = p.unread || more
	p.drain(!more)
}

// continues reports whether entries that were read after an id, up to the end of the stream at that time or the bound of a read, show that nothing is missing
// after last.
func (p *partition) continues(after groups.StreamID, entries []entry) bool {
	if p.last == (groups.StreamID{}) || slices.ContainsFunc(entries, func(e entry) bool { return e.id == p.last }) {
		return true
	}
	older := len(entries) == 0 || entries[len(entries)-1].id.Compare(p.last) < 0
	return older && p.last != after // announcements have come since the read: each followed the one before
}

// restored reports whether entries after last are not above all that there were before: older data has come back, or a server whose clock is behind has added
// them. Watchers must not hear events again, and have to look for new ones.
func (p *partition) restored(entries []entry) bool {
	return slices.ContainsFunc(entries, func(e entry) bool { return e.id.Compare(p.last) > 0 && e.id.Compare(p.highest) <= 0 })
}

// reached sets the last entry up to which everything was passed on.
func (p *partition) reached(id groups.StreamID) {
	if p.last = id; id.Compare(p.highest) > 0 {
		p.highest = id
	}
}

// drain passes on the pending announcements that follow last. end reports that the stream was read to its end: announcements that were there before then name
// entries that the stream has lost.
func (p *partition) drain(end bool) {
	defer p.forget()
	waiting := p.pending
	p.pending, p.bytes = nil, 0
	for i, text := range waiting {
		if p.parsed.Parse(text) != nil || p.pass(&p.parsed) || end && i < p.read {
			continue
		}
		p.pending = append(p.pending, text)
		p.bytes += len(text)
	}
	p.read = 0
	if len(p.pending) > 0 {
		p.unread = true
	}
}
