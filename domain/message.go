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
	Reason      Reason // of the deletion
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
			Mentions: e.Mentions, Attachments: e.Attachments, ClientMeta: e.ClientMeta, SentAt: e.At,
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
	}
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

// permit refuses when the actor is no member, or the message does not exist: in this order, so that outsiders learn nothing.
func (m Message) permit(by Member) error {
	if !by.Current() {
		return NotMember(m.Chat, by.User)
	}
	if !m.Exists() {
		return refuse(ErrMessageNotFound, "chat %q has no message %q", m.Chat, m.ID)
	}
	return nil
}
