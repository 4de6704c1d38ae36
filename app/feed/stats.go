package feed

import "sync/atomic"

// Stats are the counts of a hub since its start, and the present numbers of feeds and chats.
type Stats struct {
	Feeds      int // open now
	Chats      int // that feeds follow now
	Partitions int // that have such a chat

	CachedBytes int // about how much memory the cached events take

	Queued            uint64 // live events, once for each feed that they were queued for
	PagesRead         uint64 // reads of the log
	PagesShared       uint64 // uses of a page that was read for another feed, or heard
	GapsFilled        uint64 // events that were heard too late or not at all, and read instead: once for each chat and gap
	Doubles           uint64 // events that were heard again
	EphemeralsQueued  uint64 // typing and status events, once for each feed that they were queued for
	EphemeralsDropped uint64 // the same, that were left out: a queue was half full, or too many statuses waited
	Malformed         uint64 // ephemeral events that could not be decoded
	Slow              uint64 // feeds that ended because of a slow reader
	Resyncs           uint64 // chats whose log had lost events, and positions of readers that were not of the log
	Losts             uint64 // partitions whose tail had lost events
	Unreadable        uint64 // chats that feeds could not follow because they could not be read: about once for each chat
}

// counters are the counts of [Stats].
type counters struct {
	queued, pagesRead, pagesShared, gaps, doubles, ephemerals, ephemeralsDropped, malformed, slow, resyncs, losts, unreadable atomic.Uint64
}

// Stats returns the counts.
func (h *Hub) Stats() Stats {
	c := &h.counts
	s := Stats{
		Queued: c.queued.Load(), PagesRead: c.pagesRead.Load(), PagesShared: c.pagesShared.Load(), GapsFilled: c.gaps.Load(), Doubles: c.doubles.Load(),
		EphemeralsQueued: c.ephemerals.Load(), EphemeralsDropped: c.ephemeralsDropped.Load(), Malformed: c.malformed.Load(), Slow: c.slow.Load(),
		Resyncs: c.resyncs.Load(), Losts: c.losts.Load(), Unreadable: c.unreadable.Load(),
	}
	h.cache.mu.Lock()
	s.CachedBytes = h.cache.bytes
	h.cache.mu.Unlock()
	h.mu.Lock()
	s.Feeds = len(h.feeds)
	h.mu.Unlock()
	for _, p := range h.partitions {
		p.mu.Lock()
		if n := len(p.chats); n > 0 {
			s.Chats += n
			s.Partitions++
		}
		p.mu.Unlock()
	}
	return s
}
