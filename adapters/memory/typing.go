package memory

import (
	"context"
	"slices"
	"sync"

	"chatcore/domain"
	"chatcore/ports"
)

var _ ports.TypingMarks = (*Typing)(nil)

// Typing holds the typing marks of users, by a clock. Every [Log] has one.
type Typing struct {
	clock ports.Clock

	mu    sync.Mutex // taken after a log's
	chats map[domain.ChatID]map[domain.UserID]domain.TypingMark
}

// NewTyping remembers nobody yet.
func NewTyping(clock ports.Clock) *Typing {
	return &Typing{clock: clock, chats: make(map[domain.ChatID]map[domain.UserID]domain.TypingMark)}
}

// Start implements [ports.TypingMarks].
func (t *Typing) Start(ctx context.Context, e domain.TypingStart) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	mark := t.chats[e.Chat][e.User]
	if since := now.Sub(mark.PublishedAt); mark.Active(now) && since >= 0 && since < domain.TypingInterval { // below 0 the clock was set back
		return false, nil
	}
	marks := t.standing(e.Chat)
	if marks == nil {
		marks = make(map[domain.UserID]domain.TypingMark)
		t.chats[e.Chat] = marks
	}
	marks[e.User] = domain.TypingMark{PublishedAt: now, ExpiresAt: now.Add(e.ExpiresAt.Sub(e.At))}
	return true, nil
}

// Stop implements [ports.TypingMarks].
func (t *Typing) Stop(ctx context.Context, chat domain.ChatID, user domain.UserID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t.end(chat, user)
	return nil
}

// Of implements [ports.TypingMarks].
func (t *Typing) Of(ctx context.Context, chat domain.ChatID) ([]domain.UserID, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	marks := t.standing(chat)
	users := make([]domain.UserID, 0, len(marks))
	for user := range marks {
		users = append(users, user)
	}
	if len(users) > ports.MaxTyping {
		slices.SortFunc(users, func(a, b domain.UserID) int { return marks[b].ExpiresAt.Compare(marks[a].ExpiresAt) })
		users = users[:ports.MaxTyping]
	}
	return users, nil
}

// end removes the mark and reports whether the user was typing.
func (t *Typing) end(chat domain.ChatID, user domain.UserID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	marks := t.standing(chat)
	_, active := marks[user]
	delete(marks, user)
	if len(marks) == 0 {
		delete(t.chats, chat)
	}
	return active
}

// standing are a chat's marks after those that have expired are gone; nil if there is none.
func (t *Typing) standing(chat domain.ChatID) map[domain.UserID]domain.TypingMark {
	marks, now := t.chats[chat], t.clock.Now()
	for user, mark := range marks {
		if !mark.Active(now) {
			delete(marks, user)
		} else if mark.PublishedAt.After(now) { // the clock was set back
			marks[user] = domain.TypingMark{PublishedAt: now, ExpiresAt: now.Add(mark.ExpiresAt.Sub(mark.PublishedAt))}
		}
	}
	return marks
}
