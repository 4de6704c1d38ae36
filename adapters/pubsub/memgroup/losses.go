package memgroup

import (
	"context"
	"maps"
	"slices"
	"time"

	"chatcore/ports/groups"
)

// Fence ends the lease of a partition's owner, as a repair of the group does: the owner's next commit returns [groups.ErrFenced]. It does nothing if
// the group does not exist.
func (g *Groups) Fence(group string, p groups.Partition) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.partition(p).groups[group]; s != nil {
		s.epoch = max(s.epoch, g.partition(p).epoch) + 1
		s.until = time.Time{}
	}
}

// Lose removes the entries of a stream for which lost returns true, and returns their number. The log keeps their events. It is what an interrupted
// append, a trim by another program or a server without its last writes leaves behind.
func (g *Groups) Lose(ctx context.Context, p groups.Partition, lost func(e groups.Entry) bool) (n int, err error) {
	if err := g.begin(ctx); err != nil {
		return 0, err
	}
	defer g.mu.Unlock()
	s := &g.partition(p).stream
	before := len(s.entries)
	s.entries = slices.DeleteFunc(slices.Clone(s.entries), lost)
	return before - len(s.entries), nil
}

// Snapshot is a copy of the state of all groups and of the ends of the streams at a moment.
type Snapshot struct {
	partitions []*partition
	members    map[string]*membership
}

// Snapshot returns a copy of the present state.
func (g *Groups) Snapshot() *Snapshot {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := &Snapshot{members: g.members}
	for _, p := range g.partitions {
		s.partitions = append(s.partitions, p.clone())
	}
	return s.clone()
}

// Restore brings a snapshot back: the store has lost every write and every entry since, as a server does that is replaced by a replica that lacks them.
// The log keeps its events.
func (g *Groups) Restore(ctx context.Context, s *Snapshot) error {
	if err := g.begin(ctx); err != nil { // entries that no stream has yet are lost too
		return err
	}
	defer g.mu.Unlock()
	restored := s.clone()
	for i, p := range restored.partitions {
		g.partitions[i].restore(p)
	}
	for _, p := range g.partitions[len(restored.partitions):] {
		p.restore(&partition{groups: make(map[string]*groupState)})
	}
	g.members = restored.members
	g.wake()
	return nil
}

// restore makes the partition what another one is. Neither ids of entries that were lost nor epochs are given again: both are times, and to replace a
// server takes time, also where a test's clock stands still.
func (p *partition) restore(from *partition) {
	for _, s := range p.groups {
		p.epoch = max(p.epoch, s.epoch)
	}
	end := p.stream.end
	p.stream, p.groups, p.shared = from.stream, from.groups, from.shared
	p.stream.end = end
}

func (s *Snapshot) clone() *Snapshot {
	c := &Snapshot{members: make(map[string]*membership, len(s.members))}
	for _, p := range s.partitions {
		c.partitions = append(c.partitions, p.clone())
	}
	for name, m := range s.members {
		c.members[name] = &membership{m.starting, maps.Clone(m.living), maps.Clone(m.declined)}
	}
	return c
}

// clone returns a copy that shares nothing that changes.
func (p *partition) clone() *partition {
	c := *p
	c.stream.entries = slices.Clone(p.stream.entries)
	c.shared = slices.Clone(p.shared)
	c.groups = make(map[string]*groupState, len(p.groups))
	for name, s := range p.groups {
		c.groups[name] = s.clone()
	}
	return &c
}
