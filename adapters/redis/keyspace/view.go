package keyspace

import "chatcore/domain"

// Views has the keys of read models by user.
type Views struct{ base }

// Unread returns the key of a user's unread counts.
func (k Views) Unread(user domain.UserID) string {
	return k.prefix + k.names.ChatUnread + Escape(string(user))
}

// UserChats returns the key of the chats of a user.
func (k Views) UserChats(user domain.UserID) string {
	return k.prefix + "cc:user-chats:" + Escape(string(user))
}

// UserBlocks returns the key of the direct chats in which a user blocks the other one.
func (k Views) UserBlocks(user domain.UserID) string {
	return k.prefix + "cc:user-blocks:" + Escape(string(user))
}

// UserFavourites returns the key of the chats that are favourites of a user.
func (k Views) UserFavourites(user domain.UserID) string {
	return k.prefix + "cc:user-favourites:" + Escape(string(user))
}

// UserHidden returns the key of the chats that a user has hidden.
func (k Views) UserHidden(user domain.UserID) string {
	return k.prefix + "cc:user-hidden:" + Escape(string(user))
}

// Memberships returns the plain pub/sub channel of the users whose chats change. A message is the id of the user.
func (k Views) Memberships() string { return k.prefix + OwnPrefix + "memberships" }

// Versions returns the key of the versions of a user's numbers.
func (k Views) Versions(numbers string) string { return k.prefix + "cc:{" + numbers + "}:v" }
