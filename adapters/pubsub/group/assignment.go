package group

import (
	"context"
	"errors"
	"time"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/internal/backoff"
	"chatcore/ports"
	"chatcore/ports/groups"
)

const trimEvery = 5 * time.Second // between two trims of a partition's stream by its owner

// partitionLoops are the loops of an owned partition.
type partitionLoops struct {
	ctx   context.Context // ends with the lease
	stop  context.CancelFunc
	room  signal // for fetchLoop: the window may have room
	steps signal // for backfillLoop: there may be a step
}

// assignmentLoop sends heartbeats, acquires the partitions that are assigned to this member and releases the others, until ctx ends.
func (m *Member) assignmentLoop(ctx context.Context) {
	period := min(m.config.Lease/6, 500*time.Millisecond)
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		m.assign(ctx)
		select {
		case <-tick.C:
		case <-m.assignments.c:
		case <-ctx.Done():
			return
		}
	}
}

func (m *Member) assign(ctx context.Context) {
	m.mu.Lock()
	m.core.Tick(time.Now())
	declined := m.core.Declines()
	m.unlock()
	living, err := m.config.Store.Heartbeat(ctx, m.name, m.config.Lease, declined, m.config.CoolDown)
	switch {
	case ctx.Err() != nil:
		return
	case errors.Is(err, ports.ErrUnavailable):
		m.config.Logger.Debug("members of the group not known, trying again", "group", m.config.Group, "error", err)
		return
	case err != nil:
		m.fail(err)
		return
	}
	m.mu.Lock()
	m.core.Declined(declined)
	wanted := m.core.Rebalance(living, m.name, time.Now())
	m.unlock()
	m.reclaim()
	m.releaseDrained(ctx)
	m.acquire(ctx, wanted)
	m.trim(ctx)
}

// releaseDrained releases the drained partitions.
func (m *Member) releaseDrained(ctx context.Context) {
	m.mu.Lock()
	held := m.core.ReleaseDrained()
	m.unlock()
	if len(held) == 0 {
		return
	}
	if err := m.config.Store.Release(ctx, held); err != nil {
		m.config.Logger.Debug("partitions not released, their leases have to expire", "group", m.config.Group, "error", err)
	}
}

func (m *Member) acquire(ctx context.Context, wanted []int) {
	if len(wanted) == 0 {
		return
	}
	partitions, lost := make([]groups.Partition, len(wanted)), make([]bool, len(wanted))
	m.mu.Lock()
	for n, i := range wanted {
		partitions[n], lost[n] = m.config.Partitions[i], m.core.LostRecords(i)
	}
	m.mu.Unlock()
	asked := time.Now()
	leases, errs := m.config.Store.Acquire(ctx, partitions, lost, groups.Applicant{Member: m.name, Lease: m.config.Lease, DeadLetterBound: m.config.DeadLetterBound})
	for n, found := range leases {
		switch err := errs[n]; {
		case errors.Is(err, ports.ErrUnavailable):
			m.config.Logger.Debug("partition not acquired, trying again", "stream", partitions[n].Stream, "group", m.config.Group, "error", err)
		case err != nil:
			m.fail(err)
			return
		case found != nil:
			m.begin(ctx, wanted[n], found, asked)
		}
	}
}

// begin starts to read an acquired partition.
func (m *Member) begin(ctx context.Context, i int, found *groups.Lease, asked time.Time) {
	loops := &partitionLoops{room: newSignal(), steps: newSignal()}
	loops.ctx, loops.stop = context.WithCancel(ctx)
	m.mu.Lock()
	p := m.core.Acquired(i, found, asked, time.Now())
	p.Data = loops
	m.unlock()
	m.config.Logger.Debug("partition acquired", "partition", p.String(), "group", m.config.Group)
	m.reading.Go(func() { m.fetchLoop(loops, p, found.Position) })
	if found.Overlap > 0 {
		m.reading.Go(func() { m.endOverlap(loops.ctx, p, found.Overlap) })
	}
	if p.Logged() {
		m.reading.Go(func() { m.backfillLoop(loops, p) })
		m.scans.wake()
	}
}

// endOverlap waits until no earlier owner of a partition can start handlers any more, and reads up to which entry it may have started them. Until
// then every entry counts as one of these.
//
// A lease ends early if the store's clock is set forward, or if a rebuild or a repair ends it. Its owner starts handlers for new events until its next
// commit, or until its lease ends by its own clock: at most for its lease after this member has acquired the partition.
func (m *Member) endOverlap(ctx context.Context, p *delivery.Partition, overlap time.Duration) {
	if backoff.Sleep(ctx, overlap) != nil {
		return
	}
	for wait := newPauses(); ; {
		end, err := m.config.Store.Last(ctx, p.Partition)
		if err == nil {
			m.mu.Lock()
			p.OverlapEnded(end)
			m.unlock()
			return
		}
		m.config.Logger.Debug("end of the stream not read, trying again", "partition", p.String(), "group", m.config.Group, "error", err)
		if !wait.after(ctx) {
			return
		}
	}
}

// lose ends a lease whose partition another member owns by now, or whose past the store has lost. It ends the member if nothing can be delivered any
// more.
func (m *Member) lose(p *delivery.Partition, err error) {
	m.mu.Lock()
	first := m.core.Lost(p, errors.Is(err, groups.ErrLostWrites))
	m.unlock()
	if !first { // fetch and commit may both find out
		return
	}
	switch {
	case errors.Is(err, groups.ErrFenced), errors.Is(err, groups.ErrLostWrites):
		m.config.Store.Forget(p.Partition)
		m.config.Counters.Fenced.Add(1)
		m.config.Logger.Warn("partition lost", "partition", p.String(), "group", m.config.Group, "error", err)
	default:
		m.fail(err)
	}
}

// trim removes the entries that all groups have passed from the streams of this member's partitions.
func (m *Member) trim(ctx context.Context) {
	var due []groups.Partition
	now := time.Now()
	m.mu.Lock()
	for i, p := range m.config.Partitions {
		if m.core.Owned(i) != nil && now.Sub(m.trims[i]) >= trimEvery {
			m.trims[i] = now
			due = append(due, p)
		}
	}
	m.mu.Unlock()
	for _, p := range due {
		overrun, err := m.config.Store.Trim(ctx, p, m.config.Bound)
		switch {
		case err != nil && ctx.Err() == nil:
			m.config.Logger.Debug("stream not trimmed, trying again", "stream", p.Stream, "error", err)
		case len(overrun) > 0:
			for _, group := range overrun {
				m.config.CountersOf(group).StreamOverruns.Add(1)
			}
			m.config.Logger.Warn("groups were too far behind for the stream: chats catch up from the log, entries of other programs are lost", "stream", p.Stream, "groups", overrun)
		}
	}
}
