package pubsub

import (
	"context"
	"errors"
	"time"

	"chatcore/ports"
)

const trimEvery = 5 * time.Second // between two trims of a partition's stream by its owner

// rule sends heartbeats, acquires the partitions that are assigned to this member and releases the others, until ctx ends.
func (s *subscription) rule(ctx context.Context) {
	period := min(s.config.Lease/6, 500*time.Millisecond)
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		s.ruleOnce(ctx)
		select {
		case <-tick.C:
		case <-s.rules.c:
		case <-ctx.Done():
			return
		}
	}
}

func (s *subscription) ruleOnce(ctx context.Context) {
	s.reportSlow()
	declines := s.declines()
	now, err := s.store.beat(ctx, s.lanes[0].Lane, s.instance, s.config.Lease, declines, s.config.CoolDown)
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
	wanted := s.share(now)
	s.recall()
	s.giveBack(ctx)
	s.takeLanes(ctx, wanted)
	s.trimLanes(ctx)
}

// share returns the partitions to acquire, and begins to drain those that are assigned to other members.
func (s *subscription) share(now members) []*laneState {
	s.mu.Lock()
	defer s.mu.Unlock()
	var wanted []*laneState
	for _, l := range s.lanes {
		mine := now.owner(l.Lane) == s.instance
		switch {
		case mine && l.term == nil:
			wanted = append(wanted, l)
		case l.term != nil && l.term.draining == mine:
			if l.term.draining = !mine; mine { // it is assigned to this member again, and not yet released
				l.term.unstall()
			} else {
				l.term.rewind()
			}
		}
	}
	return wanted
}

// giveBack releases the drained partitions.
func (s *subscription) giveBack(ctx context.Context) {
	s.mu.Lock()
	var held []released
	for _, l := range s.lanes {
		if l.term != nil && l.term.draining && l.term.quiet() {
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

func (s *subscription) takeLanes(ctx context.Context, wanted []*laneState) {
	if len(wanted) == 0 {
		return
	}
	lanes, lost := make([]Lane, len(wanted)), make([]bool, len(wanted))
	s.mu.Lock()
	for i, l := range wanted {
		lanes[i], lost[i] = l.Lane, l.lost
	}
	s.mu.Unlock()
	asked := time.Now()
	tenures, errs := s.store.acquire(ctx, lanes, lost, memberInfo{s.instance, s.config.Lease, s.config.DeadLetterBound})
	for i, found := range tenures {
		switch err := errs[i]; {
		case errors.Is(err, ports.ErrUnavailable):
			s.config.Logger.Debug("partition not acquired, trying again", "stream", lanes[i].Stream, "group", s.group, "error", err)
		case err != nil:
			s.fail(err)
			return
		case found != nil:
			s.begin(ctx, wanted[i], found, asked.Add(s.config.Lease-margin(s.config.Lease)))
		}
	}
}

// begin starts to read an acquired partition.
func (s *subscription) begin(ctx context.Context, l *laneState, found *tenure, deadline time.Time) {
	ctx, stop := context.WithCancel(ctx)
	t := newTerm(s, l, found, deadline, stop)
	s.mu.Lock()
	l.term, l.lost = t, false
	for chat, f := range l.unreserved {
		t.restore(chat, f)
	}
	clear(l.unreserved)
	s.mu.Unlock()
	s.config.Logger.Debug("partition acquired", "lane", t.String(), "group", s.group)
	s.reading.Go(func() { s.follow(ctx, t) })
	if t.overlap > 0 {
		s.reading.Go(func() { s.endOverlap(ctx, t) })
	}
	if l.logged() {
		s.reading.Go(func() { s.catchUp(ctx, t) })
		s.scans.wake()
	}
}

// trimLanes removes the entries that all groups have passed from the streams of this member's partitions.
func (s *subscription) trimLanes(ctx context.Context) {
	s.mu.Lock()
	var due []*laneState
	now := time.Now()
	for _, l := range s.lanes {
		if l.term != nil && now.Sub(l.trimmed) >= trimEvery {
			l.trimmed = now
			due = append(due, l)
		}
	}
	s.mu.Unlock()
	for _, l := range due {
		_, moved, err := s.store.trim(ctx, l.Lane, s.config.Bound)
		switch {
		case err != nil && ctx.Err() == nil:
			s.config.Logger.Debug("stream not trimmed, trying again", "stream", l.Stream, "error", err)
		case len(moved) > 0:
			for _, group := range moved {
				s.config.CountersOf(group).Overrun.Add(1)
			}
			s.config.Logger.Warn("groups were too far behind for the stream: chats catch up from the log, entries of other programs are lost", "stream", l.Stream, "groups", moved)
		}
	}
}
