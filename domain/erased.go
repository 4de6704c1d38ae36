package domain

// Erased returns the erased form of an event: of a [MessageNew], [MessageEdit] or [MessageDelete] the same event without its content and with Erased
// set, and any other event unchanged.
func Erased(e Durable) Durable {
	switch e := e.(type) {
	case MessageNew:
		return MessageNew{
			Chat: e.Chat, Message: e.Message, Sender: e.Sender, Thread: e.Thread, InChat: e.InChat, Mentioned: e.Mentioned, Erased: true, At: e.At,
		}
	case MessageEdit:
		return MessageEdit{
			Chat: e.Chat, Message: e.Message, Editor: e.Editor, Revision: e.Revision, Sent: e.Sent, Thread: e.Thread, InChat: e.InChat,
			Mentioned: e.Mentioned, Erased: true, At: e.At,
		}
	case MessageDelete:
		e.Reason, e.Erased = "", true
		return e
	}
	return e
}

// IsErased reports whether an event is in its erased form.
func IsErased(e Durable) bool {
	switch e := e.(type) {
	case MessageNew:
		return e.Erased
	case MessageEdit:
		return e.Erased
	case MessageDelete:
		return e.Erased
	}
	return false
}
