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
	SentAt      time.Time
	Revision    int       // how often it was edited
	EditedAt    time.Time // zero if never
	DeletedAt   time.Time // zero if not deleted
	DeletedBy   UserID
	Reason      Reason // of the deletion or, once erased, of the erasure
	Erased      bool   `json:",omitzero"` // whether the content of its events is gone from the log. As of a seq before the erasure it is not deleted yet
}

// Exists reports whether the message was sent; a deleted message exists as a tombstone.
func (m Message) Exists() bool { return m.Seq != 0 }

// Deleted reports whether only the tombstone is left.
func (m Message) Deleted() bool { return !m.DeletedAt.IsZero() }

// Apply folds an event that moved the message.
func (m *Message) Apply(seq Seq, e Durable) {
	switch e := e.(type) {
	case MessageNew:
		*m = Message{
			Chat: e.Chat, ID: e.Message, Seq: seq, Sender: e.Sender, Content: e.Content, ReplyTo: e.ReplyTo,
			Mentions: e.Mentions, Attachments: e.Attachments, ClientMeta: e.ClientMeta, SentAt: e.At, Erased: e.Erased,
		}
	case MessageEdit:
		if m.Deleted() {
			return
		}
		m.Content, m.Revision, m.EditedAt = e.Content, e.Revision, e.At
		m.Mentions = changed(m.Mentions, e.Mentions)
		m.Attachments = changed(m.Attachments, e.Attachments)
	case MessageDelete:
		m.Content, m.Mentions, m.Attachments, m.ClientMeta = "", nil, nil, ""
		m.DeletedAt, m.DeletedBy, m.Reason = e.At, e.By, e.Reason
	case MessageErased:
		m.erase(e)
	}
}

// erase leaves the tombstone as it is, but for its reason. There is none if this is the only event that was loaded.
func (m *Message) erase(e MessageErased) {
	m.Content, m.ReplyTo, m.Mentions, m.Attachments, m.ClientMeta = "", "", nil, nil, ""
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
	return []Durable{MessageDelete{Chat: m.Chat, Message: m.ID, By: by.User, Reason: reason, At: at}}, nil
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
	return []Durable{MessageDelete{Chat: m.Chat, Message: m.ID, By: by, Reason: reason, At: at}, erased}, nil
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
