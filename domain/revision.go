package domain

import (
	"slices"
	"time"
)

// Revision is the new content of an edited message.
type Revision struct {
	Content     Content      // may be empty if the message has attachments then
	Mentions    []UserID     // nil leaves them as they are; an empty list removes them
	Attachments []Attachment // nil leaves them as they are; an empty list removes them

	RemoveBroadcast bool // whether the message no longer mentions a group of members. An edit cannot add such a mention
}

// Check returns an [*InvalidError] if the revision is not valid.
func (r Revision) Check() error {
	if r.Content == "" && r.Attachments != nil && len(r.Attachments) == 0 {
		return emptyMessage()
	}
	return firstOf(checkMentions(r.Mentions), checkAttachments(r.Attachments))
}

// Edit replaces the content and, if the revision has them, the mentions and the attachments. The author may, within window of the send (0: at any
// time). Of the mentions it keeps those of members. If nothing changes, there is no event.
func (m Message) Edit(by Member, to Revision, r Referred, window time.Duration, at time.Time) ([]Durable, error) {
	switch err := firstOf(m.permit(by), by.unmuted(m.Chat, at)); {
	case err != nil:
		return nil, err
	case m.Sender != by.User:
		return nil, refuse(ErrNotAuthor, "message %q was sent by %q, not by %q", m.ID, m.Sender, by.User)
	case m.Deleted():
		return nil, refuse(ErrMessageDeleted, "message %q was deleted by %q", m.ID, m.DeletedBy)
	case window > 0 && at.Sub(m.SentAt) > window:
		return nil, refuse(ErrEditWindow, "message %q can be edited for %s after it was sent", m.ID, window)
	}
	if err := to.Check(); err != nil {
		return nil, err
	}
	if to.Content == "" && to.Attachments == nil && len(m.Attachments) == 0 {
		return nil, emptyMessage()
	}
	edit := MessageEdit{
		Chat: m.Chat, Message: m.ID, Editor: by.User, Content: to.Content, Revision: m.Revision + 1, Sent: m.Seq, Thread: m.Thread, InChat: m.InChat, At: at,
	}
	if to.Mentions != nil {
		if kept := r.mentioned(to.Mentions); !slices.Equal(kept, m.Mentions) {
			edit.Mentions, edit.MentionsAdded, edit.Mentioned = append([]UserID{}, kept...), without(kept, m.Mentions), true
		}
	}
	if to.RemoveBroadcast && m.Broadcast != NoBroadcast {
		edit.BroadcastRemoved, edit.Mentioned = true, edit.Mentioned || m.Broadcast == BroadcastAll
	}
	if to.Attachments != nil && !slices.Equal(to.Attachments, m.Attachments) {
		edit.Attachments = append([]Attachment{}, to.Attachments...)
	}
	if edit.Content == m.Content && edit.Mentions == nil && edit.Attachments == nil && !edit.BroadcastRemoved {
		return nil, nil
	}
	return []Durable{edit}, nil
}

// without returns the users of a list that are not in another one.
func without(users, others []UserID) []UserID {
	var rest []UserID
	for _, user := range users {
		if !slices.Contains(others, user) {
			rest = append(rest, user)
		}
	}
	return rest
}
