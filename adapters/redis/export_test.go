package redis

import "chatcore/domain"

// Names of keys, for tests that look at what is kept or change it.

func (k Keys) SessionKey(user domain.UserID, key string) string { return k.session(user, key) }

func (k Keys) SessionsKey(user domain.UserID) string { return k.sessions(user) }
