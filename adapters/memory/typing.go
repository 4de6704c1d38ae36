package memory

import (
	"context"
	"sync"

	"chatcore/domain"
	"chatcore/ports"
)

var _ ports.TypingMarks = (*Typing)(nil)

// Typing remembers who is typing, by a clock. Every [Log] has one.
type Typing struct {
	clock ports.Clock

	mu    sync.Mutex // taken after a log's
	marks map[typist]domain.Typing
}

type typist struct {
	chat domain.ChatID
	user domain.UserID
}

// NewTyping remembers nobody yet.
func NewTyping(clock ports.Clock) *Typing {
	return &Typing{clock: clock, marks: make(map[typist]domain.Typing)}
}

// Start implements [ports.TypingMarks].
func (t *Typing) Start(ctx context.Context, e domain.TypingStart) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now, who := t.clock.Now(), typist{e.Chat, e.User}
	if mark := t.marks[who]; mark.Active(now) && now.Sub(mark.ToldAt) < domain.TypingInterval {
		return false, nil
	}
	t.marks[who] = domain.Typing{ToldAt: now, ExpiresAt: e.ExpiresAt}
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

// end removes the mark and reports whether the user was typing.
func (t *Typing) end(chat domain.ChatID, user domain.UserID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	who := typist{chat, user}
	active := t.marks[who].Active(t.clock.Now())
	delete(t.marks, who)
	return active
}
