package domain

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Draft is a message about to be sent.
type Draft struct {
	ID          MessageID
	Content     Content // may be empty if there are attachments
	ReplyTo     MessageID
	Mentions    []UserID
	Attachments []Attachment
	ClientMeta  ClientMeta
	Thread      MessageID // the root of the thread that it answers in; "" for none
	InChat      bool      // whether a reply in a thread is in the main timeline too
	Broadcast   Broadcast
}

// Draft returns the message as it was sent, if it was not edited or deleted since.
func (m Message) Draft() Draft {
	return Draft{
		ID: m.ID, Content: m.Content, ReplyTo: m.ReplyTo, Mentions: m.Mentions, Attachments: m.Attachments, ClientMeta: m.ClientMeta,
		Thread: m.Thread, InChat: m.InChat, Broadcast: m.Broadcast,
	}
}

// Equal reports whether two drafts are the same message, in whichever form older programs recorded one: with mentions twice, or client
// metadata with white space.
func (d Draft) Equal(other Draft) bool {
	return d.ID == other.ID && d.Content == other.Content && d.ReplyTo == other.ReplyTo && d.ClientMeta.compact() == other.ClientMeta.compact() &&
		slices.Equal(EachOnce(d.Mentions), EachOnce(other.Mentions)) && slices.Equal(d.Attachments, other.Attachments) &&
		d.Thread == other.Thread && d.InChat == other.InChat && d.Broadcast == other.Broadcast
}

// Check returns an [*InvalidError] if the draft is not valid.
func (d Draft) Check() error {
	if d.Content == "" && len(d.Attachments) == 0 {
		return emptyMessage()
	}
	if d.ReplyTo != "" && d.ReplyTo == d.ID {
		return &InvalidError{Field: "replyTo", Problem: "names the message itself", Allowed: "an earlier message of the chat"}
	}
	return firstOf(d.checkThread(), checkMentions(d.Mentions), checkAttachments(d.Attachments))
}

func (d Draft) checkThread() error {
	switch {
	case d.Thread != "" && d.Thread == d.ID:
		return &InvalidError{Field: "threadId", Problem: "names the message itself", Allowed: "an earlier message of the chat"}
	case d.InChat && d.Thread == "":
		return &InvalidError{Field: "inChat", Problem: "is set and there is no threadId", Allowed: "a reply in a thread"}
	case d.Broadcast > BroadcastHere:
		return &InvalidError{Field: "broadcast", Problem: "is " + d.Broadcast.String(), Allowed: "none, all, here"}
	}
	return nil
}

func emptyMessage() error {
	return &InvalidError{Field: "content", Problem: "is empty and there are no attachments", Allowed: "content, attachments or both"}
}

func checkMentions(users []UserID) error {
	if n := len(users); n > MaxMentions {
		return &InvalidError{Field: "mentions", Problem: fmt.Sprintf("has %d users", n), Allowed: fmt.Sprintf("at most %d", MaxMentions)}
	}
	return nil
}

func checkAttachments(all []Attachment) error {
	if n := len(all); n > MaxAttachments {
		return &InvalidError{Field: "attachments", Problem: fmt.Sprintf("has %d references", n), Allowed: fmt.Sprintf("at most %d", MaxAttachments)}
	}
	for i, a := range all {
		err := a.Check()
		switch { // an older program recorded such names and sizes, so Check allows them
		case err != nil:
		case showsNothing(a.Name):
			err = &InvalidError{Field: "attachments.name", Problem: "is blank", Allowed: "a name that shows something"}
		case a.Size > MaxAttachmentSize:
			err = &InvalidError{Field: "attachments.size", Problem: fmt.Sprintf("is %d", a.Size), Allowed: fmt.Sprintf("a number of bytes from 0 to %d", int64(MaxAttachmentSize))}
		}
		if err != nil {
			return atPlace(i, err)
		}
	}
	return nil
}

