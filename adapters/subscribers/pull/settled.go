package pull

import (
	"sync"
	"time"
)

// settled remembers the outcomes of settled deliveries until their leases would have ended, the latest so many, so that a settlement that is repeated
// after a lost answer gets the same one.
type settled struct {
	mu sync.Mutex
	// mu guards all below.
	outcomes map[uint64]settlement // by dispatch
	order    []uint64              // a ring of dispatches
	next     int                   // place of the next one in order
	most     int
}

// settlement is a remembered outcome.
type settlement struct {
	outcome outcome
	status  Status
	until   time.Time // it is remembered
}

func newSettled(most int) settled {
	return settled{outcomes: make(map[uint64]settlement), most: max(most, 1)}
}

// add remembers outcomes.
func (s *settled) add(dispatch uint64, o settlement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.order) < s.most {
		s.order = append(s.order, dispatch)
	} else {
		delete(s.outcomes, s.order[s.next])
		s.order[s.next] = dispatch
		s.next = (s.next + 1) % s.most
	}
	s.outcomes[dispatch] = o
}

// of returns the answer to a settlement of a delivery that no consumer has any more.
func (s *settled) of(dispatch uint64, o outcome, now time.Time) Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.outcomes[dispatch]; ok && known.outcome == o && now.Before(known.until) {
		return known.status
	}
	return Stale
}
