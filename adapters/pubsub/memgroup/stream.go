package memgroup

import (
	"context"
	"slices"
	"time"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// readCount is the most entries of a batch.
const readCount = 256

// stream is the entries of a partition that were not removed. A batch shares the memory of entries, so that no element of it ever changes.
type stream struct {
	entries []groups.Entry // in the order of their ids
	added   int            // entries ever added
	end     groups.StreamID
}

// add appends an entry, whose id it sets: it is of the given time, or of the last entry's time if that is later.
func (s *stream) add(e groups.Entry, at time.Time) groups.StreamID {
	id := groups.StreamID{Milliseconds: uint64(max(at.UnixMilli(), 0))} //nolint:gosec // not negative
	if id.Compare(s.end) <= 0 {
		id = groups.StreamID{Milliseconds: s.end.Milliseconds, Number: s.end.Number + 1}
	}
	e.ID, s.end = id, id
	s.entries = append(s.entries, e)
	s.added++
	return id
}

// index returns the index of the first entry whose id is not before the given one, and whether it is the entry of that id.
func (s *stream) index(id groups.StreamID) (int, bool) {
	return slices.BinarySearchFunc(s.entries, id, func(e groups.Entry, id groups.StreamID) int { return e.ID.Compare(id) })
}

func (s *stream) has(id groups.StreamID) bool {
	_, found := s.index(id)
	return found
}

// after returns the entries after an id.
func (s *stream) after(id groups.StreamID) []groups.Entry {
	i, found := s.index(id)
	if found {
		i++
	}
	return s.entries[i:]
}

// first returns the id of the first entry, or zero if there is none.
func (s *stream) first() groups.StreamID {
	if len(s.entries) == 0 {
		return groups.StreamID{}
	}
	return s.entries[0].ID
}

// last returns the id of the last entry, or zero if there is none.
func (s *stream) last() groups.StreamID {
	if len(s.entries) == 0 {
		return groups.StreamID{}
	}
	return s.entries[len(s.entries)-1].ID
}

// trimmed reports whether the entry of an id and all before it are gone. There is no entry of the zero id.
func (s *stream) trimmed(id groups.StreamID) bool {
	return !id.IsZero() && (len(s.entries) == 0 || s.first().Compare(id) > 0)
}

// cut removes the first n entries.
func (s *stream) cut(n int) { s.entries = s.entries[n:] }

// pull appends the records that the log has, and the streams have not, to the streams. The mutex is held.
func (g *Groups) pull(ctx context.Context) error {
	for g.read < g.log.End() {
		records, next, err := g.log.Next(ctx, g.read, readCount)
		if err != nil {
			return err
		}
		for _, r := range records {
			if err := g.append(r); err != nil {
				return err
			}
			g.read++
		}
		g.read = next
	}
	return nil
}

// append appends a record to the stream of its chat's partition. Its time is that of its event, because the log may have it for some time.
func (g *Groups) append(r ports.Record) error {
	encoded, err := g.codec.Encode(r.ID, r.Event, r.Meta)
	if err != nil {
		return err
	}
	at := r.Event.OccurredAt()
	if now := g.now(); at.After(now) {
		at = now
	}
	g.partitionOf(r.Event.ChatID()).stream.add(groups.Entry{
		UUID: string(r.ID), Metadata: string(wireformat.AppendMetadata(nil, r.Event, r.Meta)), Chat: string(r.Event.ChatID()), Seq: r.Seq,
		Payload: encoded.Splice(r.Seq, r.Ordinal),
	}, at)
	return nil
}

// Append appends an entry that is in no log to a stream, and returns its id. It ignores e.ID. A stream that is no partition's exists from its first
// entry on.
func (g *Groups) Append(ctx context.Context, p groups.Partition, e groups.Entry) (groups.StreamID, error) {
	if err := g.begin(ctx); err != nil { // events that were appended before come before
		return groups.StreamID{}, err
	}
	defer g.mu.Unlock()
	defer g.wake()
	return g.partition(p).stream.add(e, g.now()), nil
}

// waiter is a call of Next that waits for entries.
type waiter struct{ cancel context.CancelFunc }

// wait returns a context that ends with ctx, or when a stream has got an entry that is in no log, and a function that frees it. The mutex is held.
func (g *Groups) wait(ctx context.Context) (waiting context.Context, free func()) {
	waiting, cancel := context.WithCancel(ctx)
	w := &waiter{cancel}
	g.waiters[w] = struct{}{}
	return waiting, func() {
		cancel()
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.waiters, w)
	}
}

