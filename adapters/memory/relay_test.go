package memory_test

import (
	"testing"

	"chatcore/adapters/memory"
	"chatcore/ports"
	"chatcore/ports/porttest"
)

func TestRelay(t *testing.T) {
	porttest.Relay(t, func(*testing.T) (asker, answerer ports.Relay) {
		r := memory.NewRelay()
		return r, r
	})
}
