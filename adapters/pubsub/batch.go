package pubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"chatcore/ports"
)

const (
	batchChats  = 128 // the most chats of one call of a batch handler
	batchEvents = 512 // the most events of one chat in it
)

// BatchHandler handles the queued events of several chats in one call. It sets [ports.ChatBatch].Done, Err and Later of each batch. A chat is in at
// most one call at a time.
type BatchHandler func(ctx context.Context, batches []*ports.ChatBatch)

// chatBatch is one chat's part of a call of the batch handler.
type chatBatch struct {
	ports.ChatBatch
	parcels  []*record
	dispatch int // of the first record
}

// batchLoop calls the batch handler until ctx ends. It makes one call at a time: chats that become ready during a call go into the next one.
func (s *member) batchLoop(ctx context.Context) {
	for {
		select {
		case <-s.batches.c:
		case <-ctx.Done():
			return
		}
		for s.handleBatch() { //nolint:contextcheck // the handlers' context outlives the loop's
		}
	}
}

// handleBatch makes one call with the chats that are ready. It reports whether there were any.
func (s *member) handleBatch() bool {
	batches := s.takeBatches()
	if len(batches) == 0 {
		return false
	}
	given := make([]*ports.ChatBatch, 0, len(batches))
	for _, b := range batches {
		b.Err = s.decodeBatch(b)
		if len(b.Deliveries) > 0 {
			given = append(given, &b.ChatBatch)
		}
	}
	unread := make([]error, len(batches)) // why the event after the last delivery is missing
	for i, b := range batches {
		unread[i], b.Err = b.Err, nil
	}
	s.callBatch(given)
	for i, b := range batches {
		if b.Err == nil && b.Later == 0 && b.Done == len(b.Deliveries) {
			b.Err = unread[i]
		}
		s.config.Counters.Handled.Add(uint64(b.Done)) //nolint:gosec // a count
		s.completeBatch(b)
	}
	s.dispatch()
	return true
}

// takeBatches marks the ready chats as in flight and returns their queued events.
func (s *member) takeBatches() []*chatBatch {
	var picked [batchChats]*record
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nextReady(picked[:])
	batches := make([]*chatBatch, n)
	for i, p := range picked[:n] {
		b := &chatBatch{parcels: []*record{p}, dispatch: p.dispatchID}
		for p.seq > 0 && p.letter == "" && len(b.parcels) < batchEvents {
			next := p.next
			if next == nil || next.letter != "" || next.seq != p.seq+1 {
				break
			}
			b.parcels, p = append(b.parcels, next), next
		}
		batches[i] = b
	}
	return batches
}

// decodeBatch fills in the deliveries up to the first event that cannot be read. It returns that event's error.
func (s *member) decodeBatch(b *chatBatch) error {
	b.Deliveries = make([]ports.Delivery, 0, len(b.parcels))
	for _, p := range b.parcels {
		msg, err := s.message(s.handlers, p, false)
		if err != nil {
			return unreadable(p.ofLog(), err)
		}
		d, err := readDelivery(s.config.Codec, s.config.LogID, time.Now, msg)
		if err != nil {
			return unreadable(p.seq > 0, err)
		}
		b.Deliveries = append(b.Deliveries, d)
	}
	return nil
}

// callBatch calls the handler. A panic counts as a failure of every chat that the handler has not finished.
func (s *member) callBatch(given []*ports.ChatBatch) {
	if len(given) == 0 {
		return
	}
	defer func() {
		if r := recover(); r != nil {
			for _, b := range given {
				if b.Err == nil && b.Done < len(b.Deliveries) {
					b.Err = fmt.Errorf("the handler panicked: %v", r)
				}
			}
		}
	}()
	s.config.Batch(s.handlers, given)
}

// completeBatch finishes the events that the handler finished, and decides about the next one.
func (s *member) completeBatch(b *chatBatch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	head := b.parcels[0]
	if !head.inFlight || head.dispatchID != b.dispatch {
		return
	}
	head.inFlight = false
	l, t := head.queue, head.owned
	l.inFlight = false
	s.inFlight.remove(l)
	s.inFlightCount--
	t.inFlightCount--
	if t.over {
		s.completeBatchLate(b, l, t)
		return
	}
	if b.Done > 0 {
		t.finishTo(l, b.parcels[b.Done-1])
	}
	s.resolveNext(b, l, t)
	t.show(l)
	if t.draining && t.inFlightCount == 0 {
		s.assignments.wake()
	}
}

// finishTo finishes a chat's queued events up to the last one that was handled. Some of them may have left the queue meanwhile, because the log has
// them, or were read from the log again. Dead letters queued between them stay.
func (t *ownedPartition) finishTo(l *chatQueue, last *record) {
	if last.seq == 0 || last.letter != "" {
		t.finish(l)
		return
	}
	var letters []*record
	for l.head != nil && (l.head.letter != "" || l.head.seq <= last.seq) {
		if p := l.head; p.letter != "" {
			letters = append(letters, p)
			l.pop()
			continue
		}
		t.finish(l)
	}
	for _, p := range slices.Backward(letters) {
		p.next = nil
		l.pushBehindHead(p)
	}
	if l.ackedSeq < last.seq {
		l.ackedSeq, l.queuedSeq = last.seq, max(l.queuedSeq, last.seq)
		t.feed(l)
		t.markDirty(l)
	}
}

// completeBatchLate discards the outcome of a batch whose partition belongs to another member by now, and unblocks the chat.
func (s *member) completeBatchLate(b *chatBatch, l *chatQueue, t *ownedPartition) {
	if b.Done == 0 && b.Err != nil && s.uncounted(b.Err) {
		s.unreserve(l)
	}
	s.unblockChat(t, l)
}

// resolveNext decides about the event after the finished ones, if the handler had it.
func (s *member) resolveNext(b *chatBatch, l *chatQueue, t *ownedPartition) {
	if b.Done >= len(b.parcels) || l.head != b.parcels[b.Done] {
		return
	}
	if b := l.blocked; b != nil && b.reason == BlockedSlow {
		t.unblock(l)
	}
	switch {
	case s.handlers.Err() != nil:
		t.unreserveAttempt(l)
	case b.Err != nil:
		t.fail(l, b.Err)
	case b.Later > 0:
		l.waiting = true
		l.timer = time.AfterFunc(b.Later, func() { t.sub.retry(t, l) })
	}
}

// uncounted reports whether a failure does not count as an attempt.
func (s *member) uncounted(err error) bool {
	return errors.Is(err, errNotBegun) || s.handlers.Err() != nil || IsTransient(err) || isNewer(err)
}

// untilPace waits until the next multiple of the group's pace. It returns false if ctx ends before.
func (s *member) untilPace(ctx context.Context) bool {
	now := time.Now()
	timer := time.NewTimer(now.Truncate(s.config.Pace).Add(s.config.Pace).Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
