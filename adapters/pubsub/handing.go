package pubsub

import (
	"context"
	"errors"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// dispatch delivers ready records on the calling goroutine: waking another goroutine would take longer than all the rest. Only one caller runs at a
// time and also delivers the records that become ready meanwhile. With a batch handler it wakes batchLoop.
func (s *subscription) dispatch() {
	if s.config.Batch != nil {
		s.batches.wake()
		return
	}
	var picked [16]*parcel
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dispatching {
		return
	}
	s.dispatching = true
	for n := s.pick(picked[:]); n > 0; n = s.pick(picked[:]) {
		s.mu.Unlock()
		for _, p := range picked[:n] {
			s.hand(p)
		}
		s.mu.Lock()
	}
	s.dispatching = false
}

// pick fills into with parcels whose handlers may start, and returns their number.
func (s *subscription) pick(into []*parcel) int {
	n := 0
	if s.stopped {
		return 0
	}
	now := time.Now()
	for n < len(into) && s.flying < s.config.InFlight {
		l := s.ready.pop()
		if l == nil {
			break
		}
		l.ready = false
		t, p := l.term, l.head
		switch {
		case t.over || p == nil || l.flying || l.waiting:
		// stalled until the partition is kept after all, the lease is renewed, or the chat's handler under an earlier term has ended
		case t.draining || now.After(t.deadline) || t.earlier[l.chat] > 0:
			t.stalled = append(t.stalled, l)
		case p.starts >= s.config.Retry.Attempts && p.letter == "":
			t.setAside(l, errUnended)
			t.show(l)
		default:
			l.flying, l.since, p.flying = true, now, true
			s.inFlight.push(l)
			p.flight++
			t.flights++
			s.flying++
			into[n] = p
			n++
		}
	}
	return n
}

// errUnended is the failure of a last attempt whose process ended before the handler.
var errUnended = errors.New("the last attempt did not end: its process was gone")

// hand sends a parcel to the handlers. The channel has room for all parcels in flight. A parcel that cannot be read fails without a handler.
func (s *subscription) hand(p *parcel) {
	if !s.settled {
		s.handWithAcks(p)
		return
	}
	msg, err := s.message(s.handlers, p, false)
	if err != nil {
		s.land(p, p.flight, unreadable(p.ofLog(), err))
		return
	}
	s.out <- msg
}

// message returns a parcel's message, and records its UUID if the parcel was read from the log.
func (s *subscription) message(handlers context.Context, p *parcel, withAcks bool) (*message.Message, error) {
	msg, err := p.message(handlers, withAcks, s.config.Codec)
	if err == nil && p.ofLog() {
		s.mu.Lock()
		defer s.mu.Unlock()
		p.event = msg.UUID
	}
	return msg, err
}

// handWithAcks sends a parcel to a reader without a router, which acks the message. The message's context ends with its ack.
func (s *subscription) handWithAcks(p *parcel) {
	ctx, end := context.WithCancel(s.handlers)
	msg, err := s.message(ctx, p, true)
	if err != nil {
		end()
		s.land(p, p.flight, unreadable(p.ofLog(), err))
		return
	}
	go s.await(p, p.flight, msg, end)
	s.out <- msg
}

// recall reclaims parcels that no handler has received, and dispatches again those that may still start. A partition may have to be released, or its
// lease may have expired, while no handler was free.
func (s *subscription) recall() {
	var untaken []*parcel
	for waiting := true; waiting; {
		select {
		case msg, open := <-s.out:
			if waiting = open; open {
				untaken = append(untaken, parcelOf(msg.Context()))
			}
		default:
			waiting = false
		}
	}
	for _, p := range untaken {
		s.land(p, p.flight, errNotBegun)
	}
	s.dispatch()
}

// mayBegin reports whether a handler may start with a dispatched parcel: the subscription still owns the partition.
func (s *subscription) mayBegin(p *parcel) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.stopped && !p.term.over && !p.term.draining && time.Now().Before(p.term.deadline)
}

// errNotBegun is the outcome of a parcel that no handler received in time, or whose handler was canceled. It does not count as an attempt.
var errNotBegun = errors.New("not begun")

// await waits for a message's ack and reports it as the outcome.
func (s *subscription) await(p *parcel, flight int, msg *message.Message, end context.CancelFunc) {
	defer end()
	select {
	case <-msg.Acked():
		s.outcome(p, flight, nil)
	case <-msg.Nacked():
		s.outcome(p, flight, errUnsettled)
	case <-s.handlers.Done():
		s.outcome(p, flight, errNotBegun)
	}
}

// outcome applies the outcome of a dispatched parcel and dispatches. Only the first outcome counts.
func (s *subscription) outcome(p *parcel, flight int, err error) {
	s.land(p, flight, err)
	s.dispatch()
}

func (s *subscription) land(p *parcel, flight int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !p.flying || p.flight != flight {
		return
	}
	p.flying = false
	l, t := p.line, p.term
	l.flying = false
	s.inFlight.remove(l)
	s.flying--
	t.flights--
	switch {
	case t.over:
		if err != nil && s.uncounted(err) {
			s.unreserve(l)
		}
		s.unbar(t, l)
		return
	case err == nil:
		t.finish(l)
	case errors.Is(err, errNotBegun) || s.handlers.Err() != nil:
		t.unarrange(l)
		if l.blocked != nil && l.blocked.reason == BlockedSlow {
			t.unblock(l)
		}
	default:
		t.fail(l, err)
	}
	t.show(l)
	if t.draining && t.flights == 0 {
		s.rules.wake()
	}
}

// unbar unblocks a chat whose handler under an earlier term has ended.
func (s *subscription) unbar(t *term, l *line) {
	if t.earlier[l.chat]--; t.earlier[l.chat] <= 0 {
		delete(t.earlier, l.chat)
	}
	if now := s.laneOf(t).term; now != nil {
		if l := s.successor(l); l != nil && l.blocked != nil && l.blocked.reason == BlockedSlow {
			now.unblock(l)
		}
		now.unstall()
	}
}

// retry begins the next start of a chat queue's head. The next commit records the start first, unless it is the first one.
func (s *subscription) retry(t *term, l *line) {
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
	if l.foreign() || l.head.letter != "" || l.head.starts == 0 { // a first start is not recorded beforehand
		l.waiting = false
		t.show(l)
		return
	}
	l.arranged = true
	t.touch(l)
}
