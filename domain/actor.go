package domain

// Actor returns the user that caused an event.
func Actor(e Durable) UserID {
	switch e := e.(type) {
	case MessageNew:
		return e.Sender
	case MessageEdit:
		return e.Editor
	case MessageDelete:
		return e.By
	case MessageErased:
		return e.By
	case MessageReaction:
		return e.User
	case ReadReceipt:
		return e.User
	case ChatUpdate:
		return e.Actor
	case ChatDeleted:
		return e.By
	case ChatPolicy:
		return e.Actor
	case MemberRestriction:
		return e.Actor
	case ChatMetadata:
		return e.Actor
	case ChatSettings:
		return e.User
	case MessagePin:
		return e.Actor
	case ThreadMark:
		return e.User
	case Custom:
		return e.Actor
	}
	return ""
}

// Audience returns the one user of a chat who may learn of an event, or "" if all members may. Such an event is in the log and is delivered to subscribers; it is not announced on
// the channel of its type.
func Audience(e Durable) UserID {
	switch e := e.(type) {
	case MemberRestriction:
		if e.Kind == Block {
			return e.Actor // the blocked user must not see who blocks
		}
	case ChatSettings:
		return e.User
	case ThreadMark:
		return e.User
	}
	return ""
}

// InTimeline reports whether an event sent a message of the main timeline of its chat: such events have ordinals of their own, and are what unread
// messages are counted in.
func InTimeline(e Durable) bool {
	switch e := e.(type) {
	case MessageNew:
		return e.InTimeline()
	case Unknown:
		return e.Sent
	}
	return false
}

// Deletes returns the message that is deleted once the event has happened, or "": a [MessageErased] follows a [MessageDelete].
func Deletes(e Durable) MessageID {
	switch e := e.(type) {
	case MessageDelete:
		return e.Message
	case MessageErased:
		return e.Message
	}
	return ""
}

// Concerns reports whether a user did something, or it was done to the user's membership. It reports true for an event that the program cannot
// read.
func Concerns(e Durable, user UserID) bool {
	switch e := e.(type) {
	case ChatUpdate:
		return e.Actor == user || e.User == user
	case MemberRestriction:
		return e.Actor == user || e.User == user
	case Unknown:
		return true
	}
	return Actor(e) == user
}
