package domain

// Erased returns the erased form of an event: of a [MessageNew], [MessageEdit] or [MessageDelete], and of a [ChatUpdate], [ChatMetadata], [MemberRestriction] or
// [Custom] that has content, the same event without its content and with Erased set. Any other event is returned unchanged.
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
	case ChatUpdate:
		e.Title, e.Erased = "", e.Erased || e.Title != ""
		return e
	case ChatMetadata:
		return ChatMetadata{Chat: e.Chat, Actor: e.Actor, Erased: e.Erased || len(e.Set)+len(e.Unset) > 0, At: e.At}
	case MemberRestriction:
		e.Reason, e.Erased = "", e.Erased || e.Reason != ""
		return e
	case Custom:
		e.Data, e.Erased = noData, e.Erased || e.Data != noData
		return e
	}
	return e
}

// noData are the data of an erased [Custom].
const noData = "{}"

// IsErased reports whether an event is in its erased form.
func IsErased(e Durable) bool {
	switch e := e.(type) {
	case MessageNew:
		return e.Erased
	case MessageEdit:
		return e.Erased
	case MessageDelete:
		return e.Erased
	case ChatUpdate:
		return e.Erased
	case ChatMetadata:
		return e.Erased
	case MemberRestriction:
		return e.Erased
	case Custom:
		return e.Erased
	}
	return false
}

// ErasedWithChat returns the erased form of an event that no [MessageErased] erases, such as one that renamed the chat. ok is false if the event has no content, or is
// erased by the erasure of its message.
func ErasedWithChat(e Durable) (erased Durable, ok bool) {
	erased = Erased(e)
	return erased, IsErasedWithChat(erased) && !IsErased(e)
}

// IsErasedWithChat reports whether an event is in the erased form of [ErasedWithChat].
func IsErasedWithChat(e Durable) bool {
	switch e.(type) {
	case ChatUpdate, ChatMetadata, MemberRestriction, Custom:
		return IsErased(e)
	}
	return false
}
