package domain

import "time"

// Departure says how a user leaves a chat that would have no owner afterwards.
type Departure struct {
	Successor Member // becomes owner
	Alone     bool   // nobody else is a member: the chat is archived first, so that nobody becomes one, and left by a second decision
	Reopen    bool   // the chat was archived for this departure, and has a successor after all
}

// Depart ends a user's membership of any chat, also of a direct one and that of the last owner. Not a member: no event. It returns [ErrLastOwner] if the group would
// have no owner, and the departure says neither that a present member succeeds nor that nobody else is there.
func (c Chat) Depart(who Member, d Departure, at time.Time) ([]Durable, error) {
	if !who.Current() {
		return nil, nil
	}
	var events []Durable
	if err := c.keepsOwner(who); err != nil && c.Kind == Group && !c.Deleted() {
		switch {
		case d.Successor.Current() && d.Successor.User != who.User:
			if d.Reopen && c.Archived {
				events = c.update(ChatUpdate{Actor: who.User, Change: Unarchived, At: at})
			}
			events = append(events, c.changeRole(who, d.Successor, RoleOwner, at)...)
		case !d.Alone:
			return nil, err
		case !c.Archived:
			return c.update(ChatUpdate{Actor: who.User, Change: Archived, At: at}), nil
		}
	}
	return append(events, c.update(ChatUpdate{Actor: who.User, Change: MemberRemoved, User: who.User, Previous: who.Role, At: at})...), nil
}
