package group

import (
	"context"
	"time"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/domain"
	"chatcore/ports/groups"
)

// fetchLoop reads a partition's stream until its lease ends.
func (m *Member) fetchLoop(loops *partitionLoops, p *delivery.Partition, cursor groups.StreamID) {
	ctx := loops.ctx
	var records []*delivery.Record
	for wait := newPauses(); m.awaitRoom(loops, p); {
		b, err := m.config.Store.Next(ctx, p.Partition, cursor, m.config.Pace == 0)
		if err == nil && b.Gap && p.Logged() { // no log has the entries of other programs: such a stream is read on
			err = m.resolveGap(ctx, p, b.After)
		}
		if err == nil && len(b.Entries) > 0 {
			records = m.open(b.Entries, records[:0])
			err = m.withCheckpoints(ctx, p, func(known *delivery.Checkpoints) []string { return p.Fetched(records, b.Last(), known) })
			clear(records)
		}
		if err != nil {
			m.config.Logger.Debug("stream not read, trying again", "partition", p.String(), "group", m.config.Group, "error", err)
			if !wait.after(ctx) {
				return
			}
			continue
		}
		wait.reset()
		if cursor = b.Last(); b.Gap && len(b.Entries) == 0 {
			cursor = groups.StreamID{} // the stream is empty
		}
		if m.config.Pace > 0 && !b.Full && !m.untilPace(ctx) {
			return
		}
	}
}

// open makes records of entries.
func (m *Member) open(entries []groups.Entry, into []*delivery.Record) []*delivery.Record {
	items := make([]item, len(entries))
	for i := range items {
		into = append(into, m.record(&items[i], entries[i]))
	}
	return into
}

// record fills in an item, and returns its record.
func (m *Member) record(i *item, entry groups.Entry) *delivery.Record {
	i.member, i.record.Entry, i.record.Data = m, entry, i
	i.read()
	return &i.record
}

// resolveGap finds out why the entry is gone after which a stream was read. If it was trimmed, every chat is checked. If the store has lost it, the
// records that were read no longer count and the lease ends.
func (m *Member) resolveGap(ctx context.Context, p *delivery.Partition, gone groups.StreamID) error {
	trimmed, first, err := m.config.Store.Trimmed(ctx, p.Partition, gone)
	if err != nil {
		return err
	}
	if !trimmed {
		m.lose(p, groups.ErrLostWrites)
		return groups.ErrLostWrites
	}
	m.logStreamLost(p)
	m.mu.Lock()
	p.Truncated(first)
	m.unlock()
	return nil
}

// awaitRoom waits until the partition's window has room. It returns false if the lease ends.
func (m *Member) awaitRoom(loops *partitionLoops, p *delivery.Partition) bool {
	const ask = 50 * time.Millisecond // a chat that blocks the window for long is passed meanwhile
	for {
		m.mu.Lock()
		room := p.HasRoom(time.Now())
		m.unlock()
		if loops.ctx.Err() != nil {
			return false
		}
		if room {
			return true
		}
		timer := time.NewTimer(ask)
		select {
		case <-loops.room.c:
		case <-timer.C:
		case <-loops.ctx.Done():
		}
		timer.Stop()
	}
}

// withCheckpoints calls take until it needs no more checkpoints, which it reads in between. take is called with the mutex held.
func (m *Member) withCheckpoints(ctx context.Context, p *delivery.Partition, take func(known *delivery.Checkpoints) (unknown []string)) error {
	var known delivery.Checkpoints
	for {
		m.mu.Lock()
		unknown := take(&known)
		m.unlock()
		if len(unknown) == 0 {
			m.dispatch()
			return nil
		}
		seqs, err := m.config.Store.Checkpoints(ctx, p.Partition, unknown)
		if err != nil {
			return err
		}
		known.Add(unknown, seqs)
	}
}

// checkpoints returns the checkpoints of chats.
func (m *Member) checkpoints(ctx context.Context, p *delivery.Partition, chats []string) ([]domain.Seq, error) {
	if len(chats) == 0 {
		return nil, nil
	}
	return m.config.Store.Checkpoints(ctx, p.Partition, chats)
}

// untilPace waits until the next multiple of the group's pace. It returns false if ctx ends before.
func (m *Member) untilPace(ctx context.Context) bool {
	now := time.Now()
	timer := time.NewTimer(now.Truncate(m.config.Pace).Add(m.config.Pace).Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
