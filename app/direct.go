package app

import (
	"context"
	"fmt"

	"chatcore/app/entity"
	"chatcore/domain"
)

// OpenedDirect is the result of [Chats.OpenDirect].
type OpenedDirect struct {
	Chat    domain.ChatID
	Created bool       // by this call
	Seq     domain.Seq // of the last event that this call recorded; 0 if it recorded none
}

// DirectIDs name the direct chats of users, for a team whose chats exist already: a function of two users that returns the same id in either order, another one for other
// users, and for one user twice that of the user's notes. It must never change. The core does not recognize these ids: the team must not create groups with them.
type DirectIDs func(a, b domain.UserID) domain.ChatID

// of returns the id of the direct chat of two users.
func (ids DirectIDs) of(a, b domain.UserID) domain.ChatID {
	if ids == nil {
		return domain.DirectID(a, b)
	}
	return ids(a, b)
}

// Check tries the function on some users. It returns a [*domain.InvalidError] if their direct chats have no valid id, one that depends on the order, or the same one.
func (ids DirectIDs) Check() error {
	if ids == nil {
		return nil
	}
	invalid := func(format string, args ...any) error {
		return &domain.InvalidError{Field: "direct ids", Problem: fmt.Sprintf(format, args...), Allowed: "one valid id for two users in either order, which no others have"}
	}
	users := []domain.UserID{"a", "b", "c", "ab", "bc", "a-b", "user:1"}
	seen := make(map[domain.ChatID]string)
	for i, a := range users {
		for _, b := range users[i:] {
			id, pair := ids(a, b), fmt.Sprintf("%q and %q", a, b)
			if _, err := domain.ParseChatID(string(id)); err != nil {
				return invalid("give %s the id %.80q", pair, string(id))
			}
			if id != ids(b, a) {
				return invalid("give %s %q, or %q in the other order", pair, id, ids(b, a))
			}
			if other, taken := seen[id]; taken {
				return invalid("give %s the id of %s", pair, other)
			}
			seen[id] = pair
		}
	}
	return nil
}

// OpenDirect opens the direct chat of two users, and returns the same chat to both however often, and from however many processes, it is called. It takes one round
// trip if the chat is open, and two if not. A chat that the actor has hidden is shown again. Only a call that creates the chat, or brings a participant back who has
// left, counts against [LimitCreate] and asks the gate. A chat that was deleted is created anew: its blocks are recorded again, and nothing else of what was before
// counts. It returns [domain.ErrChatExists] if a group has the id, [domain.ErrChatDeleted] while a deletion has not ended, and a [*domain.CapError] if a user is in
// [Caps.ChatsPerUser] chats.
func (c *Chats) OpenDirect(ctx context.Context, cmd domain.OpenDirect) (OpenedDirect, error) {
	if err := checkUsers([]domain.UserID{cmd.Actor, cmd.With}); err != nil {
		return OpenedDirect{}, err
	}
	chat := c.policy.DirectIDs.of(cmd.Actor, cmd.With)
	opened := OpenedDirect{Chat: chat}
	open := command{
		name: "open-direct", chat: chat, by: cmd.Actor, admits: true,
		wants: directEntities(cmd.Actor, cmd.With),
		decide: func(s *state) ([]domain.Durable, error) {
			opened.Created = !s.theChat().Exists() || s.theChat().Deleted()
			now := c.now()
			events, err := s.theChat().OpenDirect(chat, s.member(cmd.Actor), s.member(cmd.With), now)
			if err == nil {
				events = append(events, s.settings(cmd.Actor).Show(chat, cmd.Actor, now)...)
			}
			return events, err
		},
		joins: []domain.UserID{cmd.Actor, cmd.With},
	}
	open.wants.add(domain.SettingsEntity(cmd.Actor))
	s := newState(&open)
	c.entities.Cached(chat, s.entities)
	if err := c.load(ctx, &open, s); err != nil {
		return OpenedDirect{}, err
	}
	events, err := open.decide(s)
	if err != nil || len(events) == 0 {
		if err == nil {
			err = c.confirm(ctx, s, s.entity(domain.ChatEntity()).Version)
		}
		return opened, err
	}
	if _, shows := events[0].(domain.ChatSettings); !shows {
		open.limits = c.limitsOf(cmd.Actor, chat, LimitCreate)
		open.gate = GateQuestion{Kind: GateDirect, Actor: cmd.Actor, Chat: chat, Targets: []domain.UserID{cmd.With}}
	}
	done, err := c.run(ctx, open)
	if err != nil {
		return OpenedDirect{}, err
	}
	if !done.Changed { // another call was faster
		done.Seq = 0
	}
	opened.Seq = done.Seq
	return opened, nil
}

// directEntities are the entities of a direct chat of two users, who may be one.
func directEntities(a, b domain.UserID) entitySet {
	if a == b {
		return want(domain.ChatEntity(), domain.MemberEntity(a))
	}
	return want(domain.ChatEntity(), domain.MemberEntity(a), domain.MemberEntity(b))
}

// Block has neither of two users reach the other in their direct chat, which it opens if there is none; or lifts that, which only the user can do who blocked the
// other one. Done already, it changes nothing.
func (c *Chats) Block(ctx context.Context, cmd domain.BlockUser) (Done, error) {
	reason, err := domain.NewReason(cmd.Reason)
	if err := firstError(checkUsers([]domain.UserID{cmd.Actor, cmd.User}), checkCommand(cmd.Command), err); err != nil {
		return Done{}, err
	}
	chat := c.policy.DirectIDs.of(cmd.Actor, cmd.User)
	change := domain.RestrictionChange{Kind: domain.Block, Reason: reason, Lift: cmd.Lift}
	return c.run(ctx, command{
		name: "block", chat: chat, by: cmd.Actor, id: cmd.Command, admits: true,
		wants: directEntities(cmd.Actor, cmd.User),
		decide: func(s *state) ([]domain.Durable, error) {
			return s.theChat().Block(chat, s.member(cmd.Actor), s.member(cmd.User), change, c.now())
		},
		limits: c.limitsOf(cmd.Actor, chat, LimitRestrict),
		args:   arguments{string(cmd.User), string(reason), flagText(cmd.Lift)},
	})
}

// Direct returns the direct chat of two users, in one round trip. It returns [domain.ErrChatNotFound] if they have none.
func (q *Queries) Direct(ctx context.Context, a, b domain.UserID) (domain.Chat, error) {
	if err := checkUsers([]domain.UserID{a, b}); err != nil {
		return domain.Chat{}, err
	}
	entities := []entity.Versioned{{Entity: domain.ChatEntity()}}
	if _, err := q.load(ctx, q.directID.of(a, b), entities); err != nil {
		return domain.Chat{}, err
	}
	c, _ := entities[0].State.(*domain.Chat)
	return *c, nil
}
