package app

import (
	"context"
	"fmt"

	"chatcore/app/entity"
	"chatcore/domain"
)

// maxSuccessors is the number of present and former members among which a successor is looked for.
const maxSuccessors = 4096

// successor returns the admin, or without admins the member, who joined a chat first; "" if nobody but a user is a member.
func (q *Queries) successor(ctx context.Context, chat domain.ChatID, of domain.UserID) (domain.UserID, error) {
	var best domain.Member
	var some []entity.Versioned
	choose := func() error {
		if len(some) == 0 {
			return nil
		}
		_, err := q.load(ctx, chat, some)
		for _, s := range some {
			if m, _ := s.State.(*domain.Member); m != nil && m.User != of && precedes(*m, best) {
				best = *m
			}
		}
		some = some[:0]
		return err
	}
	n := 0
	for user, err := range q.log.Members(ctx, chat) {
		if err != nil {
			return "", err
		}
		if n++; n > maxSuccessors {
			if err := choose(); err != nil || best.Role == domain.RoleAdmin {
				return best.User, err
			}
			return "", &domain.Refusal{Reason: domain.ErrLastOwner, Detail: fmt.Sprintf("chat %q has no admin among %d members; name a successor of user %q", chat, maxSuccessors, of)}
		}
		if some = append(some, entity.Versioned{Entity: domain.MemberEntity(user)}); len(some) == chatsTogether {
			if err := choose(); err != nil {
				return "", err
			}
		}
	}
	err := choose()
	return best.User, err
}

// precedes reports whether a member succeeds rather than another one, who may be none.
func precedes(m, other domain.Member) bool {
	switch {
	case !m.Current():
		return false
	case m.Role != other.Role:
		return m.Role > other.Role
	}
	return m.Since < other.Since
}
