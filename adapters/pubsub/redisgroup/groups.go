package redisgroup

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/ports"
	"chatcore/ports/groups"
)

// Groups holds the consumer groups of some partitions. It is safe for concurrent use.
type Groups struct {
	commands   goredis.UniversalClient
	partitions []Partition
	guard      LogGuard
	backlog    ports.Backlog
	scripts    scripts
	reader     *Reader
	timeout    time.Duration
}

var _ groups.Stores = (*Groups)(nil)

// Config configures [New]. Groups closes none of its fields.
type Config struct {
	Commands goredis.UniversalClient
	Blocking goredis.UniversalClient // for reads that wait: each stream that is waited for occupies a connection of its pool
	// TakeReply returns the raw reply of Blocking to a read of a stream, if its connections keep replies. Defaults to the reply that the client gives.
	TakeReply  func(raw []byte) []byte
	Partitions []Partition // that each group reads, at least one unless only [Groups.Stream] is used; a heartbeat is kept on the first
	Log        Log         // that the partitions carry; nil if none of them carries one

	// Timeout bounds one step of a member, such as a commit. It should be far below a lease, so that a connection that swallows its input is replaced
	// in time. Defaults to 1 s.
	Timeout time.Duration
}

// Log is a log whose appends write its delivery streams.
type Log interface {
	LogGuard
	ports.Backlog
}

// New returns the groups of some partitions.
func New(c Config) *Groups {
	g := &Groups{commands: c.Commands, partitions: c.Partitions, scripts: newScripts(), reader: NewReader(c.Blocking, c.TakeReply), timeout: c.Timeout}
	if g.timeout <= 0 {
		g.timeout = time.Second
	}
	if c.Log != nil {
		g.guard, g.backlog = c.Log, c.Log
	}
	return g
}

// Store returns the store of a group. All stores share one [Reader].
func (g *Groups) Store(group string) groups.Store { return g.store(group) }

func (g *Groups) store(group string) *store {
	s := &store{shared: g, group: group, states: make(map[string]*groupPartition, len(g.partitions))}
	for _, p := range g.partitions {
		s.states[p.Stream] = p.of(group)
	}
	return s
}

// Partitions returns the partitions that each group reads.
func (g *Groups) Partitions() []groups.Partition {
	partitions := make([]groups.Partition, len(g.partitions))
	for i, p := range g.partitions {
		partitions[i] = p.bare()
	}
	return partitions
}

// Stream returns the groups of a stream that carries no log. Their state lies beside the stream. They share the clients and the [Reader] with g: [Groups.Close]
// of either ends the reads of both.
func (g *Groups) Stream(name string) groups.Stores {
	return &Groups{commands: g.commands, partitions: []Partition{NewPartition(name)}, scripts: g.scripts, reader: g.reader, timeout: g.timeout}
}

// Close ends the reads of all stores.
func (g *Groups) Close() error { return g.reader.Close() }

// timely bounds a step of a member. Errors are translated with the context of the caller, because a timeout of the step is not one of the caller.
func (g *Groups) timely(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, g.timeout)
}

// stepError returns the error of a bounded step that another adapter has translated.
func stepError(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return ports.NotEnded(err)
	}
	return err
}
