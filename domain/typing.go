package domain

import "time"

// The least interval between two typing starts of a user, and the lifetime of one.
const (
	TypingInterval = 2 * time.Second
	TypingTTL      = 5 * time.Second
)

// TypingMark is whether one user types in one chat. The zero value means not typing.
type TypingMark struct {
	PublishedAt time.Time // when the last start was published
	ExpiresAt   time.Time // when it ends by itself; zero if the user does not type
}

// Active reports whether the user types at the given time.
func (t TypingMark) Active(at time.Time) bool { return at.Before(t.ExpiresAt) }

// Apply folds an event about the user's typing; a message the user sent ends it.
func (t *TypingMark) Apply(e Event) {
	switch e := e.(type) {
	case TypingStart:
		*t = TypingMark{PublishedAt: e.At, ExpiresAt: e.ExpiresAt}
	case TypingStop, MessageNew:
		*t = TypingMark{}
	}
}

// Start publishes that a member types. It returns no event within [TypingInterval] of the start before.
func (t TypingMark) Start(c Chat, by Member, at time.Time) ([]Ephemeral, error) {
	if err := firstOf(c.permit(by, NoRole, "type in"), by.unmuted(c.ID, at), c.reachable(by)); err != nil {
		return nil, err
	}
	if c.Archived {
		return nil, refuse(ErrArchived, "chat %q takes no messages until it is unarchived", c.ID)
	}
	if t.Active(at) && at.Sub(t.PublishedAt) < TypingInterval {
		return nil, nil
	}
	return []Ephemeral{TypingStart{Chat: c.ID, User: by.User, ExpiresAt: at.Add(TypingTTL), At: at}}, nil
}

// Stop publishes that a member no longer types. It always returns an event.
func (t TypingMark) Stop(c Chat, by Member, at time.Time) ([]Ephemeral, error) {
	if err := c.permit(by, RoleMember, "type in"); err != nil {
		return nil, err
	}
	return []Ephemeral{TypingStop{Chat: c.ID, User: by.User, At: at}}, nil
}
