package eventlog

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/ports"
)

// Append implements [ports.EventLog] in one round trip, which concurrent appends share. It returns [ports.ErrOverloaded] if the queue of the server
// or the chat's share of it is full.
func (l *Log) Append(ctx context.Context, a ports.Append) (ports.Appended, error) {
	if err := l.writable(ctx); err != nil {
		return ports.Appended{}, err
	}
	return l.appendErasing(ctx, a, erasing{})
}

// writable returns the reason for which no append can be sent, or nil.
func (l *Log) writable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.monitor.Refusal(); err != nil {
		return err
	}
	return l.resume(ctx)
}

// appendErasing appends, and replaces entries if the append is an erasure.
func (l *Log) appendErasing(ctx context.Context, a ports.Append, erasing erasing) (ports.Appended, error) {
	r, err := l.newRequest(a, l.formOf(&a, &erasing), erasing)
	if err != nil {
		return ports.Appended{}, err
	}
	defer r.free()
	outcome, err := l.queueOf(r.partition).commit(ctx, r)
	if err != nil {
		return ports.Appended{}, outcomeFor(ctx, err)
	}
	return outcome.Appended, outcomeFor(ctx, outcome.Err)
}

// formOf returns the form in which an append is sent at first.
func (l *Log) formOf(a *ports.Append, erasing *erasing) form {
	switch {
	case isPlainSend(a):
		return plainSend
	case l.isPlainErasure(a, erasing):
		return plainErasure
	}
	return general
}

func (l *Log) queueOf(partition int) *appendQueue {
	if len(l.queues) == 1 {
		return l.queues[0]
	}
	return l.queues[partition]
}

// AppendBatch implements [ports.BatchAppender]. It takes one round trip on a single server. On a Cluster it takes one round trip for each partition,
// and an error may leave the commands of other partitions appended. It bypasses the queue of Append.
func (l *Log) AppendBatch(ctx context.Context, appends []ports.Append) ([]ports.Outcome, error) {
	if err := l.writable(ctx); err != nil {
		return nil, err
	}
	outcomes := make([]ports.Outcome, len(appends))
	sent := make([]*request, len(appends))
	parts := make(map[*appendQueue]*batch)
	form := plainSend
	for i := range appends {
		if !isPlainSend(&appends[i]) {
			form = general
		}
	}
	for i, a := range appends {
		r, err := l.newRequest(a, form, erasing{})
		if err != nil {
			outcomes[i].Err = err
			continue
		}
		sent[i] = r
		queue := l.queueOf(r.partition)
		if parts[queue] == nil {
			parts[queue] = newBatch(l)
		}
		parts[queue].add(r)
	}
	var failed error
	for _, b := range parts {
		b.send(context.WithoutCancel(ctx))
		if err := b.requests[0].err; err != nil && failed == nil {
			failed = err
		}
		b.free()
	}
	for i, r := range sent {
		if r != nil {
			outcomes[i] = r.outcome
			r.free()
		}
	}
	if failed != nil {
		return nil, outcomeFor(ctx, failed)
	}
	return outcomes, nil
}

// tokens generates a unique name for each batch.
type tokens struct {
	process string
	last    atomic.Uint64
}

func newTokens() *tokens {
	random := make([]byte, 8)
	_, _ = rand.Read(random) // never fails since Go 1.24
	return &tokens{process: hex.EncodeToString(random) + "."}
}

func (t *tokens) next(b []byte) []byte {
	return strconv.AppendUint(append(b, t.process...), t.last.Add(1), 36)
}

// outcomeFor adds to an append's error that the caller's context has ended. Append waits for a request that was sent, so only an unknown outcome and
// an unreachable log can result from the end of ctx. A reply of Redis is returned alone.
func outcomeFor(ctx context.Context, err error) error {
	if err == nil || !errors.Is(err, ports.ErrOutcomeUnknown) && (!errors.Is(err, ports.ErrUnavailable) || rediscmd.Answered(err)) {
		return err
	}
	if ended := ports.Ended(ctx, err); ended != nil {
		return fmt.Errorf("%w: %w", ports.NotEnded(err), ended)
	}
	return ports.NotEnded(err)
}
