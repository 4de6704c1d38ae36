package typing

import (
	"context"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
)

// Marks stores typing marks: a key with a TTL for each user and chat, and for each chat a list of these keys. The list only says where to look:
// a mark may be removed without it. Marks that other programs set are in no list.
type Marks struct {
	client      goredis.UniversalClient
	keys        keyspace.Typing
	ttl         time.Duration // maximum lifetime of a mark
	start, list *goredis.Script
}

var _ ports.TypingMarks = (*Marks)(nil)

// New returns Marks with the given keys. ttl is the maximum lifetime of a mark.
func New(client goredis.UniversalClient, keys keyspace.Typing, ttl time.Duration) *Marks {
	return &Marks{client: client, keys: keys, ttl: ttl, start: goredis.NewScript(typingSource), list: goredis.NewScript(typingListSource)}
}

// Start implements [ports.TypingMarks] in one round trip. It uses Redis's clock.
func (t *Marks) Start(ctx context.Context, e domain.TypingStart) (bool, error) {
	set, err := t.start.Run(ctx, t.client, []string{t.keys.Mark(e.Chat, e.User), t.keys.Marks(e.Chat)},
		max(e.ExpiresAt.Sub(e.At).Milliseconds(), 1), domain.TypingInterval.Milliseconds()).Int()
	return set == 1, t.failed(ctx, err, e.Chat)
}

// Stop implements [ports.TypingMarks].
func (t *Marks) Stop(ctx context.Context, chat domain.ChatID, user domain.UserID) error {
	return rediscmd.Unavailable(ctx, t.client.Del(ctx, t.keys.Mark(chat, user)).Err())
}

// Of implements [ports.TypingMarks] in one round trip.
func (t *Marks) Of(ctx context.Context, chat domain.ChatID) ([]domain.UserID, error) {
	marks, err := t.list.Run(ctx, t.client, []string{t.keys.Marks(chat)}, ports.MaxTyping, t.ttl.Milliseconds()).StringSlice()
	if err != nil {
		return nil, t.failed(ctx, err, chat)
	}
	users := make([]domain.UserID, 0, len(marks))
	for _, mark := range marks {
		if user, ours := t.keys.User(chat, mark); ours {
			users = append(users, user)
		}
	}
	return users, nil
}

func (t *Marks) failed(ctx context.Context, err error, chat domain.ChatID) error {
	if err != nil && rediscmd.Answered(err) && rediscmd.HasCode(err, "WRONGTYPE") {
		return fmt.Errorf("%w: %w", &ports.ForeignValueError{Key: t.keys.Marks(chat), Holds: "no sorted set", For: "a list of typing marks"}, err)
	}
	return rediscmd.Unavailable(ctx, err)
}
