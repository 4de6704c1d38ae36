package ports

import "math"

// HiddenAlways is the number of a chat that a user has hidden until the user shows it again.
const HiddenAlways = math.MaxUint64

// Stores are the ports beside the event log. A field is nil where a core has no such store.
type Stores struct {
	Typing    TypingMarks
	Presence  PresenceStore
	Sessions  SessionStore
	Limiter   Limiter
	Effects   Effects
	Caches    CacheStore
	UserChats UserView // the chats of each user
	Unread    UserView // the unread count of each user and chat
	Blocks    UserView // the direct chats in which each user blocks the other one

	Favourites UserView // the favourites of each user, with the number 1
	Hidden     UserView // the chats that each user has hidden, with the last seq of the chat at that time, or [HiddenAlways]
	Values     KeyValues
	Counters   Counters
	Sets       Sets
	FeedState  FeedState // tickets and cursors of feeds

	WebhookAttempts WebhookAttempts // the last requests to the endpoints of webhooks
}

// Or returns the stores, with those of others in the place of missing ones.
func (s Stores) Or(others Stores) Stores {
	return Stores{
		Typing: or(s.Typing, others.Typing), Presence: or(s.Presence, others.Presence), Sessions: or(s.Sessions, others.Sessions),
		Limiter: or(s.Limiter, others.Limiter), Effects: or(s.Effects, others.Effects), Caches: or(s.Caches, others.Caches),
		UserChats: or(s.UserChats, others.UserChats), Unread: or(s.Unread, others.Unread), Blocks: or(s.Blocks, others.Blocks),
		Favourites: or(s.Favourites, others.Favourites), Hidden: or(s.Hidden, others.Hidden),
		Values: or(s.Values, others.Values), Counters: or(s.Counters, others.Counters), Sets: or(s.Sets, others.Sets),
		FeedState: or(s.FeedState, others.FeedState), WebhookAttempts: or(s.WebhookAttempts, others.WebhookAttempts),
	}
}

// or returns a store, or another one if it is nil. T is an interface.
func or[T any](store, other T) T {
	if any(store) == nil {
		return other
	}
	return store
}
