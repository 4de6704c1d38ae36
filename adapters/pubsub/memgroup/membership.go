package memgroup

import (
	"context"
	"time"

	"chatcore/ports/groups"
)

// leastTTL is the shortest time to which the expiry of another member is cut after the clock was set back.
const leastTTL = 3 * time.Second

// membership is the members of a group.
type membership struct {
	starting bool                 // a member has created the group and sent no heartbeat yet
	living   map[string]time.Time // member → when its heartbeat expires
	declined map[offer]time.Time  // when they end
}

// offer is a partition that a member offers to others.
type offer struct{ member, stream string }

func (m *membership) running() bool { return m.starting || len(m.living) > 0 }

// membershipOf returns the members of a group. The mutex is held.
func (g *Groups) membershipOf(group string) *membership {
	m := g.members[group]
	if m == nil {
		m = &membership{living: make(map[string]time.Time), declined: make(map[offer]time.Time)}
		g.members[group] = m
	}
	return m
}

// exists reports whether a group exists on some partition. The mutex is held.
func (g *Groups) exists(group string) bool {
	for _, p := range g.partitions {
		if p.groups[group] != nil {
			return true
		}
	}
	return false
}

// Heartbeat implements [groups.Store].
func (s *store) Heartbeat(ctx context.Context, member string, ttl time.Duration, declined []groups.Partition, coolDown time.Duration) (groups.Members, error) {
	if err := s.begin(ctx); err != nil {
		return groups.Members{}, err
	}
	defer s.mu.Unlock()
	if !s.exists(s.group) {
		if ttl > 0 {
			return groups.Members{}, s.deleted()
		}
		return groups.Members{}, nil
	}
	m, now := s.membershipOf(s.group), s.now()
	m.starting = false
	m.expire(now, max(ttl, leastTTL), coolDown)
	if ttl > 0 {
		m.living[member] = now.Add(ttl)
	} else {
		delete(m.living, member)
	}
	for _, p := range declined {
		m.declined[offer{member, p.Stream}] = now.Add(coolDown)
	}
	return m.list(), nil
}

// expire removes the heartbeats and offers that have ended. An expiry that is further away than most, because the clock was set back, is cut. An offer
// that ends later than coolDown from now is removed.
func (m *membership) expire(now time.Time, most, coolDown time.Duration) {
	for member, at := range m.living {
		switch {
		case !at.After(now):
			delete(m.living, member)
		case at.Sub(now) > most:
			m.living[member] = now.Add(most)
		}
	}
	for o, at := range m.declined {
		if !at.After(now) || at.Sub(now) > coolDown {
			delete(m.declined, o)
		}
	}
}

// list returns the members.
func (m *membership) list() groups.Members {
	members := groups.Members{Living: byTime(m.living)}
	for o := range m.declined {
		if members.Declined == nil {
			members.Declined = make(map[string][]string)
		}
		members.Declined[o.stream] = append(members.Declined[o.stream], o.member)
	}
	return members
}
