package app

import (
	"context"
	"errors"

	"chatcore/app/entity"
	"chatcore/domain"
)

// outsider reports whether the command needs the actor's membership, and the actor is no member.
func (s *state) outsider(by domain.UserID, unread map[int]*entity.Unreadable) bool {
	for i := range s.entities {
		if s.entities[i].Entity == domain.MemberEntity(by) {
			m, _ := s.entities[i].State.(*domain.Member)
			return unread[i] == nil && !m.Current()
		}
	}
	return false
}

// askGate asks the gate about a call, once, unless the actor is an outsider: the command's rules refuse those. About a command that admits outsiders it asks
// if the rules allow it. It returns the gate's error. It reports
// whether the entities must be loaded before anything is decided: cached entities may be stale, and a former member must not learn of the gate.
func (c *Chats) askGate(ctx context.Context, cmd *command, s *state, fresh bool) (reload bool, err error) {
	if cmd.admits {
		if _, refusal := cmd.decide(s); refusal != nil {
			return !fresh, nil
		}
	} else if s.outsider(cmd.by, nil) {
		return !fresh, nil
	}
	if !cmd.gateAsked {
		cmd.gateAsked, cmd.gateAnswer = true, c.policy.Gate.ask(ctx, cmd.gate)
	}
	if cmd.gateAnswer != nil && !fresh && s.entity(domain.MemberEntity(cmd.by)) != nil {
		return true, nil
	}
	return false, cmd.gateAnswer
}

// changesNothing reports whether the rules accept a command, and it has no events: a message that is recorded, for example.
func (s *state) changesNothing(cmd *command) bool {
	events, err := cmd.decide(s)
	return err == nil && len(events) == 0
}

// hideFromOutsider returns the command's refusal if the actor is an outsider, and err otherwise: limits that are taken by themselves check no
// membership. It is one round trip.
func (c *Chats) hideFromOutsider(ctx context.Context, cmd *command, err error) error {
	s := newState(cmd)
	if s.entity(domain.MemberEntity(cmd.by)) == nil {
		return err
	}
	c.entities.Cached(cmd.chat, s.entities)
	switch loadErr := c.load(ctx, cmd, s); {
	case errors.Is(loadErr, domain.ErrNotMember):
		return loadErr
	case loadErr != nil || !s.outsider(cmd.by, nil):
		return err
	}
	if _, refusal := cmd.decide(s); refusal != nil {
		return refusal
	}
	return err
}

// refusesOutsider reports whether an error is how a command with limits refuses an outsider. None of these commands is refused because another user is
// no member.
func refusesOutsider(err error) bool {
	return errors.Is(err, domain.ErrNotMember) || errors.Is(err, domain.ErrChatNotFound)
}
