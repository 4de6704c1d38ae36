package domain

import "time"

// Member is one user's membership of a chat, past or present.
type Member struct {
	User     UserID
	Role     Role // NoRole: never a member, or no longer one
	Since    Seq  // where the present membership began; 0 if there is none
	JoinedAt time.Time

	Banned  Restriction `json:",omitzero"` // it stays after the user has left, as Muted does
	Muted   Restriction `json:",omitzero"`
	Blocked bool        `json:",omitzero"` // by the other participant of a direct chat
}

// Current reports whether the user is a member now.
func (m Member) Current() bool { return m.Role != NoRole }

// Apply folds an event that moved the membership.
func (m *Member) Apply(seq Seq, e Durable) {
	switch e := e.(type) {
	case ChatUpdate:
		m.applyUpdate(seq, e)
	case MemberRestriction:
		m.applyRestriction(seq, e)
	}
}

func (m *Member) applyUpdate(seq Seq, u ChatUpdate) {
	switch u.Change {
	case Created:
		*m = Member{User: u.Actor, Role: RoleOwner, Since: seq, JoinedAt: u.At}
	case MemberAdded:
		m.User, m.Role, m.Since, m.JoinedAt = u.User, u.Role, seq, u.At
	case MemberRemoved:
		m.User, m.Role, m.Since, m.JoinedAt = u.User, NoRole, 0, time.Time{}
	case RoleChanged:
		m.Role = u.Role
	case Renamed, Archived, Unarchived:
	}
}
