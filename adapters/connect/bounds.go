package connect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
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

	maxStreams = 100 // of a principal, at the same time

	// readGrace is how long after the end of a call the reading of its body ends: the call's context must have ended by then.
	readGrace = 50 * time.Millisecond
)

// maxBodyOf returns the largest body of a method.
func maxBodyOf(method string) int64 {
	if method == sendMessages {
		return maxBatchBody
	}
	return maxBody
}

// readBound bounds the messages of a method, after decompression.
func readBound(spec rpc.Spec) []rpc.HandlerOption {
	return []rpc.HandlerOption{rpc.WithReadMaxBytes(int(maxBodyOf(methodName(spec))))}
}

func tooLargeBody(size, most int64) error {
	return &callError{rpc.CodeResourceExhausted, "body_too_large", fmt.Sprintf("the body has %d bytes; allowed: at most %d", size, most)}
}

// callTimeout returns how long a unary call may take: until the caller's deadline, at most [maxTimeout], and [defaultTimeout] if the caller names none or a
// malformed one, which the protocol refuses.
func callTimeout(h http.Header) time.Duration {
	timeout := defaultTimeout
	if ms, err := strconv.ParseInt(h.Get("Connect-Timeout-Ms"), 10, 64); err == nil && ms >= 0 {
		timeout = times(ms, time.Millisecond)
	}
	if text := h.Get("Grpc-Timeout"); text != "" {
		units := map[byte]time.Duration{
			'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
		}
		unit, known := units[text[len(text)-1]]
		if n, err := strconv.ParseInt(text[:len(text)-1], 10, 64); err == nil && n >= 0 && known {
			timeout = times(n, unit)
		}
	}
	return timeout
}

// times returns n units, at most [maxTimeout].
func times(n int64, unit time.Duration) time.Duration {
	if n > int64(maxTimeout/unit) {
		return maxTimeout
	}
	return min(time.Duration(n)*unit, maxTimeout)
}

// boundedBody is a body whose reading ends with the call: a client that sends slowly holds nothing for longer.
type boundedBody struct {
	io.ReadCloser
	ctx        context.Context
	controller *http.ResponseController
}

// boundBody returns a body that can be read until ctx ends.
func boundBody(ctx context.Context, w http.ResponseWriter, body io.ReadCloser) io.ReadCloser {
	b := &boundedBody{body, ctx, http.NewResponseController(w)}
	if deadline, ok := ctx.Deadline(); ok {
		_ = b.controller.SetReadDeadline(deadline.Add(readGrace)) // a writer without deadlines is one of a test
	}
	return b
}

// Read implements [io.Reader]. It returns the error of the call's context once that has ended.
func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		_ = b.controller.SetReadDeadline(time.Time{}) // the server watches the connection from now on
	case err != nil && b.ctx.Err() != nil:
		err = b.ctx.Err()
	}
	return n, err
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
