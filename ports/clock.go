package ports

import (
	"context"
	"time"
)

// Clock returns the time and waits.
type Clock interface {
	Now() time.Time
	// Sleep waits until the given time has come or ctx ends, whose error it then returns.
	Sleep(ctx context.Context, until time.Time) error
}

// LogClock is the clock that all processes on an event log share. Events are stamped by it, and decisions by the age of an event, such as edit
// windows, use it: a process whose own clock is wrong neither gains nor loses time. Now costs no round trip. Within a process the clock goes back
// only if the clock that it follows was set back by more than a minute.
type LogClock interface {
	Clock
}

// IDs makes ids that are unique everywhere and sort by the time they were made.
type IDs interface {
	NewID() string
}
