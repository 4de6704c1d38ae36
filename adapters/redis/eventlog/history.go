package eventlog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"chatcore/ports"
)

const (
	historyAge      = time.Second            // how long a reply of the log is proof of the current history
	historyPatience = 250 * time.Millisecond // to wait for a server that did not answer the last time
	historyChecks   = 8                      // partitions that are asked concurrently
)

// historyName is the state of [Log.History].
type historyName struct {
	name  atomic.Pointer[string]
	lost  atomic.Bool   // the server no longer has the log
	slot  chan struct{} // held by the caller that asks the servers
	mu    sync.Mutex
	tried time.Time // time of the last failed attempt; zero if the log has answered since. mu guards it
}

func newHistoryName() *historyName { return &historyName{slot: make(chan struct{}, 1)} }

// History implements [ports.Histories]. The name consists of the log's id and a digest of the replication IDs of all partitions' servers. It takes no
// round trip if the log has answered anything within the last second, and one otherwise. While a server does not answer, History returns the last
// known name, and one caller per second waits up to 250 ms for the server.
func (l *Log) History(ctx context.Context) string {
	if l.historyDue(time.Now()) {
		l.refreshHistory(ctx)
	}
	return *l.historyName.name.Load()
}

// historyDue reports whether the last reply of a partition's server is too old.
func (l *Log) historyDue(now time.Time) bool {
	for _, queue := range l.queues {
		if seen := queue.seen.Load(); seen == nil || now.Sub(*seen) >= historyAge {
			return true
		}
	}
	return false
}

// refreshHistory asks the servers without a recent reply for their history.
func (l *Log) refreshHistory(ctx context.Context) {
	h := l.historyName
	h.mu.Lock()
	tried := h.tried
	h.mu.Unlock()
	if tried.IsZero() { // every caller waits for the answer
		select {
		case h.slot <- struct{}{}:
		case <-ctx.Done():
			return
		}
	} else { // one caller waits for a short time
		if time.Since(tried) < historyAge {
			return
		}
		select {
		case h.slot <- struct{}{}:
		default:
			return
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, historyPatience)
		defer cancel()
	}
	defer func() { <-h.slot }()
	now := time.Now()
	if !l.historyDue(now) {
		return
	}
	err := l.askHistories(ctx, now)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case errors.Is(err, ports.ErrLogLost):
		l.observing.Lock()
		h.lost.Store(true)
		l.nameHistory()
		l.observing.Unlock()
		h.tried = now
	case err == nil:
		h.tried = time.Time{}
	case tried.IsZero() && ctx.Err() != nil: // the end of the caller's context is no failure of the server
	default:
		h.tried = time.Now()
	}
}

// askHistories asks the servers of the partitions without a recent reply.
func (l *Log) askHistories(ctx context.Context, now time.Time) error {
	errs, slots := make([]error, len(l.queues)), make(chan struct{}, historyChecks)
	var asking sync.WaitGroup
	for p, queue := range l.queues { // the partition of a single server has index 0, which is also the number of a partition
		if seen := queue.seen.Load(); seen != nil && now.Sub(*seen) < historyAge {
			continue
		}
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			errs[p] = l.askHistory(ctx, p)
		})
	}
	asking.Wait()
	return errors.Join(errs...)
}

func (l *Log) askHistory(ctx context.Context, partition int) error {
	reply, err := l.guarded(ctx, partition, func(held *field) ([]any, error) {
		return l.run(ctx, l.scripts.load, partition, nil, held, "", 0, "", 0).Slice()
	})
	if err != nil {
		return err
	}
	present, _ := reply[1].(string)
	l.queueOf(partition).observe(present)
	return nil
}

// nameHistory computes the name. The caller must hold Log.observing.
func (l *Log) nameHistory() {
	digest := sha256.New()
	for _, queue := range l.queues {
		_, _ = digest.Write(append(queue.history.Load().bytes, ' '))
	}
	name := l.id + hex.EncodeToString(digest.Sum(nil)[:6])
	if l.historyName.lost.Load() {
		name = l.id + "lost" // no value stored under another name is valid
	}
	l.historyName.name.Store(&name)
}
