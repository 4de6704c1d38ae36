package redisgroup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/ports"
	"chatcore/ports/groups"
)

const (
	readCount   = 512                    // entries of one read
	readBlock   = 500 * time.Millisecond // longest wait of a read for entries
	readGrace   = 1500 * time.Millisecond
	keepBatches = 4 // per stream, for groups that are slightly behind

	aheadBatches = 2       // that are read before a group asks for them
	aheadBytes   = 1 << 20 // of payloads in the first of these from which on no second one is read
)

// Reader reads delivery streams for all groups of a process. It uses XREAD and XRANGE, which change nothing in Redis. Groups at the end of a stream
// share its reads. A group that is behind reads for itself until it has caught up. Reader does not close its client.
type Reader struct {
	client goredis.UniversalClient
	take   func(raw []byte) []byte

	reads reads

	mu    sync.Mutex // mu guards: tails
	tails map[string]*tail
}

// NewReader returns a reader. Each stream that it waits for occupies a connection of the client's pool. take is as in [Config], and may be nil.
func NewReader(client goredis.UniversalClient, take func(raw []byte) []byte) *Reader {
	if take == nil {
		take = func(raw []byte) []byte { return raw }
	}
	return &Reader{client: client, take: take, tails: make(map[string]*tail)}
}

// Close waits for the reads in flight. Later reads return [ports.ErrClosed].
func (r *Reader) Close() error {
	r.reads.close()
	return nil
}

// reads counts the reads in flight of a reader or a store. The zero value is ready for use.
type reads struct {
	mu     sync.Mutex // mu guards: closed
	closed bool
	active sync.WaitGroup
}

// begin registers a read, whose end calls active.Done. It reports false after close.
func (r *reads) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.active.Add(1)
	}
	return !r.closed
}

// ended reports whether close was called.
func (r *reads) ended() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// close refuses further reads, and waits for those in flight.
func (r *reads) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.active.Wait()
}

// tail is the part of a stream that was read last.
type tail struct {
	mu      sync.Mutex
	batches []*groups.Batch // each begins where the one before ends
	more    bool            // the last read was full: the next one does not wait
	reading chan struct{}   // closed when the read in flight ends; nil if there is none
	err     error           // of the last read
	taken   groups.StreamID // last entry of the batch that was taken last
	broken  *groups.Batch   // result of the last read if the entry before it was gone; nil otherwise
}

func (t *tail) end() (groups.StreamID, bool) {
	if len(t.batches) == 0 {
		return groups.StreamID{}, false
	}
	return t.batches[len(t.batches)-1].Last(), true
}

