package app

import (
	"context"
	"time"

	"chatcore/domain"
)

// Typing is about one user who types, or stops to, in one chat.
type Typing struct {
	Chat domain.ChatID
	By   domain.UserID
}

// StartTyping tells who listens that a member types, at most once in two seconds for a user and chat; it reports whether it did. It
// expires by itself after five seconds.
func (c *Chats) StartTyping(ctx context.Context, cmd Typing) (bool, error) {
	events, err := c.typed(ctx, cmd, domain.Typing{}.Start)
	if err != nil {
		return false, err
	}
	start, _ := events[0].(domain.TypingStart)
	told, err := c.typing.Start(ctx, start)
	if err != nil || !told {
		return false, err
	}
	return true, c.live.Publish(ctx, start, c.meta)
}

// StopTyping tells who listens that a member no longer types; a stop always passes.
func (c *Chats) StopTyping(ctx context.Context, cmd Typing) error {
	events, err := c.typed(ctx, cmd, domain.Typing{}.Stop)
	if err != nil {
		return err
	}
	if err := c.typing.Stop(ctx, cmd.Chat, cmd.By); err != nil {
		return err
	}
	return c.live.Publish(ctx, events[0], c.meta)
}

func (c *Chats) typed(
	ctx context.Context, cmd Typing, decide func(domain.Chat, domain.Member, time.Time) ([]domain.Ephemeral, error),
) ([]domain.Ephemeral, error) {
	if err := checkChat(cmd.Chat, cmd.By); err != nil {
		return nil, err
	}
	wanted := command{chat: cmd.Chat, wants: want(domain.ChatEntity(), domain.MemberEntity(cmd.By))}
	s := newState(&wanted)
	c.entities.cached(cmd.Chat, s.slots)
	if _, err := c.entities.load(ctx, cmd.Chat, s.slots); err != nil {
		return nil, err
	}
	return decide(s.theChat(), s.member(cmd.By), c.now())
}
