package app

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"chatcore/app/cache"
	"chatcore/app/entity"
	"chatcore/domain"
)

// cachedMessage is a message as other programs see it.
type cachedMessage struct {
	MessageID   domain.MessageID   `json:"messageId"`
	ChatID      domain.ChatID      `json:"chatId"`
	SenderID    domain.UserID      `json:"senderId"`
	Content     domain.Content     `json:"content"`
	Seq         domain.Seq         `json:"seq"`
	Timestamp   time.Time          `json:"timestamp"`
	Version     domain.Seq         `json:"version"` // seq of the last event that changed it or its reactions
	ReplyTo     domain.MessageID   `json:"replyTo,omitempty"`
	Mentions    []domain.UserID    `json:"mentions,omitempty"`
	Attachments []cachedAttachment `json:"attachments,omitempty"`
	ClientMeta  json.RawMessage    `json:"clientMeta,omitempty"`
	Revision    int                `json:"revision,omitempty"`
	EditedAt    time.Time          `json:"editedAt,omitzero"`
	DeletedAt   time.Time          `json:"deletedAt,omitzero"`
	DeletedBy   domain.UserID      `json:"deletedBy,omitempty"`
	Reason      domain.Reason      `json:"reason,omitempty"`
	Erased      bool               `json:"erased,omitempty"`
	Reactions   []cachedReaction   `json:"reactions,omitempty"`
	ThreadID    domain.MessageID   `json:"threadId,omitempty"`
	InChat      bool               `json:"inChat,omitempty"`
	Broadcast   string             `json:"broadcast,omitempty"` // all or here
	PinnedAt    time.Time          `json:"pinnedAt,omitzero"`
	PinnedBy    domain.UserID      `json:"pinnedBy,omitempty"`
}

type cachedAttachment struct {
	Name string `json:"name"`
	Type string `json:"type,omitempty"`
	Size int64  `json:"size"`
	URL  string `json:"url"`
}

type cachedReaction struct {
	Emoji   domain.Emoji    `json:"emoji"`
	UserIDs []domain.UserID `json:"userIds"`
}

// CacheVersion implements [cache.Versioned]. Versions of messages of different chats have nothing to do with each other; nor are they compared,
// because one is not the other's.
func (m cachedMessage) CacheVersion() uint64 { return uint64(m.Version) }

func cachedOf(v MessageView, version domain.Seq) cachedMessage {
	m := cachedMessage{
		MessageID: v.ID, ChatID: v.Chat, SenderID: v.Sender, Content: v.Content, Seq: v.Seq, Timestamp: v.SentAt, Version: version,
		ReplyTo: v.ReplyTo, Mentions: v.Mentions, ClientMeta: json.RawMessage(v.ClientMeta),
		Revision: v.Revision, EditedAt: v.EditedAt, DeletedAt: v.DeletedAt, DeletedBy: v.DeletedBy, Reason: v.Reason, Erased: v.Erased,
		ThreadID: v.Thread, InChat: v.InChat, PinnedAt: v.PinnedAt, PinnedBy: v.PinnedBy,
	}
	if v.Broadcast != domain.NoBroadcast {
		m.Broadcast = v.Broadcast.String()
	}
	for _, a := range v.Attachments {
		m.Attachments = append(m.Attachments, cachedAttachment(a))
	}
	for _, r := range v.Reactions {
		m.Reactions = append(m.Reactions, cachedReaction{r.Emoji, r.Users})
	}
	return m
}

func (m cachedMessage) view() MessageView {
	v := MessageView{Message: domain.Message{
		ID: m.MessageID, Chat: m.ChatID, Sender: m.SenderID, Content: m.Content, Seq: m.Seq, SentAt: m.Timestamp,
		ReplyTo: m.ReplyTo, Mentions: m.Mentions, ClientMeta: domain.ClientMeta(m.ClientMeta),
		Revision: m.Revision, EditedAt: m.EditedAt, DeletedAt: m.DeletedAt, DeletedBy: m.DeletedBy, Reason: m.Reason, Erased: m.Erased,
		Thread: m.ThreadID, InChat: m.InChat, Broadcast: broadcastOf(m.Broadcast),
		PinnedAt: m.PinnedAt, PinnedBy: m.PinnedBy,
	}}
	for _, a := range m.Attachments {
		v.Attachments = append(v.Attachments, domain.Attachment(a))
	}
	for _, r := range m.Reactions {
		v.Reactions = append(v.Reactions, domain.ReactionGroup{Emoji: r.Emoji, Users: r.UserIDs})
	}
	return v
}

// broadcastOf returns the broadcast of a name, none for any other text.
func broadcastOf(name string) domain.Broadcast {
	for _, b := range [...]domain.Broadcast{domain.BroadcastAll, domain.BroadcastHere} {
		if b.String() == name {
			return b
		}
	}
	return domain.NoBroadcast
}

// cacheable loads a message for a cache.
func (q *Queries) cacheable(ctx context.Context, id entity.MessageKey) (cachedMessage, error) {
	view, version, err := q.message(ctx, id.Chat, id.ID)
	if errors.Is(err, domain.ErrMessageNotFound) || errors.Is(err, domain.ErrChatNotFound) {
		err = cache.ErrNotFound
	}
	return cachedOf(view, version), err
}

// cachedMessage gives a message from the cache, unless this process knows of something later.
func (q *Queries) cachedMessage(ctx context.Context, c *Caches, chat domain.ChatID, id domain.MessageID) (MessageView, error) {
	key := entity.MessageKey{Chat: chat, ID: id}
	moved := q.entities.LastChange(key)
	m, err := c.messages.Get(ctx, key)
	switch {
	case errors.Is(err, cache.ErrNotFound), err == nil && m.Version < moved:
		view, _, err := q.message(ctx, chat, id)
		return view, err
	case err != nil:
		return MessageView{}, err
	}
	return m.view(), nil
}
