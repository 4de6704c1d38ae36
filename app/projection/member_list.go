package projection

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"chatcore/app/entity"
	"chatcore/domain"
)

// errTooMany is a chat of more members than were asked for.
var errTooMany = errors.New("too many members")

// Members returns a chat's members in the order in which they joined. It returns an error if there are more than most, and [domain.ErrChatNotFound] if
// there is no such chat.
func (m *Models) Members(ctx context.Context, chat domain.ChatID, most int) ([]domain.Member, error) {
	if _, err := m.entities.Read(ctx, chat, nil); err != nil {
		return nil, err
	}
	const together = 128 // members loaded in one step
	var members []domain.Member
	var entities []entity.Versioned
	load := func() error {
		if _, err := m.entities.Read(ctx, chat, entities); err != nil {
			return err
		}
		for _, s := range entities {
			if member, _ := s.State.(*domain.Member); member.Current() {
				members = append(members, *member)
			}
		}
		entities = entities[:0]
		if len(members) > most {
			return errTooMany
		}
		return nil
	}
	for user, err := range m.log.Members(ctx, chat) {
		if err != nil {
			return nil, err
		}
		if entities = append(entities, entity.Versioned{Entity: domain.MemberEntity(user)}); len(entities) == together {
			if err := load(); err != nil {
				return nil, err
			}
		}
	}
	if len(entities) > 0 {
		if err := load(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(members, func(a, b domain.Member) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.User, b.User))
	})
	return members, nil
}
