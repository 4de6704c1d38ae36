package redis

import (
	"time"

	"chatcore/domain"
)

// Names of keys, for tests that look at what is kept or change it.

func (k Keys) SessionKey(user domain.UserID, key string) string { return k.session(user, key) }

// Skew puts the process's clock on or back.
func (s *Sessions) Skew(by time.Duration) {
	s.now = func() time.Time { return time.Now().Add(by) }
}

func (k Keys) SessionsKey(user domain.UserID) string { return k.sessions(user) }
