package feed

import (
	"strings"

	"chatcore/domain"
	"chatcore/ports"
)

// newEvent returns an event of about size bytes; 0 is not known.
func newEvent(r ports.Record, size int) *Event {
	if size == 0 {
		size = sizeOf(r.Event)
	}
	return &Event{Chat: r.Event.ChatID(), Record: r, size: size}
}

// sizeOf returns about how many bytes an event has in the log.
func sizeOf(e domain.Durable) int {
	const common = 320 // ids, time, trace, names of fields
	switch e := e.(type) {
	case domain.MessageNew:
		return common + len(e.Content) + sizeOfParts(e.Mentions, e.Attachments) + len(e.ClientMeta)
	case domain.MessageEdit:
		return common + len(e.Content) + sizeOfParts(e.Mentions, e.Attachments)
	case domain.Custom:
		return common + len(e.Data)
	case domain.Unknown:
		return common + len(e.Data)
	}
	return common
}

func sizeOfParts(mentions []domain.UserID, attachments []domain.Attachment) int {
	size := 0
	for _, user := range mentions {
		size += len(user) + 3
	}
	for _, a := range attachments {
		size += len(a.URL) + len(a.Name) + 64
	}
	return size
}

// contentOf returns the message of which an event has content, or "".
func contentOf(e domain.Durable) domain.MessageID {
	switch e := e.(type) {
	case domain.MessageNew:
		return e.Message
	case domain.MessageEdit:
		return e.Message
	case domain.Unknown:
		return e.Message
	}
	return ""
}

// redact has users get the event without content from now on.
func (e *Event) redact() {
	if e.redacted.Load() != nil {
		return
	}
	r := e.Record
	switch event := r.Event.(type) {
	case domain.MessageNew:
		event.Content, event.Mentions, event.Attachments, event.ClientMeta, event.Broadcast = "", nil, nil, "", domain.NoBroadcast
		r.Event = event
	case domain.MessageEdit:
		event.Content, event.Mentions, event.MentionsAdded, event.Attachments = "", nil, nil, nil
		r.Event = event
	case domain.Unknown:
		event.Data = "{}"
		r.Event = event
	default:
		return
	}
	e.redacted.CompareAndSwap(nil, &Event{Chat: e.Chat, Record: r, Redacted: true, size: e.size})
}

// forUser returns the event as a user gets it.
func (e *Event) forUser() *Event {
	if r := e.redacted.Load(); r != nil {
		return r
	}
	return e
}

// removes reports whether the event ends a user's membership.
func (e *Event) removes(user domain.UserID) bool {
	u, ok := e.Record.Event.(domain.ChatUpdate)
	return ok && u.Change == domain.MemberRemoved && u.User == user
}

// unclear reports whether the event may have changed memberships in a way that only a newer program can read.
func (e *Event) unclear() bool {
	u, ok := e.Record.Event.(domain.Unknown)
	return ok && (strings.HasPrefix(u.Type, "chat:") || strings.HasPrefix(u.Type, "member:"))
}
