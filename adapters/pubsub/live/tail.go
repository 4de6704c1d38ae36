package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// TailConfig is the configuration of a [Tail].
type TailConfig struct {
	PubSub      *PubSub                 // whose connection is shared. Required; is not closed
	Client      goredis.UniversalClient // reads the streams. Required; is not closed
	Partitions  []TailPartition         // of the log. Required
	PartitionOf func(domain.ChatID) int // partition of a chat, from 0. Required
	Memberships string                  // channel of users whose chats change. Required
	Codec       *wireformat.Codec       // Required

	Now    func() time.Time // for events of other programs that have no time. Defaults to time.Now
	Sweep  time.Duration    // time between two reads of the watched streams, varied by a quarter. Defaults to 2 s
	Linger time.Duration    // how long a partition stays watched without a watcher. Defaults to 5 s
	Bound  int              // entries of a stream that are read at most before the rest is given up as lost. Defaults to 4,096
	Logger *slog.Logger     // Defaults to slog.Default
}

// TailPartition names what Redis has of a partition.
type TailPartition struct {
	Stream  string // key of the delivery stream
	Channel string // on which appends announce their events
}

// Tail implements [ports.Tail] on Redis.
//
// It subscribes to the channel of a partition while somebody watches the partition: on the connection of its [PubSub], or on a Cluster on one connection
// for each master, by SSUBSCRIBE. An announcement names the entry before its events. If that is the last entry that the tail knows, nothing was missed, and the
// watchers hear the events at once. Otherwise the tail reads the stream from the last entry that it knows.
//
// The tail also reads the watched streams of each server every TailConfig.Sweep and after each new subscription: one command that does not wait. So events
// that were never announced, or whose announcement got lost, are heard that much later.
type Tail struct {
	config  TailConfig
	cluster *goredis.ClusterClient // nil on a single server

	announcements, holes, found, losts, malformed, reconnects atomic.Uint64

	ctx      context.Context // of the goroutines; ends with Close
	stop     context.CancelFunc
	running  sync.WaitGroup
	relocate chan struct{} // of capacity 1: signals that partitions need a node
	stale    atomic.Bool   // the known topology of the Cluster may be outdated

	// mu guards: all below, and the fields of partitions and nodes that say so. Invariant: no I/O happens while it is held. It is locked before the
	// mutexes of a link and of its channels, and never together with that of a partition.
	mu      sync.Mutex
	open    map[int]*partition
	nodes   map[string]*node // by address; "" on a single server
	others  map[*calls]func()
	placing bool // a goroutine places partitions
	closed  bool
}

var _ ports.Tail = (*Tail)(nil)

// NewTail returns a tail. It sends nothing before the first watch.
func NewTail(c TailConfig) *Tail {
	if c.Sweep <= 0 {
		c.Sweep = 2 * time.Second
	}
	if c.Linger <= 0 {
		c.Linger = 5 * time.Second
	}
	if c.Bound <= 0 {
		c.Bound = 4096
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	t := &Tail{
		config: c, relocate: make(chan struct{}, 1), open: make(map[int]*partition), nodes: make(map[string]*node), others: make(map[*calls]func()),
	}
	t.cluster, _ = c.Client.(*goredis.ClusterClient)
	t.ctx, t.stop = context.WithCancel(context.Background())
	return t
}

// Partitions implements [ports.Tail].
func (t *Tail) Partitions() int { return len(t.config.Partitions) }

// PartitionOf implements [ports.Tail].
func (t *Tail) PartitionOf(chat domain.ChatID) int { return t.config.PartitionOf(chat) }

// Watch implements [ports.Tail]. It waits until the server has confirmed the subscription, and takes the last entry of the stream as the beginning. Both are
// done already if the partition is watched, or was within TailConfig.Linger. While Redis is unavailable, Watch waits. It returns a [*domain.InvalidError] for a
// partition that does not exist.
func (t *Tail) Watch(ctx context.Context, partition int, w ports.TailWatcher) (stop func(), err error) {
	if partition < 0 || partition >= len(t.config.Partitions) {
		return nil, &domain.InvalidError{Field: "partition", Problem: fmt.Sprintf("is %d", partition), Allowed: fmt.Sprintf("0 to %d", len(t.config.Partitions)-1)}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p, err := t.acquire(partition)
	if err != nil {
		return nil, err
	}
	select {
	case <-p.ready:
	case <-ctx.Done():
		t.release(p)
		return nil, ctx.Err()
	case <-t.ctx.Done():
		return nil, ports.ErrClosed
	}
	leave := p.add(w)
	return sync.OnceFunc(func() {
		leave()
		t.release(p)
	}), nil
}

// acquire returns an open partition, and counts its user.
func (t *Tail) acquire(index int) (*partition, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, ports.ErrClosed
	}
	p := t.open[index]
	if p == nil {
		p = newPartition(t, index)
		t.open[index] = p
		t.place(p)
	}
	p.users++
	return p, nil
}

// release removes a user of a partition. The partition is closed if it has none after TailConfig.Linger.
func (t *Tail) release(p *partition) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.users--; p.users > 0 || t.closed {
		return
	}
	p.uses++
	uses := p.uses
	time.AfterFunc(t.config.Linger, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if p.users == 0 && p.uses == uses && t.open[p.index] == p {
			delete(t.open, p.index)
			t.leave(p)
		}
	})
}