// atPlace returns the error of one attachment with its place in the list: attachments[1].url.
func atPlace(place int, err error) error {
	var invalid *InvalidError
	if !errors.As(err, &invalid) {
		return err
	}
	_, part, _ := strings.Cut(invalid.Field, ".")
	return &InvalidError{Field: fmt.Sprintf("attachments[%d].%s", place, part), Problem: invalid.Problem, Allowed: invalid.Allowed}
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// EachOnce returns a new list of the users without repetitions, in their order. It returns nil for nil only.
func EachOnce(users []UserID) []UserID {
	if len(users) < 2 {
		return slices.Clone(users)
	}
	once := make([]UserID, 0, len(users))
	const few = 32 // are compared faster than a map is made
	if len(users) <= few {
		for _, user := range users {
			if !slices.Contains(once, user) {
				once = append(once, user)
			}
		}
		return once
	}
	seen := make(map[UserID]struct{}, len(users))
	for _, user := range users {
		if _, twice := seen[user]; !twice {
			seen[user] = struct{}{}
			once = append(once, user)
		}
	}
	return once
}

// Referred holds the messages and members of the chat that a draft or an edit refers to.
type Referred struct {
	ReplyTo bool      // whether the chat has the message that ReplyTo names, or its tombstone
	Root    Message   // that of the draft's thread
	Members []*Member // the mentioned users
}

// mentioned returns the mentioned users: each once, and members only. A mention of any other user is only text.
func (r Referred) mentioned(users []UserID) []UserID {
	var kept []UserID
	for _, user := range users {
		isMember := slices.ContainsFunc(r.Members, func(m *Member) bool { return m.User == user && m.Current() })
		if isMember && !slices.Contains(kept, user) {
			kept = append(slices.Grow(kept, len(users)-len(kept)), user)
		}
	}
	return kept
}

// Post sends a message. existing is the chat's message with the draft's id. If it has the same sender, the send is a repetition and causes no event,
// even after the sender left the chat. Of the mentions it keeps those of members.
func (c Chat) Post(by Member, existing Message, d Draft, r Referred, at time.Time) ([]Durable, error) {
	if existing.Exists() && existing.Sender == by.User {
		return nil, nil
	}
	if err := c.maySend(by, d, at); err != nil {
		return nil, err
	}
	if existing.Exists() {
		return nil, refuse(ErrMessageExists, "message %q of chat %q was sent by someone else", d.ID, c.ID)
	}
	if c.Archived {
		return nil, refuse(ErrArchived, "chat %q takes no messages until it is unarchived", c.ID)
	}
	if err := d.Check(); err != nil {
		return nil, err
	}
	if d.ReplyTo != "" && !r.ReplyTo {
		return nil, refuse(ErrMessageNotFound, "chat %q has no message %q to reply to", c.ID, d.ReplyTo)
	}
	if d.Thread != "" {
		if err := r.Root.answerable(); err != nil {
			return nil, err
		}
	}
	mentions := r.mentioned(d.Mentions)
	return []Durable{MessageNew{
		Chat: c.ID, Message: d.ID, Sender: by.User, Content: d.Content, ReplyTo: d.ReplyTo,
		Mentions: mentions, Attachments: slices.Clone(d.Attachments), ClientMeta: d.ClientMeta,
		Thread: d.Thread, InChat: d.InChat, Broadcast: d.Broadcast, Mentioned: len(mentions) > 0 || d.Broadcast == BroadcastAll, At: at,
	}}, nil
}

// maySend refuses a draft of a user who is no member, restricted, or of too low a role for one of the things that it does.
func (c Chat) maySend(by Member, d Draft, at time.Time) error {
	if d.Thread == "" || d.InChat {
		if err := c.allow(by, ActionPost, "post in", at); err != nil {
			return err
		}
	}
	if d.Thread != "" {
		if err := c.allow(by, ActionReply, "reply in a thread of", at); err != nil {
			return err
		}
	}
	if d.Broadcast != NoBroadcast {
		return c.allow(by, ActionMentionAll, "mention all members of", at)
	}
	return nil
}
