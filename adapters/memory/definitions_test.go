package memory_test

import (
	"context"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/ports/groups"
	"chatcore/ports/porttest"
)

func TestDefinitions(t *testing.T) {
	porttest.Definitions(t, func(*testing.T) groups.Definitions { return memory.NewDefinitions(wallClock{}) })
}

// wallClock is the time of the machine.
type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

func (wallClock) Sleep(ctx context.Context, _ time.Time) error { return ctx.Err() }
