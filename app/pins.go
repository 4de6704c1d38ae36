package app

import (
	"context"
	"slices"
	"time"

	"chatcore/app/entity"
	"chatcore/domain"
)

// MaxPins is the highest cap on the pins of a chat: a list of them is read at once.
const MaxPins = 100

// Pin pins a message to its chat. Pinned already, it changes nothing. A deleted message is [domain.ErrMessageDeleted], and one pin more than [Caps.PinsPerChat] a
// [*domain.CapError]. A pin and a deletion at the same moment never leave a pinned tombstone: one of them is decided again.
func (c *Chats) Pin(ctx context.Context, cmd domain.Pin) (Done, error) {
	return c.pin(ctx, "pin", cmd, func(chat domain.Chat, by domain.Member, m domain.Message, pins *domain.Pins, at time.Time) ([]domain.Durable, error) {
		return chat.Pin(by, m, pins, c.policy.Caps.PinsPerChat, at)
	})
}

// Unpin removes the pin of a message. Not pinned, it changes nothing.
func (c *Chats) Unpin(ctx context.Context, cmd domain.Pin) (Done, error) {
	return c.pin(ctx, "unpin", cmd, func(chat domain.Chat, by domain.Member, m domain.Message, _ *domain.Pins, at time.Time) ([]domain.Durable, error) {
		return chat.Unpin(by, m, at)
	})
}

func (c *Chats) pin(
	ctx context.Context, name string, cmd domain.Pin,
	decide func(chat domain.Chat, by domain.Member, m domain.Message, pins *domain.Pins, at time.Time) ([]domain.Durable, error),
) (Done, error) {
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkMessage(cmd.MessageID), checkCommand(cmd.Command)); err != nil {
		return Done{}, err
	}
	return c.run(ctx, command{
		name: name, chat: cmd.Chat, by: cmd.Actor, id: cmd.Command,
		wants: want(domain.ChatEntity(), domain.MemberEntity(cmd.Actor), domain.MessageEntity(cmd.MessageID), domain.PinsEntity()),
		decide: func(s *state) ([]domain.Durable, error) {
			return decide(s.theChat(), s.member(cmd.Actor), s.message(cmd.MessageID), as[*domain.Pins](s, domain.PinsEntity()), c.now())
		},
		args: arguments{string(cmd.MessageID)},
	})
}

// Pins returns the pinned messages of a chat in their present state, in the order in which they were pinned. It takes two round trips, and a third if one of them replies
// to a message that is not pinned. It returns [domain.ErrChatNotFound] if there is no such chat.
func (q *Queries) Pins(ctx context.Context, chat domain.ChatID) ([]MessageView, error) {
	if err := checkChat(chat); err != nil {
		return nil, err
	}
	list := []entity.Versioned{{Entity: domain.PinsEntity()}}
	if _, err := q.load(ctx, chat, list); err != nil {
		return nil, err
	}
	pins, _ := list[0].State.(*domain.Pins)
	if len(pins.List) == 0 {
		return nil, nil
	}
	entities := make([]entity.Versioned, 0, 2*len(pins.List))
	for _, p := range pins.List {
		entities = append(entities, entity.Versioned{Entity: domain.MessageEntity(p.Message)}, entity.Versioned{Entity: domain.ReactionsEntity(p.Message)})
	}
	q.entities.Cached(chat, entities)
	_, unread, err := q.refresh(ctx, chat, entities)
	if err != nil {
		return nil, err
	}
	views := make([]MessageView, len(pins.List))
	for i := range views {
		views[i] = unlessNewer(viewOf(entities[2*i], entities[2*i+1]), unread[2*i], unread[2*i+1])
	}
	views = slices.DeleteFunc(views, func(v MessageView) bool { return v.Unreadable == nil && !v.Pinned() }) // since the list was read
	return views, q.markReplied(ctx, chat, views)
}

// markReplied sets ReplyDeleted of views. It takes a round trip if one of them replies to a message that is not among them.
func (q *Queries) markReplied(ctx context.Context, chat domain.ChatID, views []MessageView) error {
	var replied []entity.Versioned
	for _, v := range views {
		if v.ReplyTo != "" && !slices.ContainsFunc(views, func(o MessageView) bool { return o.ID == v.ReplyTo }) {
			replied = append(replied, entity.Versioned{Entity: domain.MessageEntity(v.ReplyTo), Latest: true})
		}
	}
	if len(replied) > 0 {
		if _, _, err := q.refresh(ctx, chat, replied); err != nil {
			return err
		}
	}
	markReplies(views, replied)
	return nil
}
