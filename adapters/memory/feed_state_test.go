package memory

import (
	"testing"
	"time"

	"chatcore/ports"
	"chatcore/ports/porttest"
)

func TestFeedState(t *testing.T) {
	porttest.FeedState(t, func(*testing.T) (ports.FeedState, func(time.Duration)) {
		clock := newClock()
		return NewFeedState(clock), clock.forward
	})
}
