package domain

import "time"

// Message is a message in its present state. Its revisions stay in the log.
type Message struct {
	Chat        ChatID
	ID          MessageID
	Seq         Seq // of the send
	Sender      UserID
	Content     Content // "" once deleted
	ReplyTo     MessageID
	Mentions    []UserID
	Attachments []Attachment
	ClientMeta  ClientMeta
	Thread      MessageID `json:",omitzero"` // the root of the thread that it answers in
	InChat      bool      `json:",omitzero"` // whether a reply in a thread is in the main timeline too
	Broadcast   Broadcast `json:",omitzero"` // "" once deleted
	SentAt      time.Time
	Revision    int       // how often it was edited
	EditedAt    time.Time // zero if never
	DeletedAt   time.Time // zero if not deleted
	DeletedBy   UserID
	Reason      Reason // of the deletion or, once erased, of the erasure
	Erased      bool   `json:",omitzero"` // whether the content of its events is gone from the log. As of a seq before the erasure it is not deleted yet

	PinnedAt time.Time `json:",omitzero"` // zero if not pinned
	PinnedBy UserID    `json:",omitzero"`
}

// Exists reports whether the message was sent; a deleted message exists as a tombstone.
func (m Message) Exists() bool { return m.Seq != 0 }

// Deleted reports whether only the tombstone is left.
func (m Message) Deleted() bool { return !m.DeletedAt.IsZero() }

// Pinned reports whether the message is pinned to its chat.
func (m Message) Pinned() bool { return !m.PinnedAt.IsZero() }

// InTimeline reports whether the message is in the main timeline of its chat, and not in a thread alone.
func (m Message) InTimeline() bool { return m.Thread == "" || m.InChat }

// mentions reports whether the message mentions someone whom the mentions of the chat keep.
func (m Message) mentions() bool { return len(m.Mentions) > 0 || m.Broadcast == BroadcastAll }

// Apply folds an event that moved the message.
func (m *Message) Apply(seq Seq, e Durable) {
	switch e := e.(type) {
	case MessageNew:
		*m = Message{
			Chat: e.Chat, ID: e.Message, Seq: seq, Sender: e.Sender, Content: e.Content, ReplyTo: e.ReplyTo,
			Mentions: e.Mentions, Attachments: e.Attachments, ClientMeta: e.ClientMeta, Thread: e.Thread, InChat: e.InChat, Broadcast: e.Broadcast,
			SentAt: e.At, Erased: e.Erased,
		}
	case MessageEdit:
		if m.Deleted() {
			return
		}
		m.Content, m.Revision, m.EditedAt = e.Content, e.Revision, e.At
		m.Mentions = changed(m.Mentions, e.Mentions)
		m.Attachments = changed(m.Attachments, e.Attachments)
		if e.BroadcastRemoved {
			m.Broadcast = NoBroadcast
		}
	case MessagePin:
		m.applyPin(e)
	case MessageDelete:
		m.Content, m.Mentions, m.Attachments, m.ClientMeta, m.Broadcast = "", nil, nil, "", NoBroadcast
		m.PinnedAt, m.PinnedBy = time.Time{}, ""
		m.DeletedAt, m.DeletedBy, m.Reason = e.At, e.By, e.Reason
	case MessageErased:
		m.erase(e)
	}
}

func (m *Message) applyPin(e MessagePin) {
	switch {
	case m.Deleted():
	case e.Pinned:
		m.PinnedAt, m.PinnedBy = e.At, e.Actor
	default:
		m.PinnedAt, m.PinnedBy = time.Time{}, ""
	}
}

// erase leaves the tombstone as it is, but for its reason. There is none if this is the only event that was loaded.
func (m *Message) erase(e MessageErased) {
	m.Content, m.ReplyTo, m.Mentions, m.Attachments, m.ClientMeta, m.Broadcast = "", "", nil, nil, "", NoBroadcast
	m.PinnedAt, m.PinnedBy = time.Time{}, ""
	if !m.Deleted() {
		m.DeletedAt, m.DeletedBy = e.At, e.By
	}
	m.Reason, m.Erased = e.Reason, true
}

// changed returns the list that an edit leaves: the old one if the edit has none, and nil for an empty one.
func changed[T any](old, edited []T) []T {
	switch {
	case edited == nil:
		return old
	case len(edited) == 0:
		return nil
	}
	return edited
}

// Delete leaves a tombstone; the author, an admin or an owner may. Deleted already: no event.
func (m Message) Delete(by Member, reason Reason, at time.Time) ([]Durable, error) {
	switch err := m.permit(by); {
	case err != nil:
		return nil, err
	case m.Sender != by.User && by.Role < RoleAdmin:
		return nil, refuse(ErrForbidden, "to delete the message of someone else takes admin, user %q is %s", by.User, by.Role)
	case m.Deleted():
		return nil, nil
	}
	return []Durable{m.deleted(by.User, reason, at)}, nil
}

// deleted returns the deletion of the message, with the facts that decide what it moves.
func (m Message) deleted(by UserID, reason Reason, at time.Time) MessageDelete {
	return MessageDelete{
		Chat: m.Chat, Message: m.ID, By: by, Reason: reason, Sent: m.Seq, Thread: m.Thread, InChat: m.InChat, Pinned: m.Pinned(), Mentioned: m.mentions(), At: at,
	}
}

// Erase removes the content of the message and of its revisions; the author, while a member, or an owner may. A message that is not deleted yet is deleted first. Erased
// already: no event.
func (m Message) Erase(by Member, reason Reason, at time.Time) ([]Durable, error) {
	switch err := m.permit(by); {
	case err != nil:
		return nil, err
	case m.Sender != by.User && by.Role < RoleOwner:
		return nil, refuse(ErrForbidden, "to erase the message of someone else takes owner, user %q is %s", by.User, by.Role)
	}
	return m.EraseTrusted(by.User, reason, at)
}

// EraseTrusted is Erase by the service itself, which is no member: by names the user or the service that asked for it.
func (m Message) EraseTrusted(by UserID, reason Reason, at time.Time) ([]Durable, error) {
	if !m.Exists() {
		return nil, m.notFound()
	}
	if m.Erased && m.Deleted() {
		return nil, nil
	}
	erased := MessageErased{Chat: m.Chat, Message: m.ID, Sent: m.Seq, By: by, Reason: reason, At: at}
	if m.Deleted() {
		return []Durable{erased}, nil
	}
	return []Durable{m.deleted(by, reason, at), erased}, nil
}

func (m Message) notFound() error {
	return refuse(ErrMessageNotFound, "chat %q has no message %q", m.Chat, m.ID)
}

// permit refuses when the actor is no member, or the message does not exist: in this order, so that outsiders learn nothing.
func (m Message) permit(by Member) error {
	if !by.Current() {
		return NotMember(m.Chat, by.User)
	}
	if !m.Exists() {
		return m.notFound()
	}
	return nil
}
