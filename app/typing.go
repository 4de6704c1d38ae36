package app

import (
	"context"
	"errors"
	"slices"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// Typing is about one user who types, or stops to, in one chat.
type Typing struct {
	Chat domain.ChatID
	By   domain.UserID
}

// StartTyping tells who listens that a member types, at most once in two seconds for a user and chat; it reports whether it did. It
// expires by itself after five seconds, or after [Policy.TypingTTL].
//
// A storm of starts costs nothing beyond this process: after one that was told, or refused, the same user's next ones in the chat end here for
// two seconds, the refused ones with the same error. A stop or a send of this process lets the next start pass at once; one of another
// process does within those two seconds. Starts that get that far count against [LimitTyping], if it is set: beyond it
// [ports.ErrRateLimited].
func (c *Chats) StartTyping(ctx context.Context, cmd Typing) (bool, error) {
	if err := checkChat(cmd.Chat, cmd.By); err != nil {
		return false, err
	}
	start, refused := c.typists.enter(cmd, c.now())
	if start == nil {
		return false, refused
	}
	told, err := c.startTyping(ctx, cmd)
	var refusal *domain.Refusal
	switch {
	case errors.As(err, &refusal), errors.Is(err, ports.ErrRateLimited):
		c.typists.refuse(start, err)
	case err != nil:
		c.typists.leave(cmd)
	}
	return told, err
}

func (c *Chats) startTyping(ctx context.Context, cmd Typing) (bool, error) {
	limited := c.limitsOf(cmd.By, cmd.Chat, LimitTyping).take(ctx)
	events, err := c.typed(ctx, cmd, domain.Typing{}.Start)
	if limited != nil && !refusesOutsider(err) {
		return false, limited
	}
	if err != nil {
		return false, err
	}
	start, _ := events[0].(domain.TypingStart)
	if c.policy.TypingTTL > 0 {
		start.ExpiresAt = start.At.Add(c.policy.TypingTTL)
	}
	told, err := c.typing.Start(ctx, start)
	if err != nil || !told {
		return false, err
	}
	return true, c.live.Publish(ctx, start, c.meta)
}

// StopTyping tells who listens that a member no longer types; a stop always passes.
func (c *Chats) StopTyping(ctx context.Context, cmd Typing) error {
	if err := checkChat(cmd.Chat, cmd.By); err != nil {
		return err
	}
	events, err := c.typed(ctx, cmd, domain.Typing{}.Stop)
	if err != nil {
		return err
	}
	if err := c.typing.Stop(ctx, cmd.Chat, cmd.By); err != nil {
		return err
	}
	c.typists.leave(cmd)
	return c.live.Publish(ctx, events[0], c.meta)
}

// typed decides on what the log says now, so that who was removed is not seen typing for longer than a mark stands.
func (c *Chats) typed(
	ctx context.Context, cmd Typing, decide func(domain.Chat, domain.Member, time.Time) ([]domain.Ephemeral, error),
) ([]domain.Ephemeral, error) {
	wanted := command{chat: cmd.Chat, by: cmd.By, wants: want(domain.ChatEntity(), domain.MemberEntity(cmd.By))}
	s := newState(&wanted)
	c.entities.cached(cmd.Chat, s.slots)
	if err := c.load(ctx, &wanted, s); err != nil {
		return nil, err
	}
	return decide(s.theChat(), s.member(cmd.By), c.now())
}

// Typing names those who are typing in a chat, in the order of their ids, by the store's clock: nobody whose time has passed, and of more than
// [ports.MaxTyping] those who started last. It is one round trip, and asks no log: nobody types in a chat that does not exist. What
// programs without this core say of their users' typing is heard by who listens, and not in here.
func (q *Queries) Typing(ctx context.Context, chat domain.ChatID) ([]domain.UserID, error) {
	if err := checkChat(chat); err != nil {
		return nil, err
	}
	if q.views.Typing == nil {
		return nil, ErrNoViews
	}
	users, err := q.views.Typing.Of(ctx, chat)
	slices.Sort(users)
	return users, err
}