// wake ends the waits. The mutex is held.
func (g *Groups) wake() {
	for w := range g.waiters {
		w.cancel()
	}
}

// Next implements [groups.Store].
func (s *store) Next(ctx context.Context, p groups.Partition, after groups.StreamID, wait bool) (*groups.Batch, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, ports.ErrClosed
		}
		if err := s.pull(ctx); err != nil {
			s.mu.Unlock()
			return nil, ports.Unavailable(ctx, err)
		}
		b := s.partition(p).stream.batch(after)
		if len(b.Entries) > 0 || b.Gap || !wait {
			s.mu.Unlock()
			return b, nil
		}
		waiting, free := s.wait(ctx)
		read := s.read
		s.mu.Unlock()
		_, _, err := s.log.Next(waiting, read, 1) // the records are read above
		woken := waiting.Err() != nil
		free()
		if err != nil && !woken {
			return nil, ports.Unavailable(ctx, err)
		}
	}
}

// batch returns entries after an id.
func (s *stream) batch(after groups.StreamID) *groups.Batch {
	b := &groups.Batch{After: after, Gap: !after.IsZero() && !s.has(after)}
	entries := s.after(after)
	n := min(len(entries), readCount)
	b.Entries, b.Full = entries[:n:n], n == readCount
	return b
}

// Last implements [groups.Store].
func (s *store) Last(ctx context.Context, p groups.Partition) (groups.StreamID, error) {
	if err := s.begin(ctx); err != nil {
		return groups.StreamID{}, err
	}
	defer s.mu.Unlock()
	return s.partition(p).stream.last(), nil
}

// Trimmed implements [groups.Store].
func (s *store) Trimmed(ctx context.Context, p groups.Partition, gone groups.StreamID) (bool, groups.StreamID, error) {
	if err := s.begin(ctx); err != nil {
		return false, groups.StreamID{}, err
	}
	defer s.mu.Unlock()
	at := s.partition(p)
	state := at.groups[s.group]
	begun := state != nil && (!state.position.IsZero() || state.walk.Active)
	return begun && at.stream.trimmed(gone), at.stream.first(), nil
}

// Trim implements [groups.Store].
func (s *store) Trim(ctx context.Context, p groups.Partition, bound int) (overrun []string, err error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	at := s.partition(p)
	if len(at.groups) == 0 {
		return nil, nil
	}
	lowest := at.stream.end
	for _, state := range at.groups {
		if state.position.Compare(lowest) < 0 {
			lowest = state.position
		}
	}
	passed, _ := at.stream.index(lowest)
	at.stream.cut(passed)
	beyond := len(at.stream.entries) - bound
	if beyond <= 0 {
		return nil, nil
	}
	at.stream.cut(beyond)
	first := at.stream.first()
	for name, state := range at.groups {
		if state.position.Compare(first) >= 0 && !first.IsZero() {
			continue
		}
		overrun = append(overrun, name)
		state.revision++
		if at.Logged() {
			state.position, state.walk = first, groups.Walk{Active: true}
		}
	}
	slices.Sort(overrun)
	return overrun, nil
}

// Forget implements [groups.Store]: no entries are held beside the stream.
func (s *store) Forget(groups.Partition) {}

// CompareHeads implements [groups.Store].
func (s *store) CompareHeads(ctx context.Context, p groups.Partition, cursor uint64, _ int) (ports.HeadPage, error) {
	if !p.Logged() {
		return ports.HeadPage{}, ctx.Err()
	}
	heads, next, total, err := s.Backlog().ListHeads(ctx, p.Number, cursor)
	page := ports.HeadPage{Next: next, Compared: len(heads), Total: total}
	switch {
	case isCorrupt(err):
		page.Err = err
	case err != nil:
		return ports.HeadPage{}, err
	}
	if err := s.begin(ctx); err != nil { // every event of these heads has its entry by now
		return ports.HeadPage{}, err
	}
	defer s.mu.Unlock()
	at := s.partition(p)
	state := at.groups[s.group]
	for _, h := range heads {
		checkpoint := domain.Seq(0)
		if state != nil {
			checkpoint = state.checkpoints[string(h.Chat)]
		}
		if h.Err != nil || h.Head > checkpoint {
			page.Ahead = append(page.Ahead, h)
		}
	}
	if last := at.stream.last(); !last.IsZero() {
		page.Tail = last.String()
	}
	return page, nil
}
