package pubsub

import (
	"context"
	"errors"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// dispatch hands out what is ready. Whoever made something ready does it, because waking another goroutine would take longer than all the rest;
// unless somebody is at it, who then goes on.
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

// pick takes parcels whose handlers may begin.
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
		// until the lane is to be kept after all, the lease is renewed, or the chat's handler under an earlier term has ended
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

// errUnended is a last attempt whose process ended before the handler.
var errUnended = errors.New("the last attempt did not end: its process was gone")

// hand gives a parcel to the handler: there is room for all that may be with handlers. What cannot be read is set aside without one.
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

// message makes a parcel's message. From then on the parcel's event is known.
func (s *subscription) message(handlers context.Context, p *parcel, withAcks bool) (*message.Message, error) {
	msg, err := p.message(handlers, withAcks, s.config.Codec)
	if err == nil && p.ofLog() {
		s.mu.Lock()
		defer s.mu.Unlock()
		p.event = msg.UUID
	}
	return msg, err
}

// handWithAcks does so without a router. The message's context ends with its ack.
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

// recall takes back what nobody has taken, and hands out again what may still begin: a lane may have to be given away, or its lease have ended,
// while nobody came.
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

// mayBegin reports whether a handler may begin with what was handed out: the lane is still this instance's.
func (s *subscription) mayBegin(p *parcel) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.stopped && !p.term.over && !p.term.draining && time.Now().Before(p.term.deadline)
}

// errNotBegun is a parcel that found no handler in time, or whose handler was given up: it counts as no attempt.
var errNotBegun = errors.New("not begun")

// await settles a message by its ack.
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

// outcome takes what became of a parcel, and goes on. Only the first word counts.
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

// unbar lets a chat go on whose handler under an earlier term has ended.
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

// retry begins the next start of a line's head: first it is taken down that there is one.
func (s *subscription) retry(t *term, l *line) {
	defer s.dispatch()
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.over || s.stopped || !l.waiting || l.head == nil {
		return
	}
	if t.draining { // the lane may be kept after all
		l.timer.Reset(held)
		return
	}
	if l.foreign() || l.head.letter != "" || l.head.starts == 0 { // a first start is never taken down before
		l.waiting = false
		t.show(l)
		return
	}
	l.arranged = true
	t.touch(l)
}
