package session

import (
	"time"
)

// Skew shifts the process's clock.
func (s *Store) Skew(by time.Duration) {
	s.now = func() time.Time { return time.Now().Add(by) }
}

// The scripts of sessions.
var (
	OpenSource  = sessionOpenSource
	UseSource   = sessionUseSource
	ListSource  = sessionListSource
	CloseSource = sessionCloseSource
)
