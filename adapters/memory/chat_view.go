package memory

import (
	"context"
	"slices"

	"chatcore/domain"
	"chatcore/ports"
)

var _ ports.ChatView = (*Log)(nil)

// PutLastMessages implements [ports.ChatView].
func (l *Log) PutLastMessages(ctx context.Context, entries ...ports.ChatViewEntry) error {
	if err := l.usable(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries {
		if c := l.chats[e.Chat]; c != nil && c.shows(e) {
			c.listed = e
		}
	}
	return nil
}

// ListedLastMessages implements [ports.ChatView].
func (l *Log) ListedLastMessages(ctx context.Context, chats ...domain.ChatID) ([]ports.ChatViewEntry, error) {
	if err := l.usable(ctx); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	found := make([]ports.ChatViewEntry, len(chats))
	for i, id := range chats {
		found[i].Chat = id
		if c := l.chats[id]; c != nil && c.listed.Version > 0 {
			found[i] = c.listed
		}
	}
	return found, nil
}

// LoadRows implements [ports.ChatView].
func (l *Log) LoadRows(ctx context.Context, user domain.UserID, loads ...ports.ChatLoad) ([]ports.ChatRow, error) {
	loaded, err := l.LoadChats(ctx, loads...)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	rows := make([]ports.ChatRow, len(loads))
	for i, load := range loads {
		rows[i].Loaded = loaded[i]
		c := l.chats[load.Chat]
		if c == nil {
			continue
		}
		rows[i].Unread = c.unread(user)
		if rows[i].Current = c.ordinal(c.head()) == 0 || c.shows(c.listed); rows[i].Current {
			rows[i].Last = c.listed.LastPreview
		}
	}
	return rows, nil
}

// shows reports whether an entry is the chat's last message, in its present state.
func (c *chat) shows(p ports.ChatViewEntry) bool {
	for _, r := range slices.Backward(c.records) {
		if domain.InTimeline(r.Event) {
			return r.Seq == p.Seq && c.version(domain.MessageEntity(p.Message)) == p.Version
		}
	}
	return false
}
