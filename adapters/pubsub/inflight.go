package pubsub

import (
	"time"

	"chatcore/domain"
)

// flightList is a list of the chat queues whose heads are in flight, the longest running first. The member's mutex guards it.
type flightList struct{ first, last *chatQueue }

func (f *flightList) push(l *chatQueue) {
	l.prevFlight, l.nextFlight = f.last, nil
	if f.last == nil {
		f.first = l
	} else {
		f.last.nextFlight = l
	}
	f.last = l
}

func (f *flightList) remove(l *chatQueue) {
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
func (s *member) running() []RunningHandler {
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
func (s *member) reportSlow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for running := s.inFlight.first; running != nil && now.Sub(running.dispatchedAt) >= s.config.Slow; running = running.nextFlight {
		l := running
		if l.owned.over {
			if l = s.successor(l); l == nil {
				continue
			}
		}
		l.owned.block(l, BlockedSlow, running.dispatchedAt, "")
		l.owned.report(l)
	}
}

// successor returns the chat queue of the same chat under the present lease, or nil if another process delivers it.
func (s *member) successor(l *chatQueue) *chatQueue {
	partition := s.partitionOf(l.owned)
	if partition.owned == nil {
		return nil
	}
	now := partition.owned.others
	if !l.foreign() {
		now = partition.owned.queues[l.chat]
	}
	if now == nil || now.head == nil || now.inFlight || now.head.letter != "" {
		return nil
	}
	return now
}

// partitionOf returns the state of a lease's partition.
func (s *member) partitionOf(t *ownedPartition) *assignment {
	for _, l := range s.partitions {
		if l.Stream == t.partition.Stream {
			return l
		}
	}
	return nil // unreachable: a lease belongs to one of them
}
