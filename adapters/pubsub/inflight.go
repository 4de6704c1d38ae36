package pubsub

import (
	"time"

	"chatcore/domain"
)

// flightList is a list of the chat queues whose heads are in flight, the longest running first. The subscription's mutex guards it.
type flightList struct{ first, last *line }

func (f *flightList) push(l *line) {
	l.prevFlight, l.nextFlight = f.last, nil
	if f.last == nil {
		f.first = l
	} else {
		f.last.nextFlight = l
	}
	f.last = l
}

func (f *flightList) remove(l *line) {
	if l.prevFlight == nil {
		f.first = l.nextFlight
	} else {
		l.prevFlight.nextFlight = l.nextFlight
	}
	if l.nextFlight == nil {
		f.last = l.prevFlight
	} else {
		l.nextFlight.prevFlight = l.prevFlight
	}
	l.prevFlight, l.nextFlight = nil, nil
}

// running returns the handlers that run or are about to.
func (s *subscription) running() []RunningHandler {
	s.mu.Lock()
	defer s.mu.Unlock()
	var running []RunningHandler
	for l := s.inFlight.first; l != nil; l = l.nextFlight {
		p := l.head
		if p == nil {
			continue
		}
		event := p.event
		if !p.ofLog() {
			event = p.uuid
		}
		running = append(running, RunningHandler{Group: s.group, Chat: domain.ChatID(l.chat), Seq: p.seq, Event: domain.EventID(event)})
	}
	return running
}

// reportSlow reports the chats whose handlers run for longer than the bound. A handler of an earlier lease blocks the chat that is delivered
// under the present one.
func (s *subscription) reportSlow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for running := s.inFlight.first; running != nil && now.Sub(running.since) >= s.config.Slow; running = running.nextFlight {
		l := running
		if l.term.over {
			if l = s.successor(l); l == nil {
				continue
			}
		}
		l.term.block(l, BlockedSlow, running.since, "")
		l.term.report(l)
	}
}

// successor returns the chat queue of the same chat under the present lease, or nil if another process delivers it.
func (s *subscription) successor(l *line) *line {
	lane := s.laneOf(l.term)
	if lane.term == nil {
		return nil
	}
	now := lane.term.others
	if !l.foreign() {
		now = lane.term.lines[l.chat]
	}
	if now == nil || now.head == nil || now.flying || now.head.letter != "" {
		return nil
	}
	return now
}

// laneOf returns the state of a term's partition.
func (s *subscription) laneOf(t *term) *laneState {
	for _, l := range s.lanes {
		if l.Stream == t.lane.Stream {
			return l
		}
	}
	return nil // unreachable: a term belongs to one of them
}
