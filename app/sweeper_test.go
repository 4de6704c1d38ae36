package app_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"chatcore/app"
	"chatcore/domain"
)

// hourglass is a clock that stands until the sweeper has slept so many times, and then ends the sweep.
type hourglass struct {
	mu    sync.Mutex
	now   time.Time
	turns int
	end   context.CancelFunc
}

func (h *hourglass) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *hourglass) Sleep(ctx context.Context, until time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = until
	if h.turns--; h.turns == 0 {
		h.end()
	}
	return ctx.Err()
}

// swept records a sweeper's calls, and has a given number of full pages.
type swept struct {
	leads bool
	full  int
	calls []string
}

func (s *swept) AcquireLease(ctx context.Context, lease time.Duration) (bool, error) {
	if lease == 0 {
		s.calls = append(s.calls, "resign")
		return s.leads, ctx.Err()
	}
	s.calls = append(s.calls, "lead")
	return s.leads, nil
}

func (s *swept) Expire(context.Context, int) ([]domain.UserStatus, bool, error) {
	s.calls = append(s.calls, "expire")
	s.full--
	return nil, s.full >= 0, nil
}

func (s *swept) Repair(context.Context, int) ([]domain.UserStatus, error) {
	s.calls = append(s.calls, "repair")
	return nil, nil
}

func TestASweeperWorksOnlyWhileItLeads(t *testing.T) {
	for name, c := range map[string]struct {
		leads bool
		full  int
		want  []string
	}{
		"leads":            {leads: true, want: []string{"lead", "expire", "repair", "lead", "expire", "repair", "resign"}},
		"has full pages":   {leads: true, full: 2, want: []string{"lead", "expire", "expire", "expire", "repair", "lead", "expire", "repair", "resign"}},
		"another one does": {want: []string{"lead", "lead"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			store := &swept{leads: c.leads, full: c.full}
			app.NewSweeper(store, &hourglass{turns: 2, end: cancel}, slog.New(slog.DiscardHandler)).Run(ctx)
			if !slices.Equal(store.calls, c.want) {
				t.Errorf("asked for %v, want %v", store.calls, c.want)
			}
		})
	}
}
