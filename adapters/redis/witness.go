package redis

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	witnessEvery = time.Second    // how long knowledge may be newer than the witness
	witnessTTL   = 24 * time.Hour // after a longer silence the caches are dropped
	witnessLimit = 2 * time.Second
)

// witness is a counter of this process in one partition. Data that was restored in place, with the same log id and replication id, holds a
// lower value than this process knows to be stored, or none.
type witness struct {
	key    string
	known  atomic.Uint64 // value that is stored for sure; 0 if none is
	issued atomic.Uint64 // last value that was sent
	dirty  atomic.Bool   // something was learned of the partition since the value was sent
}

// witnesses raise the counters of all partitions. A timer does so witnessEvery after something was learned, in one pipeline; without activity
// nothing is sent.
type witnesses struct {
	log    *Log
	list   []witness
	ctx    context.Context // of raises: no caller's
	cancel context.CancelFunc

	mu      sync.Mutex
	timer   *time.Timer // nil: no raise is scheduled
	closed  bool
	running sync.WaitGroup
}

func newWitnesses(l *Log, process string) *witnesses {
	w := &witnesses{log: l, list: make([]witness, len(l.keys.tags))}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	for p := range w.list {
		w.list[p].key = l.keys.witness(p, process)
	}
	return w
}

// learned schedules a raise: something was read of the partition, or appended to it, that later decisions may be based on.
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

// raiseAll raises the witnesses of all partitions of which something was learned. A raise without an answer is repeated.
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
			replies = append(replies, l.scripts.witness.Eval(ctx, p, []string{l.keys.id(i), one.key},
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

// outdated ends the epoch because Redis holds older data than this process has seen: everything cached is dropped, and what Redis holds now is
// what counts.
func (w *witnesses) outdated() {
	l := w.log
	l.observing.Lock()
	defer l.observing.Unlock()
	if l.forget != nil {
		l.forget()
	}
	w.reset()
}

// reset has no value known. The caches were dropped before, so nothing is left that a restore could make stale.
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
