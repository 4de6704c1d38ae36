package projection

import (
	"context"
	"errors"
	"sync"

	"chatcore/domain"
	"chatcore/ports"
)

// MaxContactChat is the most members of a chat whose members are contacts of each other.
const MaxContactChat = 256

const (
	maxStaleLists  = 1024 // members of a chat whose cached lists a change of the chat makes stale
	stalePage      = 256  // cached lists that are invalidated in one step
	maxInterrupted = 64   // chats whose interrupted invalidation is remembered
)

// CachedAnswers are cached answers about messages and users. After an invalidation, an answer is loaded again.
type CachedAnswers interface {
	// InvalidateMessage invalidates a message if the cached one is of a version before the given seq.
	InvalidateMessage(ctx context.Context, chat domain.ChatID, id domain.MessageID, before domain.Seq) error
	// InvalidateChatLists invalidates the chat lists of users.
	InvalidateChatLists(ctx context.Context, users ...domain.UserID) error
	// InvalidateContacts invalidates the contacts of users.
	InvalidateContacts(ctx context.Context, users ...domain.UserID) error
}

// StaleCaches invalidates the cached values that events make stale. Handling an event again, or late, is harmless.
type StaleCaches struct {
	models *Models
	caches CachedAnswers
	chats  *UserChats // nil if it is not kept which chats users are in

	interrupted interrupted
}

// NewStaleCaches invalidates values of the given caches.
func NewStaleCaches(models *Models, caches CachedAnswers) *StaleCaches {
	s := &StaleCaches{models: models, caches: caches}
	if models.views.Chats != nil {
		s.chats = NewUserChats(models)
	}
	return s
}

// Handle invalidates the values that the event makes stale. An event that is in no log makes none stale.
func (s *StaleCaches) Handle(ctx context.Context, d ports.Delivery) error {
	moved := func(chat domain.ChatID, id domain.MessageID) error {
		if d.ID.Seq == 0 {
			return nil
		}
		return s.caches.InvalidateMessage(ctx, chat, id, d.ID.Seq)
	}
	switch e := d.Event.(type) {
	case domain.MessageEdit:
		return moved(e.Chat, e.Message)
	case domain.MessageDelete:
		return moved(e.Chat, e.Message)
	case domain.MessageErased:
		return moved(e.Chat, e.Message)
	case domain.MessageReaction:
		return moved(e.Chat, e.Message)
	case domain.MessagePin:
		return moved(e.Chat, e.Message)
	case domain.ChatUpdate:
		return s.chatChanged(ctx, d, e)
	}
	return nil
}

func (s *StaleCaches) chatChanged(ctx context.Context, d ports.Delivery, e domain.ChatUpdate) error {
	switch e.Change {
	case domain.Created, domain.MemberAdded, domain.MemberRemoved:
		return s.membershipChanged(ctx, d, e)
	case domain.RoleChanged:
		return s.caches.InvalidateChatLists(ctx, e.User)
	case domain.Renamed, domain.Archived, domain.Unarchived:
		return s.invalidateLists(ctx, d.ID, e.Chat)
	}
	return nil
}

// membershipChanged first updates the view by user: later loads are then current. It changes nothing if the view's own subscriber was first.
func (s *StaleCaches) membershipChanged(ctx context.Context, d ports.Delivery, e domain.ChatUpdate) error {
	if s.chats != nil {
		if err := s.chats.apply(ctx, d); err != nil {
			return err
		}
	}
	user := e.User
	if e.Change == domain.Created {
		user = e.Actor
	}
	err := s.caches.InvalidateChatLists(ctx, user)
	if err != nil {
		return err
	}
	users := []domain.UserID{user}
	members, err := s.models.Members(ctx, e.Chat, MaxContactChat)
	switch {
	case errors.Is(err, domain.ErrChatNotFound): // nor is a chat that is lost
	case errors.Is(err, errTooMany): // they are nobody's contacts by this chat, or will not be when their lists have had their time
	case err != nil:
		return err
	default:
		users = append(users, usersOf(members)...)
	}
	return s.caches.InvalidateContacts(ctx, users...)
}

func usersOf(members []domain.Member) []domain.UserID {
	users := make([]domain.UserID, len(members))
	for i, m := range members {
		users[i] = m.User
	}
	return users
}

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
// are more: the lists of the others have the old title until their time is up. Only other programs see it; the pages of a chat list have
// the title of the log. It loads no member's state: the list of a former member is invalidated in vain, which is cheaper than a check. It ends within
// one page after ctx has, and continues there when it is called again for the same delivery.
func (s *StaleCaches) invalidateLists(ctx context.Context, id ports.DeliveryID, chat domain.ChatID) error {
	users, resumed := s.interrupted.take(id)
	if !resumed {
		for user, err := range s.models.log.Members(ctx, chat) {
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
		if err := s.caches.InvalidateChatLists(ctx, page...); err != nil {
			if id.Seq > 0 { // otherwise another event may have the same id
				s.interrupted.put(id, users)
			}
			return err
		}
		users = users[len(page):]
	}
	return nil
}
