package redis

import (
	"context"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
	"chatcore/ports"
)

// TypingMarks keeps who is typing: a key for each user and chat that expires by itself.
type TypingMarks struct {
	client goredis.UniversalClient
	keys   Keys
	script *goredis.Script
}

var _ ports.TypingMarks = (*TypingMarks)(nil)

// NewTypingMarks keeps the marks under the names of keys.
func NewTypingMarks(client goredis.UniversalClient, keys Keys) *TypingMarks {
	return &TypingMarks{client: client, keys: keys, script: goredis.NewScript(typingSource)}
}

// Start implements [ports.TypingMarks] in one round trip. Time is Redis's own.
func (t *TypingMarks) Start(ctx context.Context, e domain.TypingStart) (bool, error) {
	set, err := t.script.Run(ctx, t.client, []string{t.keys.typing(e.Chat, e.User)},
		e.ExpiresAt.Sub(e.At).Milliseconds(), domain.TypingInterval.Milliseconds()).Int()
	return set == 1, unavailable(ctx, err)
}

// Stop implements [ports.TypingMarks].
func (t *TypingMarks) Stop(ctx context.Context, chat domain.ChatID, user domain.UserID) error {
	return unavailable(ctx, t.client.Del(ctx, t.keys.typing(chat, user)).Err())
}
