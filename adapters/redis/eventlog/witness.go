package eventlog

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	witnessEvery = time.Second    // how long this process's knowledge may be newer than the witness
	witnessTTL   = 24 * time.Hour // after a longer silence the caches are dropped
	witnessLimit = 2 * time.Second
)

// witness is a counter of this process in one partition. After a restore in place, with the same log id and replication ID, Redis has a lower value
// than the process knows to be stored, or none.
type witness struct {
	key    string
	known  atomic.Uint64 // value that is certainly stored; 0 if none is
	issued atomic.Uint64 // last value that was sent
	dirty  atomic.Bool   // something was learned of the partition since the value was sent
}

// witnesses raises the counters of all partitions. A timer raises them witnessEvery after something was learned, in one pipeline. Without activity
// nothing is sent.
type witnesses struct {
	log    *Log
	list   []witness
	ctx    context.Context // of raises: not a caller's
	cancel context.CancelFunc

	mu      sync.Mutex
	timer   *time.Timer // nil: no raise is scheduled
	closed  bool
	running sync.WaitGroup
}

func newWitnesses(l *Log, process string) *witnesses {
	w := &witnesses{log: l, list: make([]witness, l.keys.PartitionCount())}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	for p := range w.list {
		w.list[p].key = l.keys.Witness(p, process)
	}
	return w
}

// learned schedules a raise. It is called after a read or an append of the partition on which later commands may be validated.
func (w *witnesses) learned(partition int) {
	if w.log.epoch == nil || w.list[partition].dirty.Swap(true) {
		return
	}
	w.schedule()
}

func (w *witnesses) schedule() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil && !w.closed {
		w.running.Add(1)
		w.timer = time.AfterFunc(witnessEvery, w.raise)
	}
}

func (w *witnesses) raise() {
	defer w.running.Done()
	w.mu.Lock()
	w.timer = nil
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(w.ctx, witnessLimit)
	defer cancel()
	w.raiseAll(ctx)
}

// raiseAll raises the witnesses of all partitions of which something was learned. It schedules another raise if one was not answered.
func (w *witnesses) raiseAll(ctx context.Context) {
	l := w.log
	var raised []*witness
	var partitions []int
	var held []string
	var values []uint64
	var replies []*goredis.Cmd
	_, _ = l.client.Pipelined(ctx, func(p goredis.Pipeliner) error { // each reply has its own error
		for i := range w.list {
			one := &w.list[i]
			if !one.dirty.Swap(false) {
				continue
			}
			value := one.issued.Add(1)
			raised, partitions, values, held = append(raised, one), append(partitions, i), append(values, value), append(held, l.Guard(i))
			replies = append(replies, l.scripts.witness.Eval(ctx, p, []string{l.keys.ID(i), one.key},
				held[len(held)-1], one.known.Load(), value, int(witnessTTL.Seconds())))
		}
		return nil
	})
	older, failed := false, false
	for i, one := range raised {
		switch status, err := replies[i].Int(); {
		case err != nil:
			one.dirty.Store(true)
			failed = true
		case status == 1:
			one.known.Store(values[i])
		case status == 0:
			older = true
		case l.Recheck(ctx, partitions[i], held[i]) == nil: // the log is at another level, which this program knows
			one.dirty.Store(true)
			failed = true
		}
	}
	if older {
		w.outdated()
	}
	if failed {
		w.schedule()
	}
}

// outdated ends the epoch because Redis has older data than this process has seen: all caches are dropped, and the data in Redis counts.
func (w *witnesses) outdated() {
	l := w.log
	l.observing.Lock()
	defer l.observing.Unlock()
	if l.forget != nil {
		l.forget()
	}
	w.reset()
}

// reset marks all values as unknown. The caches were dropped before, so no cached value can be stale after a restore.
func (w *witnesses) reset() {
	for i := range w.list {
		w.list[i].known.Store(0)
	}
}

func (w *witnesses) close() {
	w.mu.Lock()
	w.closed = true
	if w.timer != nil && w.timer.Stop() {
		w.running.Done()
		w.timer = nil
	}
	w.mu.Unlock()
	w.cancel()
	w.running.Wait()
}
