package pubsub

import (
	"context"
	"errors"
	"time"

	"chatcore/ports"
)

// Pace of the head scan. docs/decisions.md has its cost.
const (
	scanPage  = 256                   // the most chats of one comparison
	scanFirst = 10 * time.Millisecond // between two comparisons of a member, and of a partition until its first pass is complete
	scanEvery = time.Second           // between two comparisons of a partition after its first pass
	scanPass  = 180                   // comparisons that a later pass is spread over, if scanPage allows
	scanAwait = 50 * time.Millisecond // between two checks whether the stream was read up to a comparison's tail
)

// headScan compares the heads of a partition's chats with the group's checkpoints, page after page, for as long as the member owns the partition. It
// finds chats whose last events have no entry on the stream: an append was interrupted, or an entry was deleted. The member's mutex guards it.
type headScan struct {
	cursor uint64
	due    time.Time // of the next comparison
	page   int       // chats of the next comparison
	passes int       // completed since the partition was acquired

	ahead []ports.ChatHead // heads beyond their checkpoints; their entries may still be unread
	tail  streamID         // last entry of the stream at that moment
}

// scanLoop compares heads until ctx ends. A member has one such loop for all of its partitions, which bounds the load of the first passes after an
// acquire on Redis.
func (s *member) scanLoop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.scans.c:
		case <-ctx.Done():
			return
		}
		timer.Reset(s.scanOnce(ctx))
	}
}

// scanOnce takes the next step of the partition whose step is due first, and returns how long the loop waits after it.
func (s *member) scanOnce(ctx context.Context) time.Duration {
	s.mu.Lock()
	t := s.nextScan()
	if t == nil {
		s.mu.Unlock()
		return scanEvery
	}
	if wait := time.Until(t.scan.due); wait > 0 {
		s.mu.Unlock()
		return min(wait, scanEvery)
	}
	ahead := t.scan.ahead
	read := len(ahead) == 0 || t.hasRead(t.scan.tail)
	if !read {
		t.scan.due = time.Now().Add(scanAwait)
	}
	s.mu.Unlock()
	var err error
	switch {
	case !read:
		return scanFirst
	case len(ahead) > 0:
		err = s.resolveAhead(ctx, t, ahead)
	default:
		err = s.compareHeads(ctx, t)
	}
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, ports.ErrLogLost):
		s.fail(err)
	default:
		s.config.Logger.Debug("heads not compared, trying again", "partition", t.String(), "group", s.group, "error", err)
		s.mu.Lock()
		t.scan.due = time.Now().Add(scanEvery)
		s.mu.Unlock()
	}
	return scanFirst
}

// nextScan returns the owned partition whose step is due first, nil if there is none. It leaves out a partition that is walked, because a walk checks
// every chat anyway.
func (s *member) nextScan() *ownedPartition {
	var next *ownedPartition
	for _, l := range s.partitions {
		t := l.owned
		if t == nil || t.over || t.draining || t.walking || !l.logged() {
			continue
		}
		if next == nil || t.scan.due.Before(next.scan.due) {
			next = t
		}
	}
	return next
}

// hasRead reports whether every entry up to id was taken into the window, or is before the position.
func (t *ownedPartition) hasRead(id streamID) bool {
	return t.read.compare(id) >= 0 || t.position.compare(id) >= 0
}

// compareHeads compares the next page.
func (s *member) compareHeads(ctx context.Context, t *ownedPartition) error {
	s.mu.Lock()
	cursor, count := t.scan.cursor, t.scan.page
	s.mu.Unlock()
	if count == 0 {
		count = scanPage
	}
	bounded, cancel := timely(ctx)
	defer cancel()
	page, err := s.config.Backlog.CompareHeads(bounded, t.partition.Partition, t.partition.group(s.group).chats, cursor, count)
	if err != nil {
		return err
	}
	tail := streamID{}
	if page.Tail != "" {
		if tail, err = parseStreamID(page.Tail); err != nil {
			return err
		}
	}
	switch {
	case page.Err != nil:
		s.hole(t, "", page.Err)
	case page.Next == 0:
		s.counters.Holes.remove(t, "")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.scan.took(page, tail, count)
	return nil
}

// took records a page, and when the next one is due.
func (h *headScan) took(page ports.HeadPage, tail streamID, count int) {
	h.cursor, h.ahead, h.tail = page.Next, page.Ahead, tail
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
	h.due = time.Now().Add(wait)
}

// resolveAhead feeds chats from the log if the log has more events of them than the stream has, as far as it was read. Until that is done they count
// as left behind, for [Groups.List].
func (s *member) resolveAhead(ctx context.Context, t *ownedPartition, ahead []ports.ChatHead) error {
	return s.behindHeads(ctx, t, ahead, func(behind []*chatQueue, events uint64) {
		t.scan.ahead = nil
		t.scan.due = time.Now().Add(scanFirst)
		if t.scan.passes > 0 {
			t.scan.due = time.Now().Add(scanEvery)
		}
		if t.over || len(behind) == 0 {
			return
		}
		for _, l := range behind {
			t.passBy(l)
		}
		t.evict()
		s.counters.Unstreamed.Add(events)
		s.config.Logger.Warn("the stream lacks events that the log has, delivering them from the log",
			"partition", t.String(), "group", s.group, "chats", len(behind), "events", events)
	})
}
