package memory

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
)

// heard is a live bus that remembers.
type heard struct {
	mu   sync.Mutex
	told []domain.UserStatus
	err  error
}

func (h *heard) Publish(_ context.Context, e domain.Ephemeral, _ ports.Meta) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, e.(domain.UserStatus))
	return h.err
}

func (h *heard) all() []domain.UserStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.told)
}

var phone = domain.Connection{Device: "phone"}

func newPresence() porttest.PresenceStore {
	clock, bus := newClock(), &heard{}
	return porttest.PresenceStore{
		PresenceStore: NewPresence(clock, bus, porttest.PresenceTTL()), Forward: clock.forward, Published: bus.all,
		Now: func(context.Context) time.Time { return domain.Instant(clock.Now()) },
	}
}

func TestPresence(t *testing.T) {
	porttest.Presence(t, func(*testing.T) porttest.PresenceStore { return newPresence() })
}

func TestPresenceOverRandomHistories(t *testing.T) {
	porttest.PresenceHistories(t, func(porttest.T) porttest.PresenceStore { return newPresence() })
}

// TestPresenceIsForgotten guards against one entry for each user that ever was.
func TestPresenceIsForgotten(t *testing.T) {
	clock := newClock()
	p := NewPresence(clock, &heard{}, porttest.PresenceTTL())
	for _, user := range []domain.UserID{"ann", "ben", "cem"} {
		if _, err := p.Leave(t.Context(), user, phone, ports.Meta{}); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.users) > 0 {
		t.Errorf("leaves of users who were not there left %v", p.users)
	}
	if _, err := p.Heartbeat(t.Context(), "ann", phone, ports.Meta{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		clock.forward(10 * time.Minute)
		if _, _, err := p.Expire(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.users) > 0 {
		t.Errorf("long after the last device: %v", p.users)
	}
}

func TestATransitionThatWasNotToldIsAnError(t *testing.T) {
	down := errors.New("down")
	p := NewPresence(newClock(), &heard{err: down}, porttest.PresenceTTL())
	if published, err := p.Heartbeat(t.Context(), "ann", phone, ports.Meta{}); published == nil || !errors.Is(err, down) {
		t.Errorf("told %v, error %v", published, err)
	}
}
