package ports

import (
	"context"
	"time"
)

// Clock tells the time and waits.
type Clock interface {
	Now() time.Time
	// Sleep waits until the given time has come or ctx ends, whose error it then returns.
	Sleep(ctx context.Context, until time.Time) error
}

// IDs makes ids that are unique everywhere and sort by the time they were made.
type IDs interface {
	NewID() string
}
