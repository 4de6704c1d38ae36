package redis

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// Bounds of a batch and of a lane.
const (
	batchCommands = 128       // a script of so many holds up every other client for about 2 ms
	batchBytes    = 512 << 10 // of arguments
	flights       = 2         // batches on their way at once: one travels while Redis carries out the other
	queueBytes    = 64 << 20  // of arguments that wait
	chatShare     = 4         // one part in so many of the queue is the most that one chat may take
)

// lane commits the appends that are in flight together as batches: all of a server, or those of one partition on a Cluster.
//
// It has no goroutine of its own. An append that finds fewer than two batches on their way is sent at once by its caller. Others wait;
// whoever brings back an answer wakes one of them, which takes what has gathered by then and sends it. So nothing is delayed to wait for
// company, and the batches grow as far as the load does.
type lane struct {
	log      *Log
	capacity int
	history  atomic.Pointer[field]     // that the server of this lane was at when it last answered; empty before it did
	seen     atomic.Pointer[time.Time] // when it last answered; nil before it did

	mu     sync.Mutex
	flying int
	count  int // requests that wait
	bytes  int
	chats  map[domain.ChatID]*waiting
	turns  []*waiting // chats with waiting requests, in the order of their turns
	spare  []*waiting
}

// waiting are the requests of one chat, in the order in which they came.
type waiting struct {
	chat        domain.ChatID
	first, last *request
	count       int
}

func newLane(l *Log, capacity int) *lane {
	lane := &lane{log: l, capacity: capacity, chats: make(map[domain.ChatID]*waiting)}
	lane.history.Store(&field{})
	return lane
}

// observe takes down which history an answer was of. If it is another one than before, what others said is void: the server was restarted,
// or another one has been promoted, or the same one again after that, and may know less than was told. What is decided on is dropped first,
// so that nothing of the one history is sent as if it were of the other.
func (l *lane) observe(history string) {
	l.log.observing.Lock()
	defer l.log.observing.Unlock()
	if now := time.Now(); l.seen.Load() == nil || now.Sub(*l.seen.Load()) > historyAge/16 { // often enough, and an allocation now and then
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
		l.log.witnesses.reset() // the new history may not have them
	}
	l.history.Store(&field{[]byte(history)})
	l.log.historyName.lost.Store(false)
	l.log.nameHistory()
}

// commit has the request appended and gives its outcome. A request that still waits when ctx ends leaves the queue; one that was sent is
// waited for.
func (l *lane) commit(ctx context.Context, r *request) (ports.Outcome, error) {
	l.mu.Lock()
	if l.flying < flights && l.count == 0 {
		l.flying++
		l.mu.Unlock()
		l.fly(r)
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

func (l *lane) woken(r *request, s signal) {
	if s == lead {
		l.fly(r)
	}
}

// fly sends a batch that the leader is part of, and then lets another one lead. It is others' batch too, so no caller's context ends it.
func (l *lane) fly(leader *request) {
	b := newBatch(l.log)
	l.mu.Lock()
	b.add(leader)
	l.fill(b)
	l.mu.Unlock()
	b.send(l.log.ctx)

	l.mu.Lock()
	next := l.take()
	if next == nil {
		l.flying--
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

// enqueue takes a request into the queue, or says that there is no room.
func (l *lane) enqueue(r *request) error {
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

// withdraw takes a request out of the queue; false if it is no longer there.
func (l *lane) withdraw(r *request) bool {
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

// take gives the next request: one of the chat whose turn it is. nil if none waits.
func (l *lane) take() *request {
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

// left counts a request that is no longer queued.
func (l *lane) left(w *waiting, r *request) {
	r.queued, r.next = false, nil
	w.count--
	l.count--
	l.bytes -= len(r.buf)
}

// forget drops a chat for which nothing waits.
func (l *lane) forget(w *waiting) {
	delete(l.chats, w.chat)
	*w = waiting{}
	if len(l.spare) < l.capacity {
		l.spare = append(l.spare, w)
	}
}

// fill adds to the batch what waits, chat by chat in turn, as far as there is room.
func (l *lane) fill(b *batch) {
	for len(l.turns) > 0 && len(b.requests) < batchCommands && b.bytes+len(l.turns[0].first.buf) <= batchBytes {
		b.add(l.take())
	}
}
