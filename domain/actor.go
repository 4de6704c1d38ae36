package domain

// Actor is who did what an event says.
func Actor(e Durable) UserID {
	switch e := e.(type) {
	case MessageNew:
		return e.Sender
	case MessageEdit:
		return e.Editor
	case MessageDelete:
		return e.By
	case MessageReaction:
		return e.User
	case ReadReceipt:
		return e.User
	case ChatUpdate:
		return e.Actor
	case Own:
		return e.Actor
	}
	return ""
}
