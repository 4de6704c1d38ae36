package memory

import (
	"context"
	"sync"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

var _ ports.Statuses = (*Statuses)(nil)

// Statuses remembers each user's last status, by a clock.
type Statuses struct {
	clock ports.Clock

	mu   sync.Mutex
	last map[domain.UserID]remembered
}

type remembered struct {
	status domain.Status
	until  time.Time
}

// NewStatuses remembers nothing yet.
func NewStatuses(clock ports.Clock) *Statuses {
	return &Statuses{clock: clock, last: make(map[domain.UserID]remembered)}
}

// Swap implements [ports.Statuses].
func (s *Statuses) Swap(ctx context.Context, status domain.UserStatus, ttl time.Duration) (domain.Status, error) {
	if err := ctx.Err(); err != nil {
		return domain.Offline, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, before := s.clock.Now(), domain.Offline
	if last := s.last[status.User]; now.Before(last.until) {
		before = last.status
	}
	s.last[status.User] = remembered{status: status.Status, until: now.Add(ttl)}
	return before, nil
}
