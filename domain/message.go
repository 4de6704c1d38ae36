package domain

import (
	"fmt"
	"slices"
	"time"
)

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
	case MessageDelete:
		m.Content, m.Mentions, m.Attachments, m.ClientMeta = "", nil, nil, ""
		m.DeletedAt, m.DeletedBy, m.Reason = e.At, e.By, e.Reason
	}
}

// Draft is a message about to be sent.
type Draft struct {
	ID          MessageID
	Content     Content // may be empty if there are attachments
	ReplyTo     MessageID
	Mentions    []UserID
	Attachments []Attachment
	ClientMeta  ClientMeta
}

// Draft is what was sent as the message, if it was not edited or deleted since.
func (m Message) Draft() Draft {
	return Draft{
		ID: m.ID, Content: m.Content, ReplyTo: m.ReplyTo, Mentions: m.Mentions, Attachments: m.Attachments, ClientMeta: m.ClientMeta,
	}
}

// Equal reports whether two drafts are the same message.
func (d Draft) Equal(other Draft) bool {
	return d.ID == other.ID && d.Content == other.Content && d.ReplyTo == other.ReplyTo && d.ClientMeta == other.ClientMeta &&
		slices.Equal(d.Mentions, other.Mentions) && slices.Equal(d.Attachments, other.Attachments)
}

// Check says what is wrong with the draft, or nil.
func (d Draft) Check() error {
	if d.Content == "" && len(d.Attachments) == 0 {
		return &InvalidError{Field: "content", Problem: "is empty and there are no attachments", Allowed: "content, attachments or both"}
	}
	if n := len(d.Attachments); n > MaxAttachments {
		return &InvalidError{Field: "attachments", Problem: fmt.Sprintf("has %d references", n), Allowed: fmt.Sprintf("at most %d", MaxAttachments)}
	}
	if n := len(d.Mentions); n > MaxMentions {
		return &InvalidError{Field: "mentions", Problem: fmt.Sprintf("has %d users", n), Allowed: fmt.Sprintf("at most %d", MaxMentions)}
	}
	for _, a := range d.Attachments {
		if err := a.Check(); err != nil {
			return err
		}
	}
	return nil
}

// Post sends a message. existing is what the chat has under the draft's id: the same sender's message makes the send a repetition,
// without an event.
func (c Chat) Post(by Member, existing Message, d Draft, at time.Time) ([]Durable, error) {
	if existing.Exists() {
		if existing.Sender == by.User {
			return nil, nil
		}
		return nil, refuse(ErrMessageExists, "message %q of chat %q was sent by someone else", d.ID, c.ID)
	}
	if err := c.permit(by, RoleMember, "post in"); err != nil {
		return nil, err
	}
	if c.Archived {
		return nil, refuse(ErrArchived, "chat %q takes no messages until it is unarchived", c.ID)
	}
	if err := d.Check(); err != nil {
		return nil, err
	}
	return []Durable{MessageNew{
		Chat: c.ID, Message: d.ID, Sender: by.User, Content: d.Content, ReplyTo: d.ReplyTo,
		Mentions: slices.Clone(d.Mentions), Attachments: slices.Clone(d.Attachments), ClientMeta: d.ClientMeta, At: at,
	}}, nil
}

// Edit replaces the content; its author may, within window of the send (0: at any time). The same content: no event.
func (m Message) Edit(by Member, content Content, window time.Duration, at time.Time) ([]Durable, error) {
	switch err := m.permit(by); {
	case err != nil:
		return nil, err
	case m.Sender != by.User:
		return nil, refuse(ErrNotAuthor, "message %q was sent by %q, not by %q", m.ID, m.Sender, by.User)
	case m.Deleted():
		return nil, refuse(ErrMessageDeleted, "message %q was deleted by %q", m.ID, m.DeletedBy)
	case window > 0 && at.Sub(m.SentAt) > window:
		return nil, refuse(ErrEditWindow, "message %q can be edited for %s after it was sent", m.ID, window)
	case content == m.Content:
		return nil, nil
	}
	return []Durable{MessageEdit{
		Chat: m.Chat, Message: m.ID, Editor: by.User, Content: content, Revision: m.Revision + 1, At: at,
	}}, nil
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
		return refuse(ErrNotMember, "user %q is not a member of chat %q", by.User, m.Chat)
	}
	if !m.Exists() {
		return refuse(ErrMessageNotFound, "chat %q has no message %q", m.Chat, m.ID)
	}
	return nil
}
