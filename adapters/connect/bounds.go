package connect

import (
	"fmt"
	"sync"
	"time"

	rpc "connectrpc.com/connect"
)

// Bounds of calls.
const (
	maxBody      = 1 << 20 // bytes of a request, also once it is decompressed
	maxBatchBody = 4 << 20 // the same for batches

	defaultTimeout = 10 * time.Second // of a unary call whose caller names no deadline
	maxTimeout     = 30 * time.Second // of any unary call
	openTimeout    = time.Minute      // of the beginning of a feed, which may wait for its turn

	maxStreams = 100 // of a principal, at the same time

	// readGrace is how long after the end of a call the reading of its body ends: the call's context must have ended by then.
	readGrace = 50 * time.Millisecond

	// maxDiscarded is how many bytes beyond the bound of a body are read after its refusal.
	maxDiscarded = 256 << 10
)

// maxBodyOf returns the largest body of a method.
func maxBodyOf(method string) int64 {
	if method == sendMessages {
		return maxBatchBody
	}
	return maxBody
}

// streamCounter bounds the streams of each principal.
type streamCounter struct {
	most int

	mu    sync.Mutex     // guards count
	count map[string]int // streams by principal
}

func newStreamCounter(most int) *streamCounter {
	return &streamCounter{most: most, count: make(map[string]int)}
}

// acquire counts a stream of a principal until release is called. It returns an error if the principal has as many as it may.
func (c *streamCounter) acquire(principal string) (release func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count[principal] >= c.most {
		return nil, &callError{rpc.CodeResourceExhausted, "too_many_streams", fmt.Sprintf("%s has %d streams; allowed: at most %d", principal, c.count[principal], c.most)}
	}
	c.count[principal]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.count[principal]--; c.count[principal] == 0 {
			delete(c.count, principal)
		}
	}, nil
}
