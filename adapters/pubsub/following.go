package pubsub

import (
	"context"
	"fmt"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// follow reads a partition's stream into its term until ctx ends.
func (s *subscription) follow(ctx context.Context, t *term) {
	cursor := t.position
	for wait := newPause(); s.roomFor(ctx, t); {
		b, err := s.store.next(ctx, t.lane.Stream, cursor, s.config.Pace == 0)
		if err == nil && b.hole {
			err = s.doubt(ctx, t, b)
		}
		if err == nil {
			err = s.admit(ctx, t, b)
		}
		if err != nil {
			s.config.Logger.Debug("stream not read, trying again", "lane", t.String(), "group", s.group, "error", err)
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

// doubt finds out why the entry is gone after which a stream was read. If it was trimmed, every chat is checked. If Redis has lost it, the records
// that were read no longer count and the term ends. A stream of other programs is read on, because no log has its entries.
func (s *subscription) doubt(ctx context.Context, t *term, b *batch) error {
	if !t.lane.logged() {
		return nil
	}
	return s.doubtAt(ctx, t, b.after)
}

func (s *subscription) doubtAt(ctx context.Context, t *term, gone streamID) error {
	trimmed, first, err := s.store.trimmed(ctx, t.lane, gone)
	if err != nil {
		return err
	}
	if !trimmed {
		s.lose(t, errLostCommits)
		return errLostCommits
	}
	s.config.Logger.Warn("the stream has lost undelivered entries, catching up from the log", "lane", t.String(), "group", s.group)
	s.mu.Lock()
	defer s.mu.Unlock()
	t.truncated(first)
	return nil
}

// roomFor waits until a term's window has room. It lets the position pass chats that block a full window for long. It returns false if ctx ends.
func (s *subscription) roomFor(ctx context.Context, t *term) bool {
	const look = 50 * time.Millisecond
	for {
		s.mu.Lock()
		full := t.full()
		if full {
			t.relieve(time.Now())
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

// admit adds a batch to the term, after it has read the checkpoints of chats that are new to the term.
func (s *subscription) admit(ctx context.Context, t *term, b *batch) error {
	if len(b.entries) == 0 {
		return nil
	}
	parcels := make([]parcel, len(b.entries))
	for i := range b.entries {
		parcels[i].open(&b.entries[i])
	}
	return s.knowing(ctx, t, func(known map[string]domain.Seq) (unknown []string) {
		for i := range b.entries {
			chat := b.entries[i].chat
			if b.entries[i].seq == 0 || !t.lane.logged() || t.lines[chat] != nil || t.left[chat] == leftParked {
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
			t.admit(&b.entries[i], known, &parcels[i])
		}
		t.read = b.last()
		t.saw(t.read)
		t.evict()
		t.note()
	})
}

// knowing reads checkpoints until unknown returns no chats, and then calls then before anything else happens to the term. Both are called with the
// mutex held. A chat queue may be evicted while checkpoints of other chats are read, and checkpoints that were read before an eviction may be
// outdated after it.
func (s *subscription) knowing(ctx context.Context, t *term, unknown func(known map[string]domain.Seq) []string, then func(known map[string]domain.Seq)) error {
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

func (s *subscription) checkpoints(ctx context.Context, t *term, chats []string, into map[string]domain.Seq) error {
	if len(chats) == 0 {
		return nil
	}
	seqs, err := s.store.checkpoints(ctx, t.lane, chats)
	for i, seq := range seqs {
		into[chats[i]] = seq
	}
	return err
}

// catchUp feeds chats that are behind from the log, and finds those that are behind where the stream does not show it.
func (s *subscription) catchUp(ctx context.Context, t *term) {
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
			err = s.feedLines(ctx, t, step.lines)
		case len(step.names) > 0:
			err = s.openLines(ctx, t, step.names)
		case step.walk:
			cursor, err = s.walk(ctx, t, cursor)
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
		s.config.Logger.Debug("log not read, trying again", "lane", t.String(), "group", s.group, "error", err)
		if !wait.after(ctx) {
			return
		}
	}
}

// step is the next step of catchUp.
type step struct {
	lines []*line
	names []string
	walk  bool
}

func (s *subscription) nextStep(t *term) step {
	const together = 32
	if n := min(len(t.catchup), together); n > 0 {
		lines := append([]*line(nil), t.catchup[:n]...)
		t.catchup = append(t.catchup[:0], t.catchup[n:]...)
		return step{lines: lines}
	}
	if t.behind >= behindAtMax || t.loaded >= windowSize {
		return step{}
	}
	if n := min(len(t.names), behindAtMax-t.behind); n > 0 {
		names := t.names[:n]
		t.names = t.names[n:]
		return step{names: names}
	}
	return step{walk: t.walking}
}

// feedLines reads a page of the log for each chat queue.
func (s *subscription) feedLines(ctx context.Context, t *term, lines []*line) error {
	stretches, seen := make([]ports.Stretch, len(lines)), make([]domain.Seq, len(lines))
	s.mu.Lock()
	known := streamID{}
	if n := len(t.seen); n > 0 && t.seen[n-1].compare(t.cutOff) >= 0 {
		known = t.seen[n-1]
	}
	for i, l := range lines {
		seen[i] = l.seen
		stretches[i] = ports.Stretch{Chat: domain.ChatID(l.chat), From: l.last + 1, Limit: 64}
	}
	s.mu.Unlock()
	pages, witness, err := s.config.Backlog.Encoded(ctx, t.lane.Partition, known.reference(), stretches)
	if err == nil && pages == nil {
		err = s.doubtAt(ctx, t, known)
	}
	defer s.dispatch()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || pages == nil {
		t.catchup = append(t.catchup, lines...)
		return err
	}
	if id, err := parseStreamID(witness); err == nil {
		t.saw(id)
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

// openLines opens the queues of chats that were left behind.
func (s *subscription) openLines(ctx context.Context, t *term, names []string) error {
	found := make(map[string]domain.Seq, len(names))
	err := s.checkpoints(ctx, t, names, found)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		t.names = append(names, t.names...)
		return err
	}
	for _, chat := range names {
		if t.left[chat] == leftBehind {
			t.open(chat, found[chat])
		}
	}
	return nil
}

// walk checks one page of the partition's chats for chats that are behind. At the end of the last page, those that still are become left behind in
// Redis too, so that no later owner has to walk for them.
func (s *subscription) walk(ctx context.Context, t *term, cursor uint64) (uint64, error) {
	heads, next, total, err := s.config.Backlog.Heads(ctx, t.lane.Partition, cursor)
	if err != nil {
		return cursor, err
	}
	err = s.behindHeads(ctx, t, heads, func([]*line, uint64) {
		t.evict()
		t.walked += len(heads)
		t.chats = max(total, t.walked)
		t.progress = fmt.Sprintf("%d:%d", t.walked, t.chats)
		if next == 0 {
			s.endWalk(t)
		}
		t.note()
	})
	if err != nil {
		return cursor, err
	}
	s.counters.Holes.remove(t, "")
	return next, nil
}

// behindHeads feeds every chat from the log whose head is beyond its queued events. Then it calls fn, with the mutex held, with the chats that were
// fed from the stream until now, and the number of their events that the stream has not delivered.
func (s *subscription) behindHeads(ctx context.Context, t *term, heads []ports.ChatHead, fn func(behind []*line, events uint64)) error {
	return s.knowing(ctx, t, func(known map[string]domain.Seq) (unknown []string) {
		for _, h := range heads {
			chat := string(h.Chat)
			if _, asked := known[chat]; !asked && t.lines[chat] == nil && t.left[chat] == "" {
				known[chat] = 0
				unknown = append(unknown, chat)
			}
		}
		return unknown
	}, func(known map[string]domain.Seq) {
		var behind []*line
		events := uint64(0)
		for _, h := range heads {
			chat := string(h.Chat)
			l := t.lines[chat]
			switch {
			case l == nil && t.left[chat] != "": // openLines opens it
				continue
			case l == nil && known[chat] >= h.Head && h.Err == nil:
				continue
			case l == nil:
				l = t.open(chat, known[chat])
			}
			if l.mode == parked || l.last >= h.Head && h.Err == nil {
				continue
			}
			head := max(l.last, h.Head) // the head is unknown if it is missing
			if l.mode == live {
				behind, events = append(behind, l), events+uint64(head-l.last)
			}
			t.fallBehind(l, head)
		}
		fn(behind, events)
	})
}

// endWalk is called when every chat was checked. Unfinished events that were read from the log may not be in the stream: from here on only the mark
// of their chat shows them.
func (s *subscription) endWalk(t *term) {
	for _, l := range t.lines {
		if l.mode == behind || l.mode == live && l.last > l.finished {
			l.seen = max(l.seen, l.last)
			t.passBy(l)
		}
	}
	t.walking, t.walked, t.progress = t.anew, 0, "-"
	if t.anew {
		t.progress = "0"
	}
	t.anew, t.scan = false, headScan{passes: 1}
	s.config.Logger.Debug("every chat of the partition was checked", "lane", t.String(), "group", s.group)
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
