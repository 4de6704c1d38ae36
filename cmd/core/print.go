package main

import (
	"encoding/json"
	"fmt"
	"time"

	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/cmd/core/terminal"
	"chatcore/domain"
	"chatcore/ports"
)

// print writes v as one line of JSON, or as text whose lines cannot move the cursor or reorder the output.
func (c *cli) print(v any, text string) error {
	if !c.json {
		_, err := fmt.Fprintln(c.out, terminal.EscapeLines(text))
		return err
	}
	encoder := json.NewEncoder(c.out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// count is a number of things.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// table shows rows in columns to people, one line each.
func (c *cli) table(rows [][]string) error {
	return terminal.Table(c.out, rows)
}

type messageView struct {
	ChatID    string              `json:"chatId"`
	MessageID string              `json:"messageId"`
	Seq       domain.Seq          `json:"seq"`
	SenderID  string              `json:"senderId"`
	Content   string              `json:"content"`
	ReplyTo   string              `json:"replyTo,omitempty"`
	ReplyGone bool                `json:"replyDeleted,omitempty"` // the message that replyTo names was deleted
	SentAt    time.Time           `json:"sentAt"`
	Revision  int                 `json:"revision,omitempty"`
	EditedAt  *time.Time          `json:"editedAt,omitempty"`
	Deleted   bool                `json:"deleted,omitempty"`
	Erased    bool                `json:"erased,omitempty"`
	DeletedBy string              `json:"deletedBy,omitempty"`
	Reason    string              `json:"reason,omitempty"`
	Reactions map[string][]string `json:"reactions,omitempty"`
	Mentions  []domain.UserID     `json:"mentions,omitempty"`
	ThreadID  string              `json:"threadId,omitempty"`
	InChat    bool                `json:"inChat,omitempty"`
	Broadcast string              `json:"broadcast,omitempty"`
	Replies   int                 `json:"replies,omitempty"` // in the thread of the message

	Unreadable string `json:"unreadable,omitempty"` // why a newer program is needed to read it
}

func viewOf(chat domain.ChatID, m app.MessageView) messageView {
	v := messageView{
		ChatID: string(chat), MessageID: string(m.ID), Seq: m.Seq, SenderID: string(m.Sender), Content: string(m.Content), ReplyTo: string(m.ReplyTo), ReplyGone: m.ReplyDeleted,
		SentAt: m.SentAt, Revision: m.Revision, Deleted: m.Deleted(), Erased: m.Erased, DeletedBy: string(m.DeletedBy), Reason: string(m.Reason),
		Mentions: m.Mentions, ThreadID: string(m.Thread), InChat: m.InChat, Replies: m.Summary.Replies,
	}
	if m.Broadcast != domain.NoBroadcast {
		v.Broadcast = m.Broadcast.String()
	}
	if !m.EditedAt.IsZero() {
		v.EditedAt = &m.EditedAt
	}
	if m.Unreadable != nil {
		v.Unreadable = m.Unreadable.Error()
	}
	for _, group := range m.Reactions {
		if v.Reactions == nil {
			v.Reactions = make(map[string][]string)
		}
		for _, user := range group.Users {
			v.Reactions[string(group.Emoji)] = append(v.Reactions[string(group.Emoji)], string(user))
		}
	}
	return v
}

// rawOf is an event as the log has it.
func rawOf(id domain.EventID, seq domain.Seq, ordinal domain.Ordinal, e domain.Event, m ports.Meta) (json.RawMessage, error) {
	if unknown, ok := e.(domain.Unknown); ok {
		return json.RawMessage(unknown.Data), nil
	}
	codec := wireformat.New()
	if durable, ok := e.(domain.Durable); ok {
		encoded, err := codec.Encode(id, durable, m)
		return encoded.Splice(seq, ordinal), err
	}
	ephemeral, _ := e.(domain.Ephemeral)
	return codec.EncodeLive(id, ephemeral, m)
}

// sentence describes an event for people.
func sentence(e domain.Event) string {
	switch e := e.(type) {
	case domain.MessageNew:
		if e.Thread != "" {
			return fmt.Sprintf("%s in the thread of %s: %s", e.Sender, e.Thread, e.Content)
		}
		return fmt.Sprintf("%s: %s", e.Sender, e.Content)
	case domain.MessageEdit:
		return fmt.Sprintf("%s edits %s: %s", e.Editor, e.Message, e.Content)
	case domain.MessageDelete:
		return fmt.Sprintf("%s deletes %s", e.By, e.Message)
	case domain.ChatDeleted:
		if e.ContentErased {
			return fmt.Sprintf("%s erases the content of the chat", e.By)
		}
		return fmt.Sprintf("%s deletes the chat", e.By)
	case domain.MessageErased:
		return fmt.Sprintf("%s erases %s", e.By, e.Message)
	case domain.MessageReaction:
		if e.Action == domain.ReactionRemove {
			return fmt.Sprintf("%s takes %s back from %s", e.User, e.Emoji, e.Message)
		}
		return fmt.Sprintf("%s reacts to %s with %s", e.User, e.Message, e.Emoji)
	case domain.ReadReceipt:
		return fmt.Sprintf("%s has read up to seq %d", e.User, e.ReadSeq)
	case domain.ChatUpdate:
		return updated(e)
	case domain.ChatPolicy:
		return policyText(e)
	case domain.MemberRestriction:
		return restrictionText(e)
	case domain.ThreadMark:
		return threadMarkText(e)
	case domain.MessagePin:
		if !e.Pinned {
			return fmt.Sprintf("%s unpins %s", e.Actor, e.Message)
		}
		return fmt.Sprintf("%s pins %s", e.Actor, e.Message)
	case domain.ChatSettings:
		return fmt.Sprintf("%s changes own settings", e.User)
	case domain.Unknown:
		return fmt.Sprintf("v%d, which this program cannot read; a newer one can", e.Version)
	case domain.Custom:
		if e.Entity != "" {
			return fmt.Sprintf("%s records %s of %s", e.Actor, e.Type, e.Entity)
		}
		return fmt.Sprintf("%s records %s", e.Actor, e.Type)
	case domain.TypingStart:
		return fmt.Sprintf("%s is typing", e.User)
	case domain.TypingStop:
		return fmt.Sprintf("%s stopped typing", e.User)
	case domain.UserStatus:
		return fmt.Sprintf("%s is %s", e.User, wireformat.StatusName(e.Status))
	}
	return ""
}

func threadMarkText(e domain.ThreadMark) string {
	var text string
	if e.ReadSeq > 0 {
		text = fmt.Sprintf("%s has read the thread of %s up to seq %d", e.User, e.Thread, e.ReadSeq)
	}
	if e.Following != domain.FollowingUnchanged {
		if text != "" {
			text += "; "
		}
		text += fmt.Sprintf("%s sets following of the thread of %s to %s", e.User, e.Thread, e.Following)
	}
	return text
}

func updated(e domain.ChatUpdate) string {
	switch e.Change {
	case domain.Created:
		if e.Kind == domain.Direct {
			return fmt.Sprintf("%s opens the direct chat", e.Actor)
		}
		return fmt.Sprintf("%s creates the chat %q", e.Actor, e.Title)
	case domain.Renamed:
		return fmt.Sprintf("%s renames the chat to %q", e.Actor, e.Title)
	case domain.MemberAdded:
		return fmt.Sprintf("%s adds %s", e.Actor, e.User)
	case domain.MemberRemoved:
		if e.Actor == e.User {
			return fmt.Sprintf("%s leaves", e.User)
		}
		return fmt.Sprintf("%s removes %s", e.Actor, e.User)
	case domain.RoleChanged:
		return fmt.Sprintf("%s makes %s %s", e.Actor, e.User, e.Role)
	case domain.Archived:
		return fmt.Sprintf("%s archives the chat", e.Actor)
	case domain.Unarchived:
		return fmt.Sprintf("%s opens the chat again", e.Actor)
	}
	return ""
}
