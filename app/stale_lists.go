package app

import (
	"context"
	"sync"

	"chatcore/domain"
	"chatcore/ports"
)

const (
	maxStaleLists  = 1024 // members of a chat whose cached lists a change of the chat makes stale
	stalePage      = 256  // cached lists that are invalidated in one step
	maxInterrupted = 64   // chats whose interrupted invalidation is remembered
)

// interrupted holds the users that an interrupted invalidation has not reached, so that the next attempt at the same event continues there. Another
// process begins anew, which is harmless.
type interrupted struct {
	// mu guards: left.
	mu   sync.Mutex
	left map[ports.DeliveryID][]domain.UserID
}

// take returns and removes the remainder of an earlier attempt.
func (i *interrupted) take(id ports.DeliveryID) ([]domain.UserID, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	users, known := i.left[id]
	delete(i.left, id)
	return users, known
}

func (i *interrupted) put(id ports.DeliveryID, users []domain.UserID) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.left == nil {
		i.left = make(map[ports.DeliveryID][]domain.UserID)
	}
	if len(i.left) >= maxInterrupted {
		for other := range i.left { // any: it begins anew
			delete(i.left, other)
			break
		}
	}
	i.left[id] = users
}

// invalidateLists invalidates the chat lists of all present and former members of the delivery's chat, of the first 1,024 that the log names if they
// are more: the lists of the others have the old title until their time is up. Only other programs see it; the pages of [Queries.ChatListPage] have
// the title of the log. It loads no member's state: the list of a former member is invalidated in vain, which is cheaper than a check. It ends within
// one page after ctx has, and continues there when it is called again for the same delivery.
func (s *StaleCaches) invalidateLists(ctx context.Context, id ports.DeliveryID, chat domain.ChatID) error {
	users, resumed := s.interrupted.take(id)
	if !resumed {
		for user, err := range s.caches.queries.log.Members(ctx, chat) {
			if err != nil {
				return err
			}
			if users = append(users, user); len(users) == maxStaleLists {
				break
			}
		}
	}
	for len(users) > 0 {
		page := users[:min(len(users), stalePage)]
		if err := s.caches.lists.Invalidate(ctx, page...); err != nil {
			if id.Seq > 0 { // otherwise another event may have the same id
				s.interrupted.put(id, users)
			}
			return err
		}
		users = users[len(page):]
	}
	return nil
}
