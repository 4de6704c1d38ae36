package app

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"chatcore/domain"
	"chatcore/internal/backoff"
	"chatcore/ports"
)

const (
	// maxPendingMarks bounds the accepted marks of a process.
	maxPendingMarks = 1 << 17
	// markWorkers is how many accepted marks are recorded at once: as many as share the batches of an append.
	markWorkers = 64
)

// MarkStats are counts of accepted read marks since the start.
type MarkStats struct {
	Pending    int       // users and chats with an accepted mark that is not recorded yet
	Refused    uint64    // accepted marks that were refused when their time came: the user had left the chat, for example
	Unrecorded uint64    // accepted marks that were not recorded before the end of Close
	NextDue    time.Time // when the next pending mark may be recorded; zero if each of them is being recorded, or there is none
}

// pendingMarks holds the marks that calls have accepted: the highest one of each user and chat, until it is recorded. A timer goroutine and at most
// markWorkers workers exist while there are marks. Waiting marks have no goroutine of their own.
type pendingMarks struct {
	clock ports.Clock
	most  int
	pause backoff.Policy // after the log failed
	count atomic.Int64   // of marks

	mu         sync.Mutex // guards the fields below
	marks      map[readKey]*pendingMark
	waiting    markHeap           // those that no worker records now
	workers    int                // that record marks
	wakesAt    time.Time          // when the timer ends, while there is one
	stop       context.CancelFunc // ends the timer; nil while there is none
	closed     bool               // no mark is accepted any more
	ended      bool               // marks that cannot be recorded at once are dropped
	empty      chan struct{}      // closed when there is no mark; nil while nobody waits for that
	emptied    func()             // called when there is no mark any more, with the mutex held; nil for nobody
	refused    uint64
	unrecorded uint64 // dropped by the end
}

// acceptance is a mark as a call accepts it.
type acceptance struct {
	id       domain.MessageID
	seq      domain.Seq
	due      time.Time // when it may be recorded
	last     receiptTime
	link     func(context.Context) context.Context // adds a link to the call; nil without traces
	settings domain.Seq                            // version of the user's settings that the last call knew
}

// pendingMark is the highest accepted mark of one user and chat. mu of pendingMarks guards it, except that last and failures are the worker's while one
// records the mark.
type pendingMark struct {
	acceptance

	key      readKey
	chats    *Chats // through which it is recorded
	place    int    // in the heap; -1 while a worker has it
	failures int    // of the log, in a row
}

// message returns the marked message, as far as recording the mark needs it.
func (a acceptance) message() domain.Message { return domain.Message{ID: a.id, Seq: a.seq} }

func newPendingMarks(clock ports.Clock, most int) *pendingMarks {
	return &pendingMarks{
		clock: clock, most: most, pause: backoff.Policy{First: 100 * time.Millisecond, Max: 5 * time.Second, Jitter: true},
		marks: make(map[readKey]*pendingMark),
	}
}

// has reports whether there is an accepted mark of a user and chat.
func (p *pendingMarks) has(key readKey) bool {
	if p.count.Load() == 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.marks[key] != nil
}

// highest returns the higher one of a mark and the accepted one.
func (p *pendingMarks) highest(key readKey, mark domain.Message) domain.Message {
	if p.count.Load() == 0 {
		return mark
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.marks[key]; m != nil && m.seq > mark.Seq {
		return m.message()
	}
	return mark
}

// accept adds a mark, or raises the one that is there. It reports false if there are too many, or the process is being closed.
func (p *pendingMarks) accept(c *Chats, key readKey, a acceptance) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.marks[key]
	switch {
	case p.closed:
		return false
	case m != nil:
		m.settings = max(m.settings, a.settings)
		if a.seq > m.seq {
			m.id, m.seq, m.link, m.chats = a.id, a.seq, a.link, c
		}
		return true
	case len(p.marks) >= p.most:
		return false
	}
	m = &pendingMark{acceptance: a, key: key, chats: c}
	p.marks[key] = m
	p.count.Add(1)
	heap.Push(&p.waiting, m)
	p.dispatch()
	return true
}

// recorded removes the mark of a user and chat if the log has it. A mark that a worker has is the worker's to remove.
func (p *pendingMarks) recorded(key readKey, seq domain.Seq) {
	if p.count.Load() == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.marks[key]; m != nil && m.place >= 0 && m.seq <= seq {
		heap.Remove(&p.waiting, m.place)
		p.remove(m)
	}
}

// remove removes a mark that is not in the heap. It is called with the mutex held.
func (p *pendingMarks) remove(m *pendingMark) {
	delete(p.marks, m.key)
	p.count.Add(-1)
	if len(p.marks) > 0 {
		return
	}
	p.stopTimer()
	if p.emptied != nil {
		p.emptied()
	}
	if p.empty != nil {
		close(p.empty)
		p.empty = nil
	}
}

// dispatch starts workers for marks that are due, and the timer for the next one. It is called with the mutex held.
func (p *pendingMarks) dispatch() {
	for p.workers < markWorkers {
		m := p.next()
		if m == nil {
			break
		}
		p.workers++
		go p.work(m)
	}
	if len(p.waiting) == 0 || p.workers == markWorkers { // the workers take what is due, and come back here
		return
	}
	if at := p.waiting[0].due; p.stop == nil || at.Before(p.wakesAt) {
		p.stopTimer()
		ctx, stop := context.WithCancel(context.Background())
		p.stop, p.wakesAt = stop, at
		go p.wake(ctx, at)
	}
}

