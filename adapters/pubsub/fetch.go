package pubsub

import (
	"context"
	"fmt"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// fetchLoop reads a partition's stream into its lease until ctx ends.
func (s *member) fetchLoop(ctx context.Context, t *ownedPartition) {
	cursor := t.position
	for wait := newPause(); s.waitForCapacity(ctx, t); {
		b, err := s.store.next(ctx, t.partition.Stream, cursor, s.config.Pace == 0)
		if err == nil && b.hole {
			err = s.resolveGap(ctx, t, b)
		}
		if err == nil {
			err = s.ingest(ctx, t, b)
		}
		if err != nil {
			s.config.Logger.Debug("stream not read, trying again", "partition", t.String(), "group", s.group, "error", err)
			if !wait.after(ctx) {
				return
			}
			continue
		}
		wait.reset()
		if cursor = b.last(); b.hole && len(b.entries) == 0 {
			cursor = streamID{} // the stream is empty
		}
		if s.config.Pace > 0 && !b.full && !s.untilPace(ctx) {
			return
		}
	}
}

// resolveGap finds out why the entry is gone after which a stream was read. If it was trimmed, every chat is checked. If Redis has lost it, the records
// that were read no longer count and the lease ends. A stream of other programs is read on, because no log has its entries.
func (s *member) resolveGap(ctx context.Context, t *ownedPartition, b *batch) error {
	if !t.partition.logged() {
		return nil
	}
	return s.resolveGapAt(ctx, t, b.after)
}

func (s *member) resolveGapAt(ctx context.Context, t *ownedPartition, gone streamID) error {
	trimmed, first, err := s.store.trimmed(ctx, t.partition, gone)
	if err != nil {
		return err
	}
	if !trimmed {
		s.lose(t, errLostCommits)
		return errLostCommits
	}
	s.config.Logger.Warn("the stream has lost undelivered entries, catching up from the log", "partition", t.String(), "group", s.group)
	s.mu.Lock()
	defer s.mu.Unlock()
	t.truncated(first)
	return nil
}

// waitForCapacity waits until a lease's window has room. It lets the position pass chats that block a full window for long. It returns false if ctx ends.
func (s *member) waitForCapacity(ctx context.Context, t *ownedPartition) bool {
	const look = 50 * time.Millisecond
	for {
		s.mu.Lock()
		full := t.full()
		if full {
			t.skipSlowHead(time.Now())
		}
		s.mu.Unlock()
		if ctx.Err() != nil {
			return false
		}
		if !full {
			return true
		}
		timer := time.NewTimer(look)
		select {
		case <-t.room.c:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// ingest adds a batch to the lease, after it has read the checkpoints of chats that are new to the lease.
func (s *member) ingest(ctx context.Context, t *ownedPartition, b *batch) error {
	if len(b.entries) == 0 {
		return nil
	}
	parcels := make([]record, len(b.entries))
	for i := range b.entries {
		parcels[i].open(&b.entries[i])
	}
	return s.withCheckpoints(ctx, t, func(known map[string]domain.Seq) (unknown []string) {
		for i := range b.entries {
			chat := b.entries[i].chat
			if b.entries[i].seq == 0 || !t.partition.logged() || t.queues[chat] != nil || t.lagging[chat] == leftParked {
				continue
			}
			if _, asked := known[chat]; !asked {
				known[chat] = 0
				unknown = append(unknown, chat)
			}
		}
		return unknown
	}, func(known map[string]domain.Seq) {
		if t.over {
			return
		}
		for i := range b.entries {
			t.ingest(&b.entries[i], known, &parcels[i])
		}
		t.read = b.last()
		t.observe(t.read)
		t.evict()
		t.requestCommit()
	})
}

// withCheckpoints reads checkpoints until unknown returns no chats, and then calls then before anything else happens to the lease. Both are called with the
// mutex held. A chat queue may be evicted while checkpoints of other chats are read, and checkpoints that were read before an eviction may be
// outdated after it.
func (s *member) withCheckpoints(ctx context.Context, t *ownedPartition, unknown func(known map[string]domain.Seq) []string, then func(known map[string]domain.Seq)) error {
	known, evictions := make(map[string]domain.Seq), 0
	for {
		s.mu.Lock()
		if t.evictions != evictions {
			clear(known)
			evictions = t.evictions
		}
		chats := unknown(known)
		if len(chats) == 0 {
			then(known)
			s.mu.Unlock()
			s.dispatch()
			return nil
		}
		s.mu.Unlock()
		if err := s.checkpoints(ctx, t, chats, known); err != nil {
			return err
		}
	}
}

func (s *member) checkpoints(ctx context.Context, t *ownedPartition, chats []string, into map[string]domain.Seq) error {
	if len(chats) == 0 {
		return nil
	}
	seqs, err := s.store.checkpoints(ctx, t.partition, chats)
	for i, seq := range seqs {
		into[chats[i]] = seq
	}
	return err
}

// backfillLoop feeds chats that are behind from the log, and finds those that are behind where the stream does not show it.
func (s *member) backfillLoop(ctx context.Context, t *ownedPartition) {
	cursor := uint64(0)
	for wait := newPause(); ; {
		s.mu.Lock()
		step := s.nextStep(t)
		s.mu.Unlock()
		var err error
		switch {
		case ctx.Err() != nil:
			return
		case len(step.lines) > 0:
			err = s.feedQueues(ctx, t, step.lines)
		case len(step.names) > 0:
			err = s.openQueues(ctx, t, step.names)
		case step.walk:
			cursor, err = s.scanHeads(ctx, t, cursor)
		default:
			select {
			case <-t.more.c:
			case <-ctx.Done():
				return
			}
		}
		if err == nil {
			wait.reset()
			continue
		}
		if isCorrupt(err) {
			s.hole(t, "", err)
			cursor, wait.next = 0, holePause // after the repair all chats are checked
			s.mu.Lock()
			t.walked = 0
			s.mu.Unlock()
		}
		s.config.Logger.Debug("log not read, trying again", "partition", t.String(), "group", s.group, "error", err)
		if !wait.after(ctx) {
			return
		}
	}
}

// step is the next step of backfillLoop.
type step struct {
	lines []*chatQueue
	names []string
	walk  bool
}

func (s *member) nextStep(t *ownedPartition) step {
	const together = 32
	if n := min(len(t.backfilling), together); n > 0 {
		lines := append([]*chatQueue(nil), t.backfilling[:n]...)
		t.backfilling = append(t.backfilling[:0], t.backfilling[n:]...)
		return step{lines: lines}
	}
	if t.behind >= maxBackfilling || t.loaded >= windowSize {
		return step{}
	}
	if n := min(len(t.names), maxBackfilling-t.behind); n > 0 {
		names := t.names[:n]
		t.names = t.names[n:]
		return step{names: names}
	}
	return step{walk: t.walking}
}

// feedQueues reads a page of the log for each chat queue.
func (s *member) feedQueues(ctx context.Context, t *ownedPartition, lines []*chatQueue) error {
	stretches, seen := make([]ports.EventRange, len(lines)), make([]domain.Seq, len(lines))
	s.mu.Lock()
	known := streamID{}
	if n := len(t.seen); n > 0 && t.seen[n-1].compare(t.cutOff) >= 0 {
		known = t.seen[n-1]
	}
	for i, l := range lines {
		seen[i] = l.knownHead
		stretches[i] = ports.EventRange{Chat: domain.ChatID(l.chat), From: l.queuedSeq + 1, Limit: 64}
	}
	s.mu.Unlock()
	pages, witness, err := s.config.Backlog.ReadRaw(ctx, t.partition.Partition, known.reference(), stretches)
	if err == nil && pages == nil {
		err = s.resolveGapAt(ctx, t, known)
	}
	defer s.dispatch()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || pages == nil {
		t.backfilling = append(t.backfilling, lines...)
		return err
	}
	if id, err := parseStreamID(witness); err == nil {
		t.observe(id)
	}
	for i, l := range lines {
		if err := pages[i].Err; err != nil {
			s.hole(t, domain.ChatID(l.chat), err)
			t.feedLater(l)
			continue
		}
		t.closeHole(l)
		t.fill(l, pages[i], stretches[i].From, seen[i])
	}
	return nil
}

// openQueues opens the queues of chats that were left behind.
func (s *member) openQueues(ctx context.Context, t *ownedPartition, names []string) error {
	found := make(map[string]domain.Seq, len(names))
	err := s.checkpoints(ctx, t, names, found)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		t.names = append(names, t.names...)
		return err
	}
	for _, chat := range names {
		if t.lagging[chat] == chatBehind {
			t.open(chat, found[chat])
		}
	}
	return nil
}

// scanHeads checks one page of the partition's chats for chats that are behind. At the end of the last page, those that still are become left behind in
// Redis too, so that no later owner has to walk for them.
func (s *member) scanHeads(ctx context.Context, t *ownedPartition, cursor uint64) (uint64, error) {
	heads, next, total, err := s.config.Backlog.ListHeads(ctx, t.partition.Partition, cursor)
	if err != nil {
		return cursor, err
	}
	err = s.behindHeads(ctx, t, heads, func([]*chatQueue, uint64) {
		t.evict()
		t.walked += len(heads)
		t.chats = max(total, t.walked)
		t.progress = fmt.Sprintf("%d:%d", t.walked, t.chats)
		if next == 0 {
			s.endHeadScan(t)
		}
		t.requestCommit()
	})
	if err != nil {
		return cursor, err
	}
	s.counters.Holes.remove(t, "")
	return next, nil
}

// behindHeads feeds every chat from the log whose head is beyond its queued events. Then it calls fn, with the mutex held, with the chats that were
// fed from the stream until now, and the number of their events that the stream has not delivered.
func (s *member) behindHeads(ctx context.Context, t *ownedPartition, heads []ports.ChatHead, fn func(behind []*chatQueue, events uint64)) error {
	return s.withCheckpoints(ctx, t, func(known map[string]domain.Seq) (unknown []string) {
		for _, h := range heads {
			chat := string(h.Chat)
			if _, asked := known[chat]; !asked && t.queues[chat] == nil && t.lagging[chat] == "" {
				known[chat] = 0
				unknown = append(unknown, chat)
			}
		}
		return unknown
	}, func(known map[string]domain.Seq) {
		var behind []*chatQueue
		events := uint64(0)
		for _, h := range heads {
			chat := string(h.Chat)
			l := t.queues[chat]
			switch {
			case l == nil && t.lagging[chat] != "": // openQueues opens it
				continue
			case l == nil && known[chat] >= h.Head && h.Err == nil:
				continue
			case l == nil:
				l = t.open(chat, known[chat])
			}
			if l.mode == parked || l.queuedSeq >= h.Head && h.Err == nil {
				continue
			}
			head := max(l.queuedSeq, h.Head) // the head is unknown if it is missing
			if l.mode == tailing {
				behind, events = append(behind, l), events+uint64(head-l.queuedSeq)
			}
			t.fallBehind(l, head)
		}
		fn(behind, events)
	})
}

// endHeadScan is called when every chat was checked. Unfinished events that were read from the log may not be in the stream: from here on only the mark
// of their chat shows them.
func (s *member) endHeadScan(t *ownedPartition) {
	for _, l := range t.queues {
		if l.mode == backfilling || l.mode == tailing && l.queuedSeq > l.ackedSeq {
			l.knownHead = max(l.knownHead, l.queuedSeq)
			t.passBy(l)
		}
	}
	t.walking, t.walked, t.progress = t.anew, 0, "-"
	if t.anew {
		t.progress = "0"
	}
	t.anew, t.scan = false, headScan{passes: 1}
	s.config.Logger.Debug("every chat of the partition was checked", "partition", t.String(), "group", s.group)
}

// pauses are pauses between attempts, each twice as long as the one before.
type pauses struct{ next time.Duration }

func newPause() *pauses { return &pauses{next: firstPause} }

const firstPause, longestPause = 20 * time.Millisecond, 500 * time.Millisecond

func (p *pauses) reset() { p.next = firstPause }

// after waits. It returns false if ctx ends before.
func (p *pauses) after(ctx context.Context) bool {
	timer := time.NewTimer(p.next)
	defer timer.Stop()
	p.next = min(2*p.next, longestPause)
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
