package group

import (
	"context"
	"errors"
	"time"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// committer holds the slices of commits, which are used again.
type committer struct {
	changes    []groups.OwnedCommit
	partitions []*delivery.Partition
}

const (
	// gather is the time within which finished deliveries share a commit. A commit costs Redis as much as an append.
	gather = 20 * time.Millisecond
	// manyFinished is the number of finished deliveries that are committed without waiting for more: a partition's window has no room for further entries
	// until they are.
	manyFinished = 256
)

// commitLoop commits the finished deliveries of all partitions in one round trip, which also renews the leases.
func (m *Member) commitLoop(ctx context.Context) {
	tick := time.NewTicker(m.config.Lease / 12)
	defer tick.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	<-pause.C
	var c committer
	for {
		select {
		case <-m.commits.c:
			pause.Reset(gather)
			select {
			case <-pause.C:
			case <-m.full.c:
			}
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if !m.commitOnce(ctx, &c) { // do not hammer a store that does not answer
			pause.Reset(50 * time.Millisecond)
			select {
			case <-pause.C:
			case <-ctx.Done():
				return
			}
			m.commits.wake()
		}
	}
}

// commitOnce commits the changes of all partitions that have any or whose lease is to be renewed. It reports false if the store did not answer.
func (m *Member) commitOnce(ctx context.Context, c *committer) bool {
	m.mu.Lock()
	now := time.Now()
	c.changes, c.partitions = m.core.Commits(now, c.changes, c.partitions)
	m.unlock()
	if len(c.changes) == 0 {
		return true
	}
	for _, change := range c.changes {
		m.completeLetters(change.Letters)
	}
	reached := true
	for i, result := range m.config.Store.Commit(ctx, c.changes, m.config.Lease) {
		p := c.partitions[i]
		switch {
		case errors.Is(result.Err, ports.ErrUnavailable):
			m.config.Logger.Debug("commit not made, trying again", "partition", p.String(), "group", m.config.Group, "error", result.Err)
			reached = false
		case result.Err != nil:
			m.lose(p, result.Err)
		default:
			m.committed(ctx, p, now, result)
		}
	}
	return reached
}

// completeLetters fills in the identity of letters of events that were read from the log. It removes the payload of every letter of the log's events:
// readers of the letter take it from the log, which may have erased its content by then.
func (m *Member) completeLetters(letters []groups.Letter) {
	for i := range letters {
		l := &letters[i]
		if l.Seq == 0 || m.config.Backlog == nil {
			continue
		}
		if l.Metadata == "" && l.UUID == "" {
			if r, err := m.config.Codec.Decode(l.Payload); err == nil {
				l.UUID, l.Metadata = string(r.ID), string(wireformat.EncodeMetadata(wireformat.Metadata(r.ID, r.Event, r.Meta)))
			}
		}
		l.Payload = nil
	}
}

// committed applies the answer to a commit.
func (m *Member) committed(ctx context.Context, p *delivery.Partition, sent time.Time, result groups.CommitResult) {
	m.config.Counters.DeadLetters.Add(uint64(result.Written)) //nolint:gosec // a count
	m.mu.Lock()
	changed := p.Committed(sent, result)
	m.unlock()
	m.dispatch()
	if !changed {
		return
	}
	if err := m.reload(ctx, p, result.Revision); err != nil {
		m.config.Logger.Debug("changes of a partition not read, trying again", "partition", p.String(), "group", m.config.Group, "error", err)
	}
}

// reload reads the changes that others made: dead letters to be redelivered, chats that are no longer parked, and a walk over all chats.
func (m *Member) reload(ctx context.Context, p *delivery.Partition, revision string) error {
	changes, err := m.config.Store.Changes(ctx, p.Partition)
	if err != nil {
		return err
	}
	m.mu.Lock()
	r := p.Reload(changes)
	m.unlock()
	resumed, err := m.checkpoints(ctx, p, r.Resumed)
	if err != nil {
		return err
	}
	letters, err := m.retried(ctx, p, r.Letters)
	if err != nil {
		return err
	}
	m.mu.Lock()
	p.Updated(changes, r, resumed, letters, revision)
	m.unlock()
	m.dispatch()
	return nil
}

// retried reads dead letters that are delivered again.
func (m *Member) retried(ctx context.Context, p *delivery.Partition, ids []string) ([]delivery.Retried, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	found, err := m.config.Store.Letters(ctx, p.Partition, ids)
	if err != nil {
		return nil, err
	}
	if err := m.readPayloads(ctx, p, found); err != nil {
		return nil, err
	}
	chats, letters := make([]string, len(found)), make([]delivery.Retried, len(found))
	for i, letter := range found {
		chats[i] = letter.Chat
	}
	checkpoints, err := m.checkpoints(ctx, p, chats)
	if err != nil {
		return nil, err
	}
	for i, letter := range found {
		entry := groups.Entry{UUID: letter.UUID, Metadata: letter.Metadata, Payload: letter.Payload, Seq: letter.Seq, Chat: letter.Chat}
		letters[i] = delivery.Retried{Record: m.record(&item{}, entry), Letter: letter, Checkpoint: checkpoints[i]}
	}
	return letters, nil
}

// readPayloads sets the payload of letters of the log's events to the event as the log has it now. An event that the log does not have keeps the payload that
// an older program stored.
func (m *Member) readPayloads(ctx context.Context, p *delivery.Partition, letters []groups.StoredLetter) error {
	var ranges []ports.EventRange
	var places []int
	for i, l := range letters {
		if l.Seq > 0 {
			ranges, places = append(ranges, ports.EventRange{Chat: domain.ChatID(l.Chat), From: l.Seq, Limit: 1}), append(places, i)
		}
	}
	if len(ranges) == 0 || m.config.Backlog == nil {
		return nil
	}
	pages, _, err := m.config.Backlog.ReadRaw(ctx, p.Number, "", ranges)
	if err != nil {
		return err
	}
	for i, page := range pages {
		if len(page.Events) > 0 {
			letters[places[i]].Payload = page.Events[0]
		}
	}
	return nil
}
