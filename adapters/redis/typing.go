package redis

import (
	"context"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
	"chatcore/ports"
)

// TypingMarks stores typing marks: a key with a TTL for each user and chat, and for each chat a list of these keys. The list only says where to look:
// a mark may be removed without it. Marks that other programs set are in no list.
type TypingMarks struct {
	client      goredis.UniversalClient
	keys        Keys
	ttl         time.Duration // maximum lifetime of a mark
	start, list *goredis.Script
}

var _ ports.TypingMarks = (*TypingMarks)(nil)

// NewTypingMarks returns TypingMarks with the given keys. ttl is the maximum lifetime of a mark.
func NewTypingMarks(client goredis.UniversalClient, keys Keys, ttl time.Duration) *TypingMarks {
	return &TypingMarks{client: client, keys: keys, ttl: ttl, start: goredis.NewScript(typingSource), list: goredis.NewScript(typingListSource)}
}

// Start implements [ports.TypingMarks] in one round trip. It uses Redis's clock.
func (t *TypingMarks) Start(ctx context.Context, e domain.TypingStart) (bool, error) {
	set, err := t.start.Run(ctx, t.client, []string{t.keys.typing(e.Chat, e.User), t.keys.typists(e.Chat)},
		max(e.ExpiresAt.Sub(e.At).Milliseconds(), 1), domain.TypingInterval.Milliseconds()).Int()
	return set == 1, t.failed(ctx, err, e.Chat)
}

// Stop implements [ports.TypingMarks].
func (t *TypingMarks) Stop(ctx context.Context, chat domain.ChatID, user domain.UserID) error {
	return unavailable(ctx, t.client.Del(ctx, t.keys.typing(chat, user)).Err())
}

// Of implements [ports.TypingMarks] in one round trip.
func (t *TypingMarks) Of(ctx context.Context, chat domain.ChatID) ([]domain.UserID, error) {
	marks, err := t.list.Run(ctx, t.client, []string{t.keys.typists(chat)}, ports.MaxTyping, t.ttl.Milliseconds()).StringSlice()
	if err != nil {
		return nil, t.failed(ctx, err, chat)
	}
	users := make([]domain.UserID, 0, len(marks))
	for _, mark := range marks {
		if user, ours := t.keys.typist(chat, mark); ours {
			users = append(users, user)
		}
	}
	return users, nil
}

func (t *TypingMarks) failed(ctx context.Context, err error, chat domain.ChatID) error {
	if err != nil && answered(err) && hasCode(err, "WRONGTYPE") {
		return fmt.Errorf("%w: %w", &ports.ForeignValueError{Key: t.keys.typists(chat), Holds: "no sorted set", For: "a list of typing marks"}, err)
	}
	return unavailable(ctx, err)
}
