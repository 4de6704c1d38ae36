package redis

import (
	"context"
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

// Commands returns the commands of the rights, as ACL rules spell them.
func (r Rights) Commands() []string {
	var names []string
	for _, c := range r.commands {
		names = append(names, c.command)
	}
	return names
}

// RaiseWitnesses does at once what a timer does a second after something was learned.
func (l *Log) RaiseWitnesses(ctx context.Context) { l.witnesses.raiseAll(ctx) }
