package projection

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"chatcore/domain"
)

// sharersTogether is how many users' chats are read at a time.
const sharersTogether = 16

// Sharers returns the user, and those of the others that share a chat with the user, as far as the built-in subscriber has come. It reads the chats of
// the user and of each other user once. It returns [ErrNoViews] where no process has ever run the built-in subscriber, unless there is no other user.
func (m *Models) Sharers(ctx context.Context, user domain.UserID, others []domain.UserID) (map[domain.UserID]struct{}, error) {
	sharers := map[domain.UserID]struct{}{user: {}}
	unknown := make(map[domain.UserID]struct{})
	for _, other := range others {
		if other != user {
			unknown[other] = struct{}{}
		}
	}
	if len(unknown) == 0 {
		return sharers, nil
	}
	own, err := m.ChatsOf(ctx, user)
	if err != nil || len(own) == 0 {
		return sharers, err
	}
	chats := make(map[domain.ChatID]struct{}, len(own))
	for _, chat := range own {
		chats[chat] = struct{}{}
	}
	var mu sync.Mutex // guards: sharers
	reads, ctx := errgroup.WithContext(ctx)
	reads.SetLimit(sharersTogether)
	for other := range unknown {
		reads.Go(func() error {
			theirs, err := m.ChatsOf(ctx, other)
			if err != nil {
				return err
			}
			for _, chat := range theirs {
				if _, shared := chats[chat]; shared {
					mu.Lock()
					defer mu.Unlock()
					sharers[other] = struct{}{}
					return nil
				}
			}
			return nil
		})
	}
	return sharers, reads.Wait()
}
