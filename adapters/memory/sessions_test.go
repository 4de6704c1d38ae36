package memory

import (
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports/porttest"
)

func TestSessions(t *testing.T) {
	porttest.Sessions(t, func(*testing.T) porttest.SessionStore {
		clock := newClock()
		return porttest.SessionStore{
			SessionStore: NewSessions(clock, porttest.SessionPolicy()), Pass: func(_ domain.UserID, d time.Duration) { clock.forward(d) },
		}
	})
}
