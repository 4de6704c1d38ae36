package app

import (
	"context"
	"errors"
	"slices"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// StartTyping publishes that a member types, at most once in two seconds per user and chat; it reports whether it did. It expires by itself after
// five seconds, or after [Policy.TypingTTL].
//
// A storm of starts costs nothing beyond this process: after one that was published, or refused, the same user's next ones in the chat end here for
// two seconds, the refused ones with the same error. A stop or a send of this process lets the next start pass at once; one of another process does
// within those two seconds. Starts that get that far count against [LimitTyping], if it is set: beyond it [ports.ErrRateLimited].
func (c *Chats) StartTyping(ctx context.Context, cmd domain.Typing) (bool, error) {
	if err := checkChat(cmd.Chat, cmd.Actor); err != nil {
		return false, err
	}
	start, refused := c.typists.enter(cmd, c.now())
	if start == nil {
		return false, refused
	}
	published, err := c.startTyping(ctx, cmd)
	var refusal *domain.Refusal
	switch {
	case errors.As(err, &refusal), errors.Is(err, ports.ErrRateLimited):
		c.typists.refuse(start, err)
	case err != nil:
		c.typists.leave(cmd)
	}
	return published, err
}

func (c *Chats) startTyping(ctx context.Context, cmd domain.Typing) (bool, error) {
	limited := c.limitsOf(cmd.Actor, cmd.Chat, LimitTyping).take(ctx)
	events, err := c.typed(ctx, cmd, domain.TypingMark{}.Start)
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
	published, err := c.typing.Start(ctx, start)
	if err != nil || !published {
		return false, err
	}
	return true, c.live.Publish(ctx, start, c.meta)
}

// StopTyping publishes that a member no longer types; a stop is always published.
func (c *Chats) StopTyping(ctx context.Context, cmd domain.Typing) error {
	if err := checkChat(cmd.Chat, cmd.Actor); err != nil {
		return err
	}
	events, err := c.typed(ctx, cmd, domain.TypingMark{}.Stop)
	if err != nil {
		return err
	}
	if err := c.typing.Stop(ctx, cmd.Chat, cmd.Actor); err != nil {
		return err
	}
	c.typists.leave(cmd)
	return c.live.Publish(ctx, events[0], c.meta)
}

// typed decides on the present log, so that a removed member is not seen typing for longer than the lifetime of a mark.
func (c *Chats) typed(
	ctx context.Context, cmd domain.Typing, decide func(domain.Chat, domain.Member, time.Time) ([]domain.Ephemeral, error),
) ([]domain.Ephemeral, error) {
	wanted := command{chat: cmd.Chat, by: cmd.Actor, wants: want(domain.ChatEntity(), domain.MemberEntity(cmd.Actor))}
	s := newState(&wanted)
	c.entities.Cached(cmd.Chat, s.entities)
	if err := c.load(ctx, &wanted, s); err != nil {
		return nil, err
	}
	return decide(s.theChat(), s.member(cmd.Actor), c.now())
}

// Typing returns the typing users of a chat, in the order of their ids, by the store's clock: none whose mark has expired, and of more than
// [ports.MaxTyping] the latest. It is one round trip, and does not read the log: a chat that does not exist has none. Typing events of programs
// without this core reach live listeners, but are not included here.
func (q *Queries) Typing(ctx context.Context, chat domain.ChatID) ([]domain.UserID, error) {
	if err := checkChat(chat); err != nil {
		return nil, err
	}
	if q.models.Views().Typing == nil {
		return nil, q.models.NoView("WithTypingMarks")
	}
	users, err := q.models.Views().Typing.Of(ctx, chat)
	slices.Sort(users)
	return users, err
}