// Decode implements [ports.Tail]. The event is what a read of the log gives: a [domain.Unknown] if only a later version of the program can read it.
func (t *Tail) Decode(n ports.Notice) (ports.Record, error) {
	r, err := t.config.Codec.Decode(n.JSON)
	if errors.Is(err, wireformat.ErrNewerVersion) || errors.Is(err, wireformat.ErrUnknownType) {
		r, err = t.config.Codec.DecodeUnknown(n.JSON)
	}
	switch {
	case err != nil:
		return ports.Record{}, &ports.CorruptError{Chat: n.Chat, Seq: n.Seq, Cause: err}
	case r.Seq != n.Seq || r.Event.ChatID() != n.Chat:
		return ports.Record{}, &ports.CorruptError{
			Chat: n.Chat, Seq: n.Seq, Cause: fmt.Errorf("the event is that of seq %d of chat %q", r.Seq, r.Event.ChatID()),
		}
	}
	return r, nil
}

// Announcements returns the number of announcements received.
func (t *Tail) Announcements() uint64 { return t.announcements.Load() }

// Holes returns how often an announcement did not follow the last known entry, so that the stream was read.
func (t *Tail) Holes() uint64 { return t.holes.Load() }

// Found returns the number of events that watchers heard because the stream was read, not because they were announced.
func (t *Tail) Found() uint64 { return t.found.Load() }

// Losts returns how often events of a partition may have been lost, see [ports.TailWatcher].
func (t *Tail) Losts() uint64 { return t.losts.Load() }

// Malformed returns the number of announcements, stream entries and ephemeral events that could not be read. Ephemeral events count once for each watcher.
func (t *Tail) Malformed() uint64 { return t.malformed.Load() }

// Reconnects returns how often a working connection was lost, including that of the [PubSub].
func (t *Tail) Reconnects() uint64 { return t.reconnects.Load() + t.config.PubSub.Reconnects() }

// Err returns why the subscriptions do not work now, or nil: the error of the last connection that was lost, until the next one is subscribed. Watches
// that wait for a connection meanwhile go on to wait.
func (t *Tail) Err() error {
	if err := t.config.PubSub.link.err(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.nodes {
		if err := n.link.err(); err != nil {
			return err
		}
	}
	return nil
}

// Close ends all watches. Watchers are not called after it has returned.
func (t *Tail) Close() {
	t.mu.Lock()
	t.closed = true
	t.stop()
	open, others := t.open, t.others
	t.open, t.others = make(map[int]*partition), make(map[*calls]func())
	for _, p := range open {
		t.leave(p)
	}
	t.mu.Unlock()
	for _, p := range open {
		p.close()
	}
	for c, leave := range others {
		c.end()
		leave()
	}
	t.running.Wait()
}

// interval returns the time to the next sweep. It varies so that processes that start together spread.
func (t *Tail) interval() time.Duration {
	return t.config.Sweep*3/4 + rand.N(t.config.Sweep/2+1) //nolint:gosec // spreads load
}