// next takes the first mark from the heap if it is due. It is called with the mutex held.
func (p *pendingMarks) next() *pendingMark {
	if len(p.waiting) == 0 || p.waiting[0].due.After(p.clock.Now()) {
		return nil
	}
	m, _ := heap.Pop(&p.waiting).(*pendingMark)
	return m
}

// stopTimer is called with the mutex held.
func (p *pendingMarks) stopTimer() {
	if p.stop != nil {
		p.stop()
		p.stop = nil
	}
}

// wake dispatches marks at a time, unless ctx ends before.
func (p *pendingMarks) wake(ctx context.Context, at time.Time) {
	_ = p.clock.Sleep(ctx, at)
	p.mu.Lock()
	defer p.mu.Unlock()
	if ctx.Err() == nil {
		p.stopTimer()
		p.dispatch() //nolint:contextcheck // the record outlives the timer
	}
}

// work records marks until none is due.
func (p *pendingMarks) work(m *pendingMark) {
	for m != nil {
		p.mu.Lock()
		c, a := m.chats, m.acceptance
		p.mu.Unlock()
		recorded, err := c.recordAccepted(m.key, &a)
		m = p.finish(m, a.last, recorded, err)
	}
}

// errMarkBusy is returned while a call records a mark of the same user and chat. The call records the accepted mark too if that is higher, unless it
// has begun its append.
var errMarkBusy = errors.New("a call records a mark of the user")

// recordAccepted tries to record an accepted mark, and returns the seq up to which the log has the user's marks then.
func (c *Chats) recordAccepted(key readKey, a *acceptance) (recorded domain.Seq, err error) {
	ctx := context.Background()
	if a.link != nil {
		ctx = a.link(ctx)
	}
	cmd := readMarking{
		MarkRead: domain.MarkRead{Chat: key.chat, Actor: key.user, MessageID: a.id}, thread: key.thread, accepted: true, settings: a.settings,
	}
	led := c.reads.try(key, a.message(), func(highest func() domain.Message) readOutcome {
		target := c.pending.highest(key, highest())
		var done Done
		done, err = c.tryMark(ctx, cmd, target, &a.last)
		recorded = target.Seq
		return c.outcomeOf(ctx, key, done, target.Seq, err)
	})
	if !led {
		return 0, errMarkBusy
	}
	return recorded, err
}

// finish notes how the recording of a mark ended, and returns the next mark for the worker, or nil if the worker ends.
func (p *pendingMarks) finish(m *pendingMark, last receiptTime, recorded domain.Seq, err error) *pendingMark {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.last = last
	now := p.clock.Now()
	var tooSoon *domain.TooSoonError
	switch {
	case err == nil && m.seq <= recorded:
		p.remove(m)
	case refused(err):
		p.refused++
		p.remove(m)
	case p.ended, errors.Is(err, ports.ErrClosed):
		p.unrecorded++
		p.remove(m)
	case errors.As(err, &tooSoon):
		p.retry(m, tooSoon.Until)
	case err == nil, errors.Is(err, errMarkBusy): // a higher mark was accepted meanwhile
		m.failures = 0
		p.retry(m, now.Add(domain.ReadCoalescing))
	default:
		m.failures++
		p.retry(m, now.Add(p.pause.Pause(m.failures)))
	}
	if next := p.next(); next != nil {
		return next
	}
	p.workers--
	p.dispatch()
	return nil
}

// retry is called with the mutex held.
func (p *pendingMarks) retry(m *pendingMark, at time.Time) {
	m.due = at
	heap.Push(&p.waiting, m)
}

// refused reports whether an error is a decision that trying again does not change.
func refused(err error) bool {
	return decided(err) && !errors.Is(err, domain.ErrTooSoon)
}

// close waits until there is no mark. When ctx ends it drops the others. It returns how many marks were not recorded, as far as that is known.
func (p *pendingMarks) close(ctx context.Context) (unrecorded int) {
	p.mu.Lock()
	p.closed = true
	if len(p.marks) == 0 {
		defer p.mu.Unlock()
		return int(p.unrecorded) //nolint:gosec // at most maxPendingMarks for each call
	}
	if p.empty == nil {
		p.empty = make(chan struct{})
	}
	empty := p.empty
	p.mu.Unlock()
	select {
	case <-empty:
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	for len(p.waiting) > 0 {
		m, _ := heap.Pop(&p.waiting).(*pendingMark)
		p.unrecorded++
		p.remove(m)
	}
	return int(p.unrecorded) + len(p.marks) //nolint:gosec // workers have the rest
}

func (p *pendingMarks) stats() MarkStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := MarkStats{Pending: len(p.marks), Refused: p.refused, Unrecorded: p.unrecorded}
	if len(p.waiting) > 0 {
		s.NextDue = p.waiting[0].due
	}
	return s
}

// markHeap orders marks by the time when they are due. It implements [heap.Interface].
type markHeap []*pendingMark

func (h markHeap) Len() int           { return len(h) }
func (h markHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }

func (h markHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push implements [heap.Interface].
func (h *markHeap) Push(m any) {
	mark, _ := m.(*pendingMark)
	mark.place = len(*h)
	*h = append(*h, mark)
}

// Pop implements [heap.Interface].
func (h *markHeap) Pop() any {
	last := len(*h) - 1
	mark := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	mark.place = -1
	return mark
}
