package app

import "chatcore/domain"

// UserView is the commands and queries of one user: its commands act only as that user, and its queries return only what that user may read (see
// [Access]). It is a small value that holds no state; making one costs nothing. The caller must have authenticated the user. Malformed user ids are
// refused by each call.
type UserView struct {
	Chats    UserCommands
	Queries  UserQueries
	Presence UserPresence
	Sessions UserSessions
}

// NewUserView returns the view of a user.
func NewUserView(user domain.UserID, chats *Chats, access *Access, presence *Presence, sessions *Sessions) UserView {
	return UserView{
		Chats:    chats.As(user),
		Queries:  UserQueries{access: access, user: user},
		Presence: UserPresence{presence: presence, models: access.queries.models, user: user},
		Sessions: UserSessions{sessions: sessions, user: user},
	}
}
