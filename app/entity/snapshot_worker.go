package entity

import (
	"context"
	"sync"
	"time"
)

const (
	maxQueuedSnapshots = 64
	snapshotTimeout    = 30 * time.Second
)

// snapshotWorker writes snapshots in the background, one at a time, so that no caller waits for one: a snapshot of 30,000 reactions has more
// than a megabyte. A snapshot is worth a try only, so those beyond a full queue are skipped. Its goroutine exists while there is work.
type snapshotWorker struct {
	write func(context.Context, entityKey, *Versioned)

	// mu guards: all below.
	mu      sync.Mutex
	queue   []entityKey
	jobs    map[entityKey]*snapshotJob // those that are queued or being written
	skipped uint64
	stop    context.CancelFunc // nil while the goroutine does not exist
	closed  bool
	running sync.WaitGroup
}

// snapshotJob is the snapshot of one entity.
type snapshotJob struct {
	loaded  *Versioned // the state to write; nil: it is to be loaded
	running bool
	again   bool // it was requested while it is running
}

func newSnapshotWorker(write func(context.Context, entityKey, *Versioned)) *snapshotWorker {
	return &snapshotWorker{write: write, jobs: make(map[entityKey]*snapshotJob)}
}

// request has a snapshot written soon, of the given state or, if loaded is nil, of the entity's state then. It never blocks. Requests for an
// entity that is queued already are one.
func (w *snapshotWorker) request(key entityKey, loaded *Versioned) {
	w.mu.Lock()
	defer w.mu.Unlock()
	job := w.jobs[key]
	switch {
	case w.closed:
		w.skipped++
	case job != nil:
		job.loaded, job.again = loaded, job.running
	case len(w.queue) >= maxQueuedSnapshots:
		w.skipped++
	default:
		w.push(key, &snapshotJob{loaded: loaded})
	}
}

func (w *snapshotWorker) push(key entityKey, job *snapshotJob) {
	w.queue, w.jobs[key] = append(w.queue, key), job
	if w.stop == nil {
		var ctx context.Context
		ctx, w.stop = context.WithCancel(context.Background())
		w.running.Go(func() { w.run(ctx) })
	}
}

// run writes snapshots until the queue is empty or the worker is closed.
func (w *snapshotWorker) run(ctx context.Context) {
	for {
		key, loaded, ok := w.next()
		if !ok {
			return
		}
		bounded, cancel := context.WithTimeout(ctx, snapshotTimeout)
		w.write(bounded, key, loaded)
		cancel()
		w.finish(key) //nolint:contextcheck // the worker outlives its callers
	}
}

func (w *snapshotWorker) next() (entityKey, *Versioned, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.queue) == 0 {
		w.stop()
		w.stop = nil
		return entityKey{}, nil, false
	}
	key := w.queue[0]
	w.queue = w.queue[1:]
	job := w.jobs[key]
	job.running = true
	return key, job.loaded, true
}

func (w *snapshotWorker) finish(key entityKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	job := w.jobs[key]
	delete(w.jobs, key)
	if job.again && !w.closed {
		w.push(key, &snapshotJob{loaded: job.loaded})
	}
}

// counts returns how many snapshots are queued or being written, and how many were skipped.
func (w *snapshotWorker) counts() (pending int, skipped uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.jobs), w.skipped
}

// close drops the queue, interrupts the present snapshot and waits for its end.
func (w *snapshotWorker) close() {
	w.mu.Lock()
	w.closed = true
	w.skipped += uint64(len(w.queue))
	for _, key := range w.queue {
		delete(w.jobs, key)
	}
	w.queue = nil
	if w.stop != nil {
		w.stop()
	}
	w.mu.Unlock()
	w.running.Wait()
}
