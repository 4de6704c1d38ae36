package pubsub

import (
	"context"
	"errors"
	"time"

	"chatcore/ports"
)

const trimEvery = 5 * time.Second // between two trims of a partition's stream by its owner

// assignmentLoop sends heartbeats, acquires the partitions that are assigned to this member and releases the others, until ctx ends.
func (s *member) assignmentLoop(ctx context.Context) {
	period := min(s.config.Lease/6, 500*time.Millisecond)
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		s.assign(ctx)
		select {
		case <-tick.C:
		case <-s.assignments.c:
		case <-ctx.Done():
			return
		}
	}
}

func (s *member) assign(ctx context.Context) {
	s.reportSlow()
	declines := s.declines()
	now, err := s.store.heartbeat(ctx, s.partitions[0].Partition, s.instance, s.config.Lease, declines, s.config.CoolDown)
	switch {
	case ctx.Err() != nil:
		return
	case errors.Is(err, ports.ErrUnavailable):
		s.config.Logger.Debug("members of the group not known, trying again", "group", s.group, "error", err)
		return
	case err != nil:
		s.fail(err)
		return
	}
	s.declined(declines)
	wanted := s.rebalance(now)
	s.reclaimUndispatched()
	s.releaseDrained(ctx)
	s.acquirePartitions(ctx, wanted)
	s.trimPartitions(ctx)
}

// rebalance returns the partitions to acquire, and begins to drain those that are assigned to other members.
func (s *member) rebalance(now members) []*assignment {
	s.mu.Lock()
	defer s.mu.Unlock()
	var wanted []*assignment
	for _, l := range s.partitions {
		mine := now.owner(l.Partition) == s.instance
		switch {
		case mine && l.owned == nil:
			wanted = append(wanted, l)
		case l.owned != nil && l.owned.draining == mine:
			if l.owned.draining = !mine; mine { // it is assigned to this member again, and not yet released
				l.owned.resumeStalled()
			} else {
				l.owned.rewind()
			}
		}
	}
	return wanted
}

// releaseDrained releases the drained partitions.
func (s *member) releaseDrained(ctx context.Context) {
	s.mu.Lock()
	var held []released
	for _, l := range s.partitions {
		if l.owned != nil && l.owned.draining && l.owned.quiet() {
			held = append(held, l.release())
		}
	}
	s.mu.Unlock()
	if len(held) == 0 {
		return
	}
	if err := s.store.release(ctx, held); err != nil {
		s.config.Logger.Debug("partitions not released, their leases have to expire", "group", s.group, "error", err)
	}
}

func (s *member) acquirePartitions(ctx context.Context, wanted []*assignment) {
	if len(wanted) == 0 {
		return
	}
	partitions, lost := make([]Partition, len(wanted)), make([]bool, len(wanted))
	s.mu.Lock()
	for i, l := range wanted {
		partitions[i], lost[i] = l.Partition, l.lost
	}
	s.mu.Unlock()
	asked := time.Now()
	tenures, errs := s.store.acquire(ctx, partitions, lost, memberInfo{s.instance, s.config.Lease, s.config.DeadLetterBound})
	for i, found := range tenures {
		switch err := errs[i]; {
		case errors.Is(err, ports.ErrUnavailable):
			s.config.Logger.Debug("partition not acquired, trying again", "stream", partitions[i].Stream, "group", s.group, "error", err)
		case err != nil:
			s.fail(err)
			return
		case found != nil:
			s.begin(ctx, wanted[i], found, asked.Add(s.config.Lease-margin(s.config.Lease)))
		}
	}
}

// begin starts to read an acquired partition.
func (s *member) begin(ctx context.Context, l *assignment, found *lease, deadline time.Time) {
	ctx, stop := context.WithCancel(ctx)
	t := newOwnedPartition(s, l, found, deadline, stop)
	s.mu.Lock()
	l.owned, l.lost = t, false
	for chat, f := range l.unreserved {
		t.restore(chat, f)
	}
	clear(l.unreserved)
	s.mu.Unlock()
	s.config.Logger.Debug("partition acquired", "partition", t.String(), "group", s.group)
	s.reading.Go(func() { s.fetchLoop(ctx, t) })
	if t.overlap > 0 {
		s.reading.Go(func() { s.endOverlap(ctx, t) })
	}
	if l.logged() {
		s.reading.Go(func() { s.backfillLoop(ctx, t) })
		s.scans.wake()
	}
}

// trimPartitions removes the entries that all groups have passed from the streams of this member's partitions.
func (s *member) trimPartitions(ctx context.Context) {
	s.mu.Lock()
	var due []*assignment
	now := time.Now()
	for _, l := range s.partitions {
		if l.owned != nil && now.Sub(l.trimmed) >= trimEvery {
			l.trimmed = now
			due = append(due, l)
		}
	}
	s.mu.Unlock()
	for _, l := range due {
		_, moved, err := s.store.trim(ctx, l.Partition, s.config.Bound)
		switch {
		case err != nil && ctx.Err() == nil:
			s.config.Logger.Debug("stream not trimmed, trying again", "stream", l.Stream, "error", err)
		case len(moved) > 0:
			for _, group := range moved {
				s.config.CountersOf(group).StreamOverruns.Add(1)
			}
			s.config.Logger.Warn("groups were too far behind for the stream: chats catch up from the log, entries of other programs are lost", "stream", l.Stream, "groups", moved)
		}
	}
}