// find returns the entries after an id if they were read, and whether the id is in the tail.
func (t *tail) find(after groups.StreamID) (stretch *groups.Batch, known bool) {
	end, some := t.end()
	if !some || after.Compare(end) > 0 || after.Compare(t.batches[0].After) < 0 {
		return nil, false
	}
	for _, b := range t.batches {
		if after.Compare(b.Last()) >= 0 {
			continue
		}
		if after == b.After {
			return b, true
		}
		for i := range b.Entries {
			if b.Entries[i].ID.Compare(after) > 0 {
				return &groups.Batch{After: after, Entries: b.Entries[i:], Full: b.Full}, true
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

// drop discards the tail of a stream: Redis may have lost its entries.
func (r *Reader) drop(stream string) {
	t := r.tail(stream)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.batches, t.more = nil, false
}

// next returns the entries after an id, in order. With wait it returns when there are any, or ctx's error when ctx ends. An empty batch means that
// another call may find some. Without wait it asks once, for this group alone. It returns [ports.ErrClosed] after the reader or the store was closed,
// at the latest when the read in flight ends. of counts the reads of the store.
func (r *Reader) next(ctx context.Context, of *reads, stream string, after groups.StreamID, wait bool) (*groups.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, count := range [...]*reads{&r.reads, of} {
		if !count.begin() {
			return nil, ports.ErrClosed
		}
		defer count.active.Done()
	}
	if !wait {
		return r.read(ctx, stream, after, false)
	}
	t := r.tail(stream)
	for {
		if r.reads.ended() || of.ended() {
			return nil, ports.ErrClosed
		}
		t.mu.Lock()
		stretch, known := t.find(after)
		if stretch != nil {
			r.readAhead(ctx, t, stream, stretch)
			t.mu.Unlock()
			return stretch, nil
		}
		if !known {
			if len(t.batches) > 0 { // behind the others, or on a stream that was created anew
				t.mu.Unlock()
				return r.private(ctx, t, stream, after)
			}
			t.batches, t.more = []*groups.Batch{{After: after}}, true
		}
		if reading := t.reading; reading != nil { // another group reads
			t.mu.Unlock()
			select {
			case <-reading:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		} else if err := r.readTail(ctx, t, stream, after); err != nil {
			return nil, err
		}
		t.mu.Lock()
		err, broken := t.err, t.broken
		t.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if broken != nil && broken.After == after {
			return broken, nil
		}
	}
}

// readAhead begins to read what is right after the tail, as far as handlers can soon use it: they then run while Redis answers. It is called with the tail locked. Its
// results are added to the tail, and a failure is repeated by the next call.
func (r *Reader) readAhead(ctx context.Context, t *tail, stream string, taken *groups.Batch) {
	t.taken = taken.Last()
	if t.reading != nil || !t.wantsMore() || !r.reads.begin() {
		return
	}
	t.reading = make(chan struct{})
	end, _ := t.end()
	go func() {
		defer r.reads.active.Done()
		for more := true; more; end, more = r.nextAhead(t, end) {
			b, err := r.read(context.WithoutCancel(ctx), stream, end, false)
			r.took(t, end, b, err)
		}
	}()
}

// nextAhead begins another read ahead, after one that began at an id, and returns where it begins. It reports false if that one has found nothing, or none is needed.
func (r *Reader) nextAhead(t *tail, before groups.StreamID) (end groups.StreamID, more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	end, some := t.end()
	if !some || end == before || t.reading != nil || !t.wantsMore() || r.reads.ended() {
		return end, false
	}
	t.reading = make(chan struct{})
	return end, true
}

// wantsMore reports whether there is more after the tail, and it has fewer than [aheadBatches] that nobody has taken: one if that is large.
func (t *tail) wantsMore() bool {
	batches, bytes := 0, 0
	for _, b := range t.batches {
		if len(b.Entries) == 0 || b.After.Compare(t.taken) < 0 {
			continue
		}
		batches++
		for i := range b.Entries {
			bytes += len(b.Entries[i].Payload)
		}
	}
	return t.more && (batches == 0 || batches < aheadBatches && bytes < aheadBytes)
}

// readTail reads on after the tail, for all groups that wait there. It is called with the tail locked, and does not return before its read ends.
func (r *Reader) readTail(ctx context.Context, t *tail, stream string, after groups.StreamID) error {
	t.reading = make(chan struct{})
	wait := !t.more
	t.mu.Unlock()
	b, err := r.read(context.WithoutCancel(ctx), stream, after, wait)
	r.took(t, after, b, err)
	return ctx.Err()
}

// took adds the result of a read to the tail.
func (r *Reader) took(t *tail, after groups.StreamID, b *groups.Batch, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.reading)
	t.reading = nil
	if t.err, t.broken = err, nil; err != nil {
		return
	}
	end, some := t.end()
	if !some || end != after { // dropped meanwhile
		return
	}
	t.more = b.Full
	if b.Gap { // it does not continue the tail
		t.broken, t.batches = b, nil
		return
	}
	if len(b.Entries) == 0 {
		return
	}
	t.batches = append(t.batches, b)
	if len(t.batches) > keepBatches {
		t.batches = t.batches[1:]
	}
}

// private reads for a group whose position is not in the tail. If nothing follows the position, the stream is not the one that the tail was read
// from: the tail restarts at this position.
func (r *Reader) private(ctx context.Context, t *tail, stream string, after groups.StreamID) (*groups.Batch, error) {
	b, err := r.read(ctx, stream, after, false)
	if err != nil || len(b.Entries) > 0 || b.Gap {
		return b, err
	}
	t.mu.Lock()
	reading := t.reading
	if reading == nil {
		t.batches = []*groups.Batch{{After: after}}
	}
	t.mu.Unlock()
	if reading == nil {
		return b, nil
	}
	select { // the read in flight finds that too
	case <-reading:
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// read asks Redis once, without waiting or for at most [readBlock]. It also checks that the entry at after still exists, and so those after it that were
// read. Both commands go over one connection, and so to one server.
//
// The check comes after the read that waits: entries that are trimmed during the wait are noticed, and Redis sends both replies in one write. A check
// before the read has a write and a wakening of its own for each event.
func (r *Reader) read(ctx context.Context, stream string, after groups.StreamID, wait bool) (*groups.Batch, error) {
	bounded, cancel := context.WithTimeout(ctx, readBlock+readGrace)
	defer cancel()
	id := after.String()
	cmds := []*goredis.RawCmd{goredis.NewRawCmd(bounded, "xrange", stream, id, "+", "count", readCount+1)}
	if wait {
		cmds = []*goredis.RawCmd{
			goredis.NewRawCmd(bounded, "xread", "count", readCount, "block", readBlock.Milliseconds(), "streams", stream, id),
			goredis.NewRawCmd(bounded, "xrange", stream, id, id),
		}
	}
	replies, err := r.ask(bounded, stream, cmds)
	if err != nil {
		if cluster, ok := r.client.(*goredis.ClusterClient); ok { // the slot may have moved
			cluster.ReloadState(ctx)
		}
		return nil, fmt.Errorf("reading %s: %w", stream, rediscmd.Unavailable(ctx, err))
	}
	b := &groups.Batch{After: after}
	entries, err := parseRange(replies[len(replies)-1])
	if len(entries) > 0 && entries[0].ID == after {
		entries = entries[1:]
	} else {
		b.Gap = !after.IsZero()
	}
	if wait && err == nil {
		entries, err = parseRead(replies[0])
	}
	b.Entries, b.Full = entries, len(entries) >= readCount
	return b, err
}

// ask runs commands over one connection to the node that has the stream, and returns their replies. It returns an error reply as an error.
func (r *Reader) ask(ctx context.Context, stream string, cmds []*goredis.RawCmd) ([][]byte, error) {
	node, err := nodeOf(ctx, r.client, stream)
	if err != nil {
		return nil, err
	}
	_, err = node.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for _, cmd := range cmds {
			_ = p.Process(ctx, cmd)
		}
		return nil
	})
	replies := make([][]byte, len(cmds))
	for i, cmd := range cmds {
		replies[i] = r.take(cmd.Val()) // after an error too
	}
	if err != nil && !errors.Is(err, goredis.Nil) {
		return nil, err
	}
	for _, raw := range replies {
		if len(raw) > 0 && raw[0] == '-' {
			return nil, errors.New(strings.TrimSpace(string(raw[1:])))
		}
	}
	return replies, nil
}

// nodeOf returns the node that has a key.
func nodeOf(ctx context.Context, client goredis.UniversalClient, key string) (goredis.Cmdable, error) {
	if cluster, ok := client.(*goredis.ClusterClient); ok {
		return rediscmd.MasterFor(ctx, cluster, key)
	}
	return client, nil
}
