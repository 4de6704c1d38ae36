package group

import (
	"context"
	"errors"
	"time"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/domain"
	"chatcore/internal/backoff"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// holePause is the pause between two attempts to list chats that are missing from the log. An operator has to repair it meanwhile.
const holePause = 2 * time.Second

// backfillLoop feeds chats that are behind from the log, and finds those that are behind where the stream does not show it.
func (m *Member) backfillLoop(loops *partitionLoops, p *delivery.Partition) {
	ctx := loops.ctx
	for wait := newPauses(); ; {
		m.mu.Lock()
		step := p.NextStep()
		m.unlock()
		var err error
		switch {
		case ctx.Err() != nil:
			return
		case step.Pages != nil:
			err = m.readPages(ctx, p, step.Pages)
		case len(step.Open) > 0:
			err = m.openChats(ctx, p, step.Open)
		case step.Walk:
			err = m.walk(ctx, p, step.Cursor)
		default:
			select {
			case <-loops.steps.c:
			case <-ctx.Done():
				return
			}
		}
		if err == nil {
			wait.reset()
			continue
		}
		m.config.Logger.Debug("log not read, trying again", "partition", p.String(), "group", m.config.Group, "error", err)
		if errors.Is(err, ports.ErrCorrupt) {
			m.mu.Lock()
			p.WalkFailed(err)
			m.unlock()
			if backoff.Sleep(ctx, holePause) != nil {
				return
			}
		} else if !wait.after(ctx) {
			return
		}
	}
}

// readPages reads a page of the log for each of several chats.
func (m *Member) readPages(ctx context.Context, p *delivery.Partition, r *delivery.PageRequest) error {
	known := ""
	if !r.Known.IsZero() {
		known = r.Known.String()
	}
	pages, witness, err := m.config.Backlog.ReadRaw(ctx, p.Number, known, r.Ranges)
	if err == nil && pages == nil {
		err = m.resolveGap(ctx, p, r.Known)
	}
	defer m.dispatch()
	if err != nil || pages == nil {
		m.mu.Lock()
		p.BackfillFailed(r)
		m.unlock()
		return err
	}
	last, _ := groups.ParseStreamID(witness) // zero if there is none
	read := make([]delivery.Page, len(pages))
	for i, page := range pages {
		read[i] = delivery.Page{Records: m.openPage(page.Events, r.Ranges[i]), Head: page.Head, Err: page.Err}
	}
	m.mu.Lock()
	p.Backfilled(r, read, last, time.Now())
	m.unlock()
	return nil
}

// openPage makes records of events that were read from the log.
func (m *Member) openPage(events [][]byte, r ports.EventRange) []*delivery.Record {
	items, records := make([]item, len(events)), make([]*delivery.Record, len(events))
	for i := range items {
		entry := groups.Entry{Chat: string(r.Chat), Seq: r.From + domain.Seq(i), Payload: events[i]} //nolint:gosec // an index
		records[i] = m.record(&items[i], entry)
	}
	return records
}

// openChats opens chats that were left behind.
func (m *Member) openChats(ctx context.Context, p *delivery.Partition, names []string) error {
	seqs, err := m.checkpoints(ctx, p, names)
	m.mu.Lock()
	if err != nil {
		p.OpenFailed(names)
	} else {
		p.Opened(names, seqs)
	}
	m.unlock()
	return err
}

// walk checks one page of the partition's chats for chats that are behind.
func (m *Member) walk(ctx context.Context, p *delivery.Partition, cursor uint64) error {
	heads, next, total, err := m.config.Backlog.ListHeads(ctx, p.Number, cursor)
	if err != nil {
		return err
	}
	return m.withCheckpoints(ctx, p, func(known *delivery.Checkpoints) []string { return p.Walked(heads, next, total, known) })
}
