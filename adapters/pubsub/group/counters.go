package group

import (
	"maps"
	"sync"
	"sync/atomic"

	"chatcore/ports/groups"
)

// Counters are the counts of one consumer group in a process. The zero value is ready to use.
type Counters struct {
	Handled        atomic.Uint64 // finished by a handler
	Ignored        atomic.Uint64 // finished, of types that the group has no handler for
	DeadLetters    atomic.Uint64 // deliveries that became dead letters
	Held           atomic.Uint64 // last attempts whose delivery did not become a dead letter, because the group's bound was reached
	Backfilled     atomic.Uint64 // events that were read back from the log
	Fenced         atomic.Uint64 // partitions lost: another member owns them, or Redis has lost acknowledged commits
	StreamOverruns atomic.Uint64 // times that the group was too far behind for a stream that this process trimmed
	PhantomEntries atomic.Uint64 // events that a stream named and the log does not have
	Unstreamed     atomic.Uint64 // events that the log has and a stream did not, found by comparing heads with checkpoints
	Transient      atomic.Uint64 // handler starts that failed transiently: no attempts
	Offered        atomic.Uint64 // partitions offered to other members because of an event that this program cannot read
	Holes          Holes         // parts of the log that cannot be read now

	// Chats of this process's partitions that are reported as blocked now.
	BlockedTransient, BlockedNewer, BlockedSlow, BlockedPostponed atomic.Int64
}

// Blocked returns the number of chats that are blocked for a reason now.
func (c *Counters) Blocked(reason groups.BlockReason) int64 { return c.blocked(reason).Load() }

func (c *Counters) blocked(reason groups.BlockReason) *atomic.Int64 {
	switch reason {
	case groups.BlockedNewer:
		return &c.BlockedNewer
	case groups.BlockedSlow:
		return &c.BlockedSlow
	case groups.BlockedPostponed:
		return &c.BlockedPostponed
	case groups.BlockedTransient:
	}
	return &c.BlockedTransient
}

// CountersByGroup holds the counters of all consumer groups of a process. The zero value has none. All methods are safe for concurrent use.
type CountersByGroup struct {
	mu     sync.Mutex // guards: groups
	groups map[string]*Counters
}

// Of returns the counters of a group. It creates them if there are none.
func (g *CountersByGroup) Of(group string) *Counters {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.groups[group]
	if c == nil {
		if g.groups == nil {
			g.groups = make(map[string]*Counters)
		}
		c = &Counters{}
		g.groups[group] = c
	}
	return c
}

// All returns the counters of every group by group name.
func (g *CountersByGroup) All() map[string]*Counters {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.groups)
}
