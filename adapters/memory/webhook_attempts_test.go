package memory

import (
	"testing"
	"time"

	"chatcore/ports"
	"chatcore/ports/porttest"
)

func TestWebhookAttempts(t *testing.T) {
	porttest.WebhookAttempts(t, func(*testing.T) (ports.WebhookAttempts, func(time.Duration)) {
		clock := newClock()
		return NewWebhookAttempts(clock), clock.forward
	})
}
