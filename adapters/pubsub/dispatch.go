package pubsub

import (
	"context"
	"errors"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// dispatch delivers ready records on the calling goroutine: waking another goroutine would take longer than all the rest. Only one caller runs at a
// time and also delivers the records that become ready meanwhile. With a batch handler it wakes batchLoop.
func (s *member) dispatch() {
	if s.config.Batch != nil {
		s.batches.wake()
		return
	}
	var picked [16]*record
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dispatching {
		return
	}
	s.dispatching = true
	for n := s.nextReady(picked[:]); n > 0; n = s.nextReady(picked[:]) {
		s.mu.Unlock()
		for _, p := range picked[:n] {
			s.deliver(p)
		}
		s.mu.Lock()
	}
	s.dispatching = false
}

// nextReady fills into with records whose handlers may start, and returns their number.
func (s *member) nextReady(into []*record) int {
	n := 0
	if s.stopped {
		return 0
	}
	now := time.Now()
	for n < len(into) && s.inFlightCount < s.config.InFlight {
		l := s.ready.pop()
		if l == nil {
			break
		}
		l.ready = false
		t, p := l.owned, l.head
		switch {
		case t.over || p == nil || l.inFlight || l.waiting:
		// stalled until the partition is kept after all, the lease is renewed, or the chat's handler under an earlier lease has ended
		case t.draining || now.After(t.deadline) || t.earlier[l.chat] > 0:
			t.stalled = append(t.stalled, l)
		case p.attempts >= s.config.Retry.Attempts && p.letter == "":
			t.addDeadLetter(l, errUnended)
			t.show(l)
		default:
			l.inFlight, l.dispatchedAt, p.inFlight = true, now, true
			s.inFlight.push(l)
			p.dispatchID++
			t.inFlightCount++
			s.inFlightCount++
			into[n] = p
			n++
		}
	}
	return n
}

// errUnended is the failure of a last attempt whose process ended before the handler.
var errUnended = errors.New("the last attempt did not end: its process was gone")

// deliver sends a record to the handlers. The channel has room for all records in flight. A record that cannot be read fails without a handler.
func (s *member) deliver(p *record) {
	if !s.settled {
		s.deliverWithAcks(p)
		return
	}
	msg, err := s.message(s.handlers, p, false)
	if err != nil {
		s.complete(p, p.dispatchID, unreadable(p.ofLog(), err))
		return
	}
	s.out <- msg
}

// message returns a record's message, and records its UUID if the record was read from the log.
func (s *member) message(handlers context.Context, p *record, withAcks bool) (*message.Message, error) {
	msg, err := p.message(handlers, withAcks, s.config.Codec)
	if err == nil && p.ofLog() {
		s.mu.Lock()
		defer s.mu.Unlock()
		p.event = msg.UUID
	}
	return msg, err
}

// deliverWithAcks sends a record to a reader without a router, which acks the message. The message's context ends with its ack.
func (s *member) deliverWithAcks(p *record) {
	ctx, end := context.WithCancel(s.handlers)
	msg, err := s.message(ctx, p, true)
	if err != nil {
		end()
		s.complete(p, p.dispatchID, unreadable(p.ofLog(), err))
		return
	}
	go s.await(p, p.dispatchID, msg, end)
	s.out <- msg
}

// reclaimUndispatched reclaims records that no handler has received, and dispatches again those that may still start. A partition may have to be released, or its
// lease may have expired, while no handler was free.
func (s *member) reclaimUndispatched() {
	var untaken []*record
	for waiting := true; waiting; {
		select {
		case msg, open := <-s.out:
			if waiting = open; open {
				untaken = append(untaken, recordOf(msg.Context()))
			}
		default:
			waiting = false
		}
	}
	for _, p := range untaken {
		s.complete(p, p.dispatchID, errNotBegun)
	}
	s.dispatch()
}

// mayBegin reports whether a handler may start with a dispatched record: the member still owns the partition.
func (s *member) mayBegin(p *record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.stopped && !p.owned.over && !p.owned.draining && time.Now().Before(p.owned.deadline)
}

// errNotBegun is the outcome of a record that no handler received in time, or whose handler was canceled. It does not count as an attempt.
var errNotBegun = errors.New("not begun")

// await waits for a message's ack and reports it as the outcome.
func (s *member) await(p *record, flight int, msg *message.Message, end context.CancelFunc) {
	defer end()
	select {
	case <-msg.Acked():
		s.report(p, flight, nil)
	case <-msg.Nacked():
		s.report(p, flight, errUnsettled)
	case <-s.handlers.Done():
		s.report(p, flight, errNotBegun)
	}
}

// report applies the outcome of a dispatched record and dispatches. Only the first outcome counts.
func (s *member) report(p *record, flight int, err error) {
	s.complete(p, flight, err)
	s.dispatch()
}

func (s *member) complete(p *record, flight int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !p.inFlight || p.dispatchID != flight {
		return
	}
	p.inFlight = false
	l, t := p.queue, p.owned
	l.inFlight = false
	s.inFlight.remove(l)
	s.inFlightCount--
	t.inFlightCount--
	switch {
	case t.over:
		if err != nil && s.uncounted(err) {
			s.unreserve(l)
		}
		s.unblockChat(t, l)
		return
	case err == nil:
		t.finish(l)
	case errors.Is(err, errNotBegun) || s.handlers.Err() != nil:
		t.unreserveAttempt(l)
		if l.blocked != nil && l.blocked.reason == BlockedSlow {
			t.unblock(l)
		}
	default:
		t.fail(l, err)
	}
	t.show(l)
	if t.draining && t.inFlightCount == 0 {
		s.assignments.wake()
	}
}

// unblockChat unblocks a chat whose handler under an earlier lease has ended.
func (s *member) unblockChat(t *ownedPartition, l *chatQueue) {
	if t.earlier[l.chat]--; t.earlier[l.chat] <= 0 {
		delete(t.earlier, l.chat)
	}
	if now := s.partitionOf(t).owned; now != nil {
		if l := s.successor(l); l != nil && l.blocked != nil && l.blocked.reason == BlockedSlow {
			now.unblock(l)
		}
		now.resumeStalled()
	}
}

// retry begins the next start of a chat queue's head. The next commit records the start first, unless it is the first one.
func (s *member) retry(t *ownedPartition, l *chatQueue) {
	defer s.dispatch()
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.over || s.stopped || !l.waiting || l.head == nil {
		return
	}
	if t.draining { // the partition may be kept after all
		l.timer.Reset(held)
		return
	}
	if l.foreign() || l.head.letter != "" || l.head.attempts == 0 { // a first start is not recorded beforehand
		l.waiting = false
		t.show(l)
		return
	}
	l.attemptReserved = true
	t.markDirty(l)
}
