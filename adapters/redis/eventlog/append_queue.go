package eventlog

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// Bounds of a batch and of an append queue.
const (
	batchCommands = 128       // a script of this size blocks every other client for about 2 ms
	batchBytes    = 512 << 10 // of arguments
	maxInFlight   = 2         // batches in flight at once: one is on the network while Redis executes the other
	queueBytes    = 64 << 20  // of arguments in the queue
	chatShare     = 4         // one chat may use at most this fraction of the queue: a quarter
)

// appendQueue is the queue of appends of one server, or of one partition on a Cluster. It commits concurrent appends in batches (group commit).
//
// It has no goroutine of its own. If fewer than two batches are in flight, the caller of an append sends it at once. Other appends wait in the queue.
// When a reply arrives, its receiver wakes one waiting caller, which sends a batch of all queued requests that fit. So no append is delayed to fill a
// batch, and batches grow with the load.
type appendQueue struct {
	log      *Log
	capacity int
	history  atomic.Pointer[field]     // replication ID of the server at its last reply; empty before the first one
	seen     atomic.Pointer[time.Time] // time of the last reply; nil before the first one

	mu       sync.Mutex
	inFlight int
	count    int // queued requests
	bytes    int
	chats    map[domain.ChatID]*waiting
	turns    []*waiting // chats with queued requests, in the order of their turns
	spare    []*waiting
}

// waiting holds the queued requests of one chat, first in first out.
type waiting struct {
	chat        domain.ChatID
	first, last *request
	count       int
}

func newAppendQueue(l *Log, capacity int) *appendQueue {
	queue := &appendQueue{log: l, capacity: capacity, chats: make(map[domain.ChatID]*waiting)}
	queue.history.Store(&field{})
	return queue
}

// observe records the history that a reply belongs to. A change of the history means that the server was restarted, or that another one was promoted.
// The new history may lack events that earlier replies contained. observe ends the epoch before it stores the new history, so that no command
// validated against the old history is sent with the new one.
func (l *appendQueue) observe(history string) {
	l.log.observing.Lock()
	defer l.log.observing.Unlock()
	if now := time.Now(); l.seen.Load() == nil || now.Sub(*l.seen.Load()) > historyAge/16 { // often enough, and rarely allocates
		l.seen.Store(&now)
	}
	known := l.history.Load()
	if string(known.bytes) == history {
		if l.log.historyName.lost.CompareAndSwap(true, false) {
			l.log.nameHistory()
		}
		return
	}
	if len(known.bytes) > 0 && l.log.forget != nil {
		l.log.forget()
		l.log.witnesses.reset() // the new history may not have the values
	}
	l.history.Store(&field{[]byte(history)})
	l.log.historyName.lost.Store(false)
	l.log.nameHistory()
}

// commit appends the request and returns its outcome. A request that is still queued when ctx ends leaves the queue; commit waits for a request that
// was sent.
func (l *appendQueue) commit(ctx context.Context, r *request) (ports.Outcome, error) {
	l.mu.Lock()
	if l.inFlight < maxInFlight && l.count == 0 {
		l.inFlight++
		l.mu.Unlock()
		l.sendBatch(r)
		return r.outcome, r.err
	}
	if err := l.enqueue(r); err != nil {
		l.mu.Unlock()
		return ports.Outcome{}, err
	}
	l.mu.Unlock()

	select {
	case s := <-r.wake:
		l.woken(r, s)
	case <-ctx.Done():
		if l.withdraw(r) {
			return ports.Outcome{}, ctx.Err()
		}
		l.woken(r, <-r.wake)
	}
	return r.outcome, r.err
}

func (l *appendQueue) woken(r *request, s signal) {
	if s == lead {
		l.sendBatch(r)
	}
}

// sendBatch sends a batch with the leader's request, and then wakes the next leader. The batch belongs to several callers, so no caller's context ends it.
func (l *appendQueue) sendBatch(leader *request) {
	b := newBatch(l.log)
	l.mu.Lock()
	b.add(leader)
	l.fill(b)
	l.mu.Unlock()
	b.send(l.log.ctx)

	l.mu.Lock()
	next := l.take()
	if next == nil {
		l.inFlight--
	}
	l.mu.Unlock()
	if next != nil {
		next.wake <- lead
	}
	for _, r := range b.requests[1:] {
		r.wake <- done
	}
	b.free()
}

// enqueue adds a request to the queue. It returns [ports.ErrOverloaded] if there is no room.
func (l *appendQueue) enqueue(r *request) error {
	w := l.chats[r.append.Chat]
	switch {
	case l.count >= l.capacity || l.bytes+len(r.buf) > queueBytes && l.count > 0:
		return fmt.Errorf("%w: %d appends wait", ports.ErrOverloaded, l.count)
	case w != nil && w.count >= max(1, l.capacity/chatShare):
		return fmt.Errorf("%w: %d appends to chat %q wait", ports.ErrOverloaded, w.count, r.append.Chat)
	}
	if w == nil {
		if n := len(l.spare); n > 0 {
			w, l.spare = l.spare[n-1], l.spare[:n-1]
		} else {
			w = &waiting{}
		}
		w.chat = r.append.Chat
		l.chats[w.chat] = w
		l.turns = append(l.turns, w)
	}
	if w.last == nil {
		w.first = r
	} else {
		w.last.next = r
	}
	w.last = r
	w.count++
	r.queued = true
	l.count++
	l.bytes += len(r.buf)
	return nil
}

// withdraw removes a request from the queue. It returns false if the request is not in it.
func (l *appendQueue) withdraw(r *request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !r.queued {
		return false
	}
	w := l.chats[r.append.Chat]
	var before *request
	for at := w.first; at != r; at = at.next {
		before = at
	}
	if before == nil {
		w.first = r.next
	} else {
		before.next = r.next
	}
	if w.last == r {
		w.last = before
	}
	l.left(w, r)
	if w.count == 0 {
		for i, other := range l.turns {
			if other == w {
				l.turns = append(l.turns[:i], l.turns[i+1:]...)
				break
			}
		}
		l.forget(w)
	}
	return true
}

// take removes the next request from the queue and returns it: the first one of the chat whose turn it is. It returns nil if the queue is empty.
func (l *appendQueue) take() *request {
	if len(l.turns) == 0 {
		return nil
	}
	w := l.turns[0]
	copy(l.turns, l.turns[1:])
	l.turns = l.turns[:len(l.turns)-1]
	r := w.first
	if w.first = r.next; w.first == nil {
		w.last = nil
	}
	l.left(w, r)
	if w.count > 0 {
		l.turns = append(l.turns, w)
	} else {
		l.forget(w)
	}
	return r
}

// left updates the counts for a request that left the queue.
func (l *appendQueue) left(w *waiting, r *request) {
	r.queued, r.next = false, nil
	w.count--
	l.count--
	l.bytes -= len(r.buf)
}

// forget removes a chat without queued requests.
func (l *appendQueue) forget(w *waiting) {
	delete(l.chats, w.chat)
	*w = waiting{}
	if len(l.spare) < l.capacity {
		l.spare = append(l.spare, w)
	}
}

// fill adds queued requests to the batch, chat by chat in turn, until the batch is full.
func (l *appendQueue) fill(b *batch) {
	for len(l.turns) > 0 && len(b.requests) < batchCommands && b.bytes+len(l.turns[0].first.buf) <= batchBytes {
		b.add(l.take())
	}
}
