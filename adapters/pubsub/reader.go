package pubsub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/ports"
)

const (
	readCount   = 256                    // entries of one read
	readBlock   = 500 * time.Millisecond // that a read waits for entries
	readGrace   = 1500 * time.Millisecond
	keepBatches = 8 // of each stream, for groups that are not quite as far
)

// Reader reads delivery streams with XREAD and XRANGE, which change nothing in Redis, for all groups of a process: groups at the end of a
// stream share what is read; one that is behind reads for itself until it has caught up. It does not close its client.
type Reader struct {
	client goredis.UniversalClient

	mu     sync.Mutex
	tails  map[string]*tail
	closed bool
	active sync.WaitGroup // reads in flight
}

// NewReader makes a reader. Each stream that is waited for holds a connection of the client's pool.
func NewReader(client goredis.UniversalClient) *Reader {
	return &Reader{client: client, tails: make(map[string]*tail)}
}

// Close waits for the reads in flight, and lets none begin.
func (r *Reader) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.active.Wait()
	return nil
}

// tail is the last part of a stream that was read.
type tail struct {
	mu      sync.Mutex
	batches []*batch      // each goes on where the one before ends
	more    bool          // the last read found as much as it asked for: do not wait with the next
	reading chan struct{} // closed when the read in flight ends; nil if there is none
	err     error         // of the last read
}

func (t *tail) end() (streamID, bool) {
	if len(t.batches) == 0 {
		return streamID{}, false
	}
	return t.batches[len(t.batches)-1].last(), true
}

// find gives the stretch behind an id if it was read, and whether the id lies in what was read at all.
func (t *tail) find(after streamID) (stretch *batch, known bool) {
	end, some := t.end()
	if !some || after.compare(end) > 0 || after.compare(t.batches[0].after) < 0 {
		return nil, false
	}
	for _, b := range t.batches {
		if after.compare(b.last()) >= 0 {
			continue
		}
		if after == b.after {
			return b, true
		}
		for i := range b.entries {
			if b.entries[i].id.compare(after) > 0 {
				return &batch{after: after, entries: b.entries[i:], full: b.full}, true
			}
		}
	}
	return nil, true
}

func (r *Reader) tail(stream string) *tail {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tails[stream]
	if t == nil {
		t = &tail{}
		r.tails[stream] = t
	}
	return t
}

// drop forgets what was read of a stream: Redis may have lost it.
func (r *Reader) drop(stream string) {
	t := r.tail(stream)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.batches, t.more = nil, false
}

// next gives what comes after an id, in order. It waits until there is something or ctx ends, whose error it then returns; an empty stretch
// means that it is worth asking again.
func (r *Reader) next(ctx context.Context, stream string, after streamID) (*batch, error) {
	t := r.tail(stream)
	for {
		t.mu.Lock()
		stretch, known := t.find(after)
		if stretch != nil {
			t.mu.Unlock()
			return stretch, nil
		}
		if !known {
			if len(t.batches) > 0 { // behind the others, or on a stream that has begun anew
				t.mu.Unlock()
				return r.private(ctx, t, stream, after)
			}
			t.batches, t.more = []*batch{{after: after}}, true
		}
		if t.reading == nil {
			if !r.begin() {
				t.mu.Unlock()
				return nil, ErrClosed
			}
			t.reading = make(chan struct{})
			go r.readTail(context.WithoutCancel(ctx), t, stream, after, t.more)
		}
		reading := t.reading
		t.mu.Unlock()
		select {
		case <-reading:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		t.mu.Lock()
		err := t.err
		t.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
}

func (r *Reader) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.active.Add(1)
	return true
}

// readTail reads on behind the tail, for everyone who waits there.
func (r *Reader) readTail(ctx context.Context, t *tail, stream string, after streamID, more bool) {
	defer r.active.Done()
	b, err := r.read(ctx, stream, after, !more)
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.reading)
	t.reading = nil
	if t.err = err; err != nil {
		return
	}
	end, some := t.end()
	if !some || end != after {
		return // dropped meanwhile
	}
	t.more = b.full
	if len(b.entries) == 0 {
		return
	}
	t.batches = append(t.batches, b)
	if len(t.batches) > keepBatches {
		t.batches = t.batches[1:]
	}
}

// private reads for a group that is not where the others are. Where nothing is behind it, the stream is not the one that the others read:
// they are brought here.
func (r *Reader) private(ctx context.Context, t *tail, stream string, after streamID) (*batch, error) {
	if !r.begin() {
		return nil, ErrClosed
	}
	defer r.active.Done()
	b, err := r.read(ctx, stream, after, false)
	if err != nil || len(b.entries) > 0 {
		return b, err
	}
	t.mu.Lock()
	reading := t.reading
	if reading == nil {
		t.batches = []*batch{{after: after}}
	}
	t.mu.Unlock()
	if reading == nil {
		return b, nil
	}
	select { // who reads there finds it out too
	case <-reading:
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// read asks Redis once: without waiting, and looking whether the entry at after is still there, or for at most [readBlock].
func (r *Reader) read(ctx context.Context, stream string, after streamID, wait bool) (*batch, error) {
	ctx, cancel := context.WithTimeout(ctx, readBlock+readGrace)
	defer cancel()
	args := []any{"xrange", stream, after.String(), "+", "count", readCount + 1}
	if wait {
		args = []any{"xread", "count", readCount, "block", readBlock.Milliseconds(), "streams", stream, after.String()}
	}
	cmd := goredis.NewRawCmd(ctx, args...)
	node, err := nodeOf(ctx, r.client, stream)
	if err != nil {
		return nil, err
	}
	err = node.Process(ctx, cmd)
	raw := cmd.Val()
	if err == nil && len(raw) > 0 && raw[0] == '-' {
		err = errors.New(strings.TrimSpace(string(raw[1:])))
	}
	if err != nil {
		if cluster, ok := r.client.(*goredis.ClusterClient); ok { // the slot may be elsewhere by now
			cluster.ReloadState(ctx)
		}
		return nil, fmt.Errorf("%w: reading %s: %w", ports.ErrUnavailable, stream, err)
	}
	b := &batch{after: after}
	if wait {
		b.entries, err = parseRead(raw)
	} else {
		b.entries, err = parseRange(raw)
		if len(b.entries) > 0 && b.entries[0].id == after {
			b.full = len(b.entries) == readCount+1
			b.entries = b.entries[1:]
		} else {
			b.hole = !after.isZero()
			b.full = len(b.entries) == readCount+1
		}
	}
	if wait {
		b.full = len(b.entries) == readCount
	}
	return b, err
}

// processor carries out commands.
type processor interface {
	Process(ctx context.Context, cmd goredis.Cmder) error
}

// nodeOf is who has a key.
func nodeOf(ctx context.Context, client goredis.UniversalClient, key string) (processor, error) {
	if cluster, ok := client.(*goredis.ClusterClient); ok {
		node, err := cluster.MasterForKey(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ports.ErrUnavailable, err)
		}
		return node, nil
	}
	return client, nil
}
