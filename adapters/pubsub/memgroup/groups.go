package memgroup

import (
	"cmp"
	"context"
	"hash/fnv"
	"slices"
	"strconv"
	"sync"
	"time"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// Stream is the name of the only partition's stream. With several partitions, the number of the partition follows it.
const Stream = "memory"

// Log is an event log in one process. The groups call it with their mutex held, so its methods must not call them.
type Log interface {
	ports.Feed
	ports.Backlog
}

// Config configures [Groups].
type Config struct {
	Log        Log               // required
	Codec      *wireformat.Codec // required
	Clock      ports.Clock       // measures leases, heartbeats and ages. Required
	Partitions int               // parts of the log, which different members can own. Defaults to 1
	Moved      func()            // is called after each commit, without a lock held. Defaults to none
}

// Groups holds the consumer groups of a log in memory. They end with the process. All methods are safe for concurrent use.
type Groups struct {
	log   Log
	codec *wireformat.Codec
	clock ports.Clock
	moved func()

	mu         sync.Mutex // guards all below, and the partitions
	partitions []*partition
	members    map[string]*membership // by group
	read       uint64                 // position in the log's feed up to which the streams have its records
	waiters    map[*waiter]struct{}
}

var _ groups.Stores = (*Groups)(nil)

// partition is a partition with its stream. It has an entry in groups for each group that exists on it.
type partition struct {
	groups.Partition
	stream stream
	groups map[string]*groupState
	epoch  uint64            // the highest of a group before the last restore
	shared []groups.StreamID // unreadable entries that are dead letters of some group, the oldest first, at most sharedLetters
}

// New returns the groups of a log, of which there are none yet.
func New(c Config) *Groups {
	g := &Groups{log: c.Log, codec: c.Codec, clock: c.Clock, moved: c.Moved, members: make(map[string]*membership), waiters: make(map[*waiter]struct{})}
	if g.moved == nil {
		g.moved = func() {}
	}
	n := max(c.Partitions, 1)
	for i := range n {
		name := Stream
		if n > 1 {
			name += strconv.Itoa(i)
		}
		g.add(groups.Partition{Stream: name, Number: i})
	}
	return g
}

// add adds a partition.
func (g *Groups) add(p groups.Partition) *partition {
	added := &partition{Partition: p, groups: make(map[string]*groupState)}
	g.partitions = append(g.partitions, added)
	return added
}

// Partitions implements [groups.Stores]. It returns the partitions of the log.
func (g *Groups) Partitions() (all []groups.Partition) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.partitions {
		if p.Logged() {
			all = append(all, p.Partition)
		}
	}
	return all
}

// Store implements [groups.Stores].
func (g *Groups) Store(group string) groups.Store { return &store{Groups: g, group: group} }

// partition returns a partition by its stream. A stream that carries no log exists from its first use on. The mutex is held.
func (g *Groups) partition(p groups.Partition) *partition {
	i := slices.IndexFunc(g.partitions, func(known *partition) bool { return known.Stream == p.Stream })
	if i < 0 {
		return g.add(groups.Partition{Stream: p.Stream, Number: -1})
	}
	return g.partitions[i]
}

// PartitionOf returns the partition of a chat.
func (g *Groups) PartitionOf(chat domain.ChatID) groups.Partition {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.partitionOf(chat).Partition
}

// partitionOf returns the partition of a chat. The mutex is held.
func (g *Groups) partitionOf(chat domain.ChatID) *partition {
	n := uint32(0)
	for _, p := range g.partitions {
		if p.Logged() {
			n++
		}
	}
	if n == 1 {
		return g.partitions[0]
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(chat))
	return g.partitions[h.Sum32()%n] // those of the log come first
}

// now returns the time in whole milliseconds, as ids of entries have it.
func (g *Groups) now() time.Time { return time.UnixMilli(g.clock.Now().UnixMilli()).UTC() }

// Idle reports whether every running group has finished all events, apart from chats that wait for a decision.
func (g *Groups) Idle() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	unread := g.read < g.log.End()
	for _, p := range g.partitions {
		for name, s := range p.groups {
			if g.membershipOf(name).running() && (unread || !s.idle(&p.stream)) {
				return false
			}
		}
	}
	return true
}

// begin begins a call: it locks the mutex and appends the log's new records to the streams. It returns an error, with the mutex not locked, if ctx has
// ended or the log cannot be read.
func (g *Groups) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return ports.Unavailable(ctx, err)
	}
	g.mu.Lock()
	if err := g.pull(ctx); err != nil {
		g.mu.Unlock()
		return ports.Unavailable(ctx, err)
	}
	return nil
}

// byTime orders names by an expiry, and those with the same expiry by name.
func byTime(times map[string]time.Time) []string {
	names := make([]string, 0, len(times))
	for name := range times {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(times[a].Compare(times[b]), cmp.Compare(a, b)) })
	return names
}
