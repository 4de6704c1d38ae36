package live

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/ports/groups"
)

// Bounds of one read.
const (
	readLimit   = 5 * time.Second // timeout
	readEntries = 2048            // entries of all streams together, about
	readFewest  = 16              // of a stream
	readMost    = 512
)

// node reads the streams of one server: of the only one, or of a master of a Cluster.
type node struct {
	tail   *Tail
	addr   string
	link   *link
	stop   context.CancelFunc
	kicked chan struct{} // of capacity 1

	client     goredis.UniversalClient // guarded by Tail.mu
	partitions map[*partition]struct{} // guarded by Tail.mu
}

// newNode returns a node whose goroutine runs. mu is held.
func (t *Tail) newNode(addr string, client goredis.UniversalClient) *node {
	n := &node{
		tail: t, addr: addr, link: t.config.PubSub.link, kicked: make(chan struct{}, 1), client: client, partitions: make(map[*partition]struct{}),
	}
	if t.cluster != nil {
		n.link = &link{
			open: n.connect, sharded: true, probe: t.config.PubSub.config.Probe, logger: t.config.Logger, channels: newChannelSet(),
			lost: func(worked bool) {
				if worked {
					t.reconnects.Add(1)
				}
				t.misplaced()
			},
		}
	}
	var ctx context.Context
	ctx, n.stop = context.WithCancel(t.ctx)
	t.running.Go(func() { n.run(ctx) })
	return n
}

// connect returns a connection to the node.
func (n *node) connect(ctx context.Context) *goredis.PubSub {
	n.tail.mu.Lock()
	client := n.client
	n.tail.mu.Unlock()
	return client.SSubscribe(ctx)
}

// wake has the node read the partitions that need it.
func (n *node) wake() {
	select {
	case n.kicked <- struct{}{}:
	default:
	}
}

// run reads all partitions every TailConfig.Sweep, and those that need it at once, until ctx ends.
func (n *node) run(ctx context.Context) {
	timer := time.NewTimer(n.tail.interval())
	defer timer.Stop()
	pauses := reconnectPauses()
	for failed := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			timer.Reset(n.tail.interval())
			_, partitions := n.present()
			for _, p := range partitions {
				p.retry()
			}
		case <-n.kicked:
		}
		err := n.read(ctx)
		if err == nil || ctx.Err() != nil {
			failed = 0
			continue
		}
		if failed++; failed == 1 {
			n.tail.config.Logger.WarnContext(ctx, "streams cannot be read, trying again", "error", err)
		}
		n.tail.misplaced()
		_ = pauses.Wait(ctx, failed)
		n.wake()
	}
}

// present returns the client and the partitions of the node.
func (n *node) present() (goredis.UniversalClient, []*partition) {
	n.tail.mu.Lock()
	defer n.tail.mu.Unlock()
	partitions := make([]*partition, 0, len(n.partitions))
	for p := range n.partitions {
		partitions = append(partitions, p)
	}
	return n.client, partitions
}

// read reads until no partition needs anything.
func (n *node) read(ctx context.Context) error {
	for ctx.Err() == nil {
		client, partitions := n.present()
		var positions, streams []*partition
		var after []groups.StreamID
		for _, p := range partitions {
			last, entries, id := p.next()
			if last {
				positions = append(positions, p)
			}
			if entries {
				streams, after = append(streams, p), append(after, id)
			}
		}
		if len(positions)+len(streams) == 0 {
			return nil
		}
		if err := errors.Join(n.begin(ctx, client, positions), n.entries(ctx, client, streams, after)); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// begin reads the last entries of streams, in one round trip.
func (n *node) begin(ctx context.Context, client goredis.UniversalClient, partitions []*partition) error {
	if len(partitions) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	last := make([]*goredis.XMessageSliceCmd, len(partitions))
	_, err := client.Pipelined(ctx, func(pipe goredis.Pipeliner) error {
		for i, p := range partitions {
			last[i] = pipe.XRevRangeN(ctx, p.Stream, "+", "-", 1)
		}
		return nil
	})
	for i, p := range partitions {
		if last[i].Err() != nil {
			continue
		}
		id := groups.StreamID{}
		if found := last[i].Val(); len(found) > 0 {
			var malformed error
			if id, malformed = groups.ParseStreamID(found[0].ID); malformed != nil {
				err = errors.Join(err, malformed)
				continue
			}
		}
		p.begin(id)
	}
	return err
}

// entries reads what streams have after ids: in one command, or in one round trip on a Cluster, where a command about several slots is refused.
func (n *node) entries(ctx context.Context, client goredis.UniversalClient, partitions []*partition, after []groups.StreamID) error {
	if len(partitions) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	count := min(max(readEntries/len(partitions), readFewest), readMost)
	groups := [][]*partition{partitions}
	if n.tail.cluster != nil {
		groups = groups[:0]
		for i := range partitions {
			groups = append(groups, partitions[i:i+1])
		}
	}
	cmds := make([]*goredis.XStreamSliceCmd, len(groups))
	_, err := client.Pipelined(ctx, func(pipe goredis.Pipeliner) error {
		at := 0
		for i, group := range groups {
			args := make([]string, 2*len(group))
			for j, p := range group {
				args[j], args[len(group)+j] = p.Stream, before(after[at]).String()
				at++
			}
			cmds[i] = pipe.XRead(ctx, &goredis.XReadArgs{Streams: args, Count: int64(count), Block: -1})
		}
		return nil
	})
	if errors.Is(err, goredis.Nil) {
		err = nil
	}
	at := 0
	for i, group := range groups {
		failed := cmds[i].Err()
		if errors.Is(failed, goredis.Nil) { // there is no entry
			failed = nil
		}
		found := make(map[string][]goredis.XMessage, len(group))
		for _, s := range cmds[i].Val() {
			found[s.Stream] = s.Messages
		}
		for _, p := range group {
			if failed != nil {
				p.retry()
				err = failed
			} else {
				p.took(after[at], n.tail.parse(p, found[p.Stream]), len(found[p.Stream]) >= count)
			}
			at++
		}
	}
	return err
}
