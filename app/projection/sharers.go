package projection

import (
	"context"
	"slices"

	"chatcore/domain"
	"chatcore/ports"
)

// sharersTogether is how many users' chats are read in one step: it bounds the memory that a question about thousands of users takes.
const sharersTogether = 64

// Sharers returns the user, and those of the others that share a chat with the user, as far as the built-in subscriber has come. It reads the chats of
// the user and of each other user once: one round trip, and one for each 64 other users if the view is a [ports.UserViewBulkReader]. It returns
// [ErrNoViews] where no process has ever run the built-in subscriber, unless there is no other user.
func (m *Models) Sharers(ctx context.Context, user domain.UserID, others []domain.UserID) (map[domain.UserID]struct{}, error) {
	sharers := map[domain.UserID]struct{}{user: {}}
	others = slices.DeleteFunc(domain.EachOnce(others), func(other domain.UserID) bool { return other == user })
	if len(others) == 0 {
		return sharers, nil
	}
	own, err := m.ChatsOf(ctx, user)
	if err != nil || len(own) == 0 {
		return sharers, err
	}
	for some := range slices.Chunk(others, sharersTogether) {
		theirs, err := m.chatsOfUsers(ctx, some)
		if err != nil {
			return nil, err
		}
		for i, other := range some {
			if slices.ContainsFunc(own, func(chat domain.ChatID) bool { _, shared := theirs[i][chat]; return shared }) {
				sharers[other] = struct{}{}
			}
		}
	}
	return sharers, nil
}

// chatsOfUsers returns the chats of each of the users, in their order. The view exists.
func (m *Models) chatsOfUsers(ctx context.Context, users []domain.UserID) ([]map[domain.ChatID]uint64, error) {
	if bulk, ok := m.views.Chats.(ports.UserViewBulkReader); ok {
		return bulk.OfUsers(ctx, m.views.Log, users...)
	}
	chats := make([]map[domain.ChatID]uint64, len(users))
	for i, user := range users {
		var err error
		if chats[i], err = m.views.Chats.Of(ctx, m.views.Log, user); err != nil {
			return nil, err
		}
	}
	return chats, nil
}
