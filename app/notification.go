package app

import (
	"slices"
	"time"

	"chatcore/domain"
)

// Notification is the question whether a user is notified of an event.
type Notification struct {
	Kind     domain.ChatKind
	Settings domain.Settings // the user's
	Event    domain.Durable
	User     domain.UserID
	At       time.Time
	Online   bool // whether the user is online: for messages that mention [domain.BroadcastHere]
	Follows  bool // whether the user follows the thread of the message
	// Default is the level of groups for users that have not chosen. Defaults to [domain.NotifyMentions]. That of direct chats is [domain.NotifyAll].
	Default domain.NotifyLevel
}

// ShouldNotify reports whether the user is notified. It decides from its arguments alone. The first rule that applies counts: nobody is notified of own events, in a chat that
// is muted, or at level none; users are notified of messages that mention them, all members, or, if they are online, those who are here; at level mentions also of replies in
// threads that they follow; and at level all of each message of the main timeline too. An edit notifies the users that it mentions and that the message did not mention before.
func ShouldNotify(n Notification) bool {
	level := n.level()
	if domain.Actor(n.Event) == n.User || n.Settings.Muted(n.At) || level == domain.NotifyNone {
		return false
	}
	switch e := n.Event.(type) {
	case domain.MessageEdit:
		return slices.Contains(e.MentionsAdded, n.User)
	case domain.MessageNew:
		switch {
		case slices.Contains(e.Mentions, n.User), e.Broadcast == domain.BroadcastAll, e.Broadcast == domain.BroadcastHere && n.Online:
			return true
		case e.Thread != "" && n.Follows:
			return true
		}
		return level == domain.NotifyAll && e.InTimeline()
	}
	return false
}

// level returns the level that applies.
func (n Notification) level() domain.NotifyLevel {
	switch {
	case n.Settings.Notify != domain.NotifyDefault:
		return n.Settings.Notify
	case n.Kind == domain.Direct:
		return domain.NotifyAll
	case n.Default == domain.NotifyDefault:
		return domain.NotifyMentions
	}
	return n.Default
}
