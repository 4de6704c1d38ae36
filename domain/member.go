package domain

import "time"

// Member is one user's membership of a chat, past or present.
type Member struct {
	User     UserID
	Role     Role // NoRole: never a member, or no longer one
	Since    Seq  // where the present membership began; 0 if there is none
	JoinedAt time.Time
}

// Current reports whether the user is a member now.
func (m Member) Current() bool { return m.Role != NoRole }

// Apply folds an event that moved the membership.
func (m *Member) Apply(seq Seq, e Durable) {
	u, ok := e.(ChatUpdate)
	if !ok {
		return
	}
	switch u.Change {
	case Created:
		*m = Member{User: u.Actor, Role: RoleOwner, Since: seq, JoinedAt: u.At}
	case MemberAdded:
		*m = Member{User: u.User, Role: u.Role, Since: seq, JoinedAt: u.At}
	case MemberRemoved:
		*m = Member{User: u.User}
	case RoleChanged:
		m.Role = u.Role
	case Renamed, Archived, Unarchived:
	}
}
