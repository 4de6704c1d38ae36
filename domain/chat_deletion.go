package domain

import "time"

// Delete closes a group for good; an owner may. A direct chat, which its participants cannot delete, begins again when one of them opens it. Deleted already, by the same user: no event.
func (c Chat) Delete(by Member, reason Reason, at time.Time) ([]Durable, error) {
	if c.Deleted() && c.DeletedBy == by.User {
		return nil, nil
	}
	if err := firstOf(c.permit(by, RoleOwner, "delete"), c.notDirect("a deletion by a participant")); err != nil {
		return nil, err
	}
	return c.DeleteTrusted(by.User, reason, at)
}

// DeleteTrusted is Delete by the service itself, which is no member. Deleted already, by any user: no event.
func (c Chat) DeleteTrusted(by UserID, reason Reason, at time.Time) ([]Durable, error) {
	switch {
	case !c.Exists():
		return nil, refuse(ErrChatNotFound, "chat %q was never created", c.ID)
	case c.Deleted():
		return nil, nil
	}
	return []Durable{ChatDeleted{Chat: c.ID, By: by, Reason: reason, At: at}}, nil
}

// Empty says that the content of a deleted chat is erased, by its deletion or by another one, which erased further events. Said already, and none erased since: no event.
// Of a direct chat that has begun again: none either.
func (c Chat) Empty(by UserID, reason Reason, further bool, at time.Time) []Durable {
	if !c.Deleted() || c.Emptied && !further {
		return nil
	}
	return []Durable{ChatDeleted{Chat: c.ID, By: by, Reason: reason, ContentErased: true, At: at}}
}

// Evict ends the memberships of a deleted chat, also that of its last owner. Of users that are no members: no event.
func (c Chat) Evict(by UserID, members []Member, at time.Time) ([]Durable, error) {
	if !c.Deleted() {
		return nil, refuse(ErrForbidden, "chat %q is not deleted, so its members leave or are removed", c.ID)
	}
	var events []Durable
	for _, m := range members {
		if m.Current() {
			events = append(events, ChatUpdate{Chat: c.ID, Actor: by, Change: MemberRemoved, User: m.User, Previous: m.Role, At: at})
		}
	}
	return events, nil
}
