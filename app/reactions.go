package app

import (
	"context"
	"math"
	"time"

	"chatcore/domain"
)

// reactionRule is [domain.Chat.React] or [domain.Chat.Unreact].
type reactionRule func(
	c domain.Chat, by domain.Member, m domain.Message, r *domain.Reactions, emoji domain.Emoji, at time.Time,
) ([]domain.Durable, error)

// React puts a reaction, in the emoji's normal form ([domain.NewEmoji]). There already, in whichever spelling, it changes nothing. It returns a
// [*domain.CapError] if the message has [Caps.EmojisPerMessage] other emojis, or the user has [Caps.ReactionsPerUser] reactions to it.
func (c *Chats) React(ctx context.Context, cmd domain.React) (Done, error) {
	return c.react(ctx, "react", cmd, domain.NewEmoji, domain.Chat.React)
}

func (c *Chats) react(
	ctx context.Context, name string, cmd domain.React, parse func(string) (domain.Emoji, error), decide reactionRule,
) (Done, error) {
	emoji, err := parse(cmd.Emoji)
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkMessage(cmd.MessageID), checkCommand(cmd.Command), err); err != nil {
		return Done{}, err
	}
	reactions := domain.ReactionsEntity(cmd.MessageID)
	caps := c.policy.Caps.reactions()
	return c.run(ctx, command{
		name: name, chat: cmd.Chat, by: cmd.Actor, id: cmd.Command,
		wants: want(domain.ChatEntity(), domain.MemberEntity(cmd.Actor), domain.MessageEntity(cmd.MessageID), reactions),
		decide: func(s *state) ([]domain.Durable, error) {
			known := s.reactions(cmd.MessageID)
			events, err := decide(s.theChat(), s.member(cmd.Actor), s.message(cmd.MessageID), known, emoji, c.now())
			if err == nil && adds(events) {
				err = known.Allow(caps, cmd.MessageID, cmd.Actor, emoji)
			}
			if err != nil {
				return nil, err
			}
			return events, nil
		},
		// The first append requires the version of the reactions that the decision used, so that caps hold and the cache stays exact. Where many react at
		// once, further ones allow as many changes since then as cannot exceed a cap: a reaction that was recorded twice folds to one.
		unconditional: func(s *state, e domain.Entity) bool {
			return e == reactions && s.conflicts > 0 && (caps == domain.ReactionCaps{} || s.reactions(cmd.MessageID).Has(cmd.Actor, emoji))
		},
		slack: func(s *state) domain.Seq { return slackWithin(s.reactions(cmd.MessageID), caps, cmd.Actor, emoji) },
		hot:   reactions,
		queue: func(ctx context.Context) (func(), error) {
			return c.reacting.acquire(ctx, lockKey{cmd.Chat, cmd.MessageID})
		},
		limits: c.limitsOf(cmd.Actor, cmd.Chat, LimitReact),
		args:   arguments{string(cmd.MessageID), cmd.Emoji},
	})
}

func adds(events []domain.Durable) bool {
	if len(events) == 0 {
		return false
	}
	reaction, ok := events[0].(domain.MessageReaction)
	return ok && reaction.Action == domain.ReactionAdd
}

// slackWithin returns how many other changes of a message's reactions there may be before a user's reaction is added, so that no cap is exceeded whatever
// the changes are. A change adds or removes one reaction. n changes give the user at most n reactions more, and they give the message at most n emojis
// more; they leave the emoji there if more than n reactions have it.
func slackWithin(r *domain.Reactions, caps domain.ReactionCaps, user domain.UserID, emoji domain.Emoji) domain.Seq {
	slack := math.MaxInt32
	if caps.PerUser > 0 {
		slack = caps.PerUser - r.Of(user) - 1
	}
	if caps.Emojis > 0 {
		slack = min(slack, max(caps.Emojis-r.Emojis(), r.With(emoji))-1)
	}
	return domain.Seq(max(slack, 0)) //nolint:gosec // not negative
}

// Unreact takes the user's own reaction back, also in an archived chat. Not there, it changes nothing; so it does of a deleted message, whose reactions
// went with it. The emoji may be any text that an older program recorded ([domain.RecordedEmoji]).
func (c *Chats) Unreact(ctx context.Context, cmd domain.React) (Done, error) {
	return c.react(ctx, "unreact", cmd, domain.RecordedEmoji, domain.Chat.Unreact)
}
