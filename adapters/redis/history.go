package redis

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
	historyAge      = time.Second            // for which an answer of the log is taken to be of the present history
	historyPatience = 250 * time.Millisecond // with a server that did not answer the last time
	historyChecks   = 8                      // partitions that are asked side by side
)

// historyName is the name that [Log.History] gives.
type historyName struct {
	name  atomic.Pointer[string]
	lost  atomic.Bool   // the server no longer holds the log
	slot  chan struct{} // taken by the caller that asks
	mu    sync.Mutex
	tried time.Time // when the log was last asked in vain; zero if it has answered since. mu guards it
}

func newHistoryName() *historyName { return &historyName{slot: make(chan struct{}, 1)} }

// History implements [ports.Histories]: the log's id and a digest of the replication ids of all partitions' servers. It costs nothing while the log
// has answered anything within the last second, and one round trip otherwise. While a server does not answer, History returns the name that was known
// last, and one caller a second waits up to 250 ms to find out.
func (l *Log) History(ctx context.Context) string {
	if l.historyDue(time.Now()) {
		l.refreshHistory(ctx)
	}
	return *l.historyName.name.Load()
}

// historyDue reports whether a partition's server was last heard too long ago.
func (l *Log) historyDue(now time.Time) bool {
	for _, lane := range l.lanes {
		if seen := lane.seen.Load(); seen == nil || now.Sub(*seen) >= historyAge {
			return true
		}
	}
	return false
}

// refreshHistory asks those servers for their history that have not told it lately.
func (l *Log) refreshHistory(ctx context.Context) {
	h := l.historyName
	h.mu.Lock()
	tried := h.tried
	h.mu.Unlock()
	if tried.IsZero() { // everyone waits for the answer
		select {
		case h.slot <- struct{}{}:
		case <-ctx.Done():
			return
		}
	} else { // the caller whose turn it is waits a little
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
	case tried.IsZero() && ctx.Err() != nil: // the caller's own end says nothing
	default:
		h.tried = time.Now()
	}
}

// askHistories asks the servers of the partitions of which nothing was heard lately.
func (l *Log) askHistories(ctx context.Context, now time.Time) error {
	errs, slots := make([]error, len(l.lanes)), make(chan struct{}, historyChecks)
	var asking sync.WaitGroup
	for p, lane := range l.lanes { // the only server's lane is that of partition 0, too
		if seen := lane.seen.Load(); seen != nil && now.Sub(*seen) < historyAge {
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
	l.laneOf(partition).observe(present)
	return nil
}

// nameHistory makes the name anew. The caller holds observing.
func (l *Log) nameHistory() {
	digest := sha256.New()
	for _, lane := range l.lanes {
		_, _ = digest.Write(append(lane.history.Load().bytes, ' '))
	}
	name := l.id + hex.EncodeToString(digest.Sum(nil)[:6])
	if l.historyName.lost.Load() {
		name = l.id + "lost" // nothing that was made under another name counts
	}
	l.historyName.name.Store(&name)
}
