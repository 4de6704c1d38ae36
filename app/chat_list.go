package app

import (
	"context"
	"slices"
	"time"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// ListedChat is a chat as it stands in a user's list.
type ListedChat struct {
	ID       domain.ChatID
	Title    domain.Title
	Archived bool
	Role     domain.Role // the user's
	JoinedAt time.Time
	Unread   domain.Ordinal // messages
	LastAt   time.Time      // when the last message was sent, or the user joined if there is none, or the join is later
	Last     *MessageView   // the last message, also a deleted one; nil if there is none. A page of a filter has it only with ChatFilter.Messages

	Preview ports.LastPreview // the last message as lists show it; zero if there is none. Preview.Preview is empty if no text is kept

	// The fields below are those of pages.
	Mentions   int // unread messages of the main timeline that mention the user: see [UnreadMentions]
	Metadata   map[string]domain.JSON
	Kind       domain.ChatKind
	Peer       domain.UserID // the other participant of a direct chat
	Favourite  bool
	Hidden     bool // now
	Notify     domain.NotifyLevel
	MutedUntil time.Time // zero, or in the past, if notifications are not muted
}

func noEntities(domain.ChatID) []entity.Versioned { return nil }

// membershipOf returns the entity of a user's membership of each chat.
func membershipOf(user domain.UserID) func(domain.ChatID) []entity.Versioned {
	return func(domain.ChatID) []entity.Versioned { return []entity.Versioned{{Entity: domain.MemberEntity(user)}} }
}

// cachedChat is the same in the form of other programs. Unread counts change with every message, and have other keys.
type cachedChat struct {
	ChatID   domain.ChatID `json:"chatId"`
	Title    domain.Title  `json:"title"`
	Archived bool          `json:"archived"`
	Role     string        `json:"role"`
	JoinedAt time.Time     `json:"joinedAt"`
}

func roleOf(name string) (domain.Role, bool) {
	for _, role := range []domain.Role{domain.RoleMember, domain.RoleAdmin, domain.RoleOwner} {
		if name == role.String() {
			return role, true
		}
	}
	return domain.NoRole, false
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// ChatList returns all chats of a user with title, role, unread count and last message, the chat with the latest message or join first. The set of chats,
// titles and roles come from the built-in subscribers' read model: a moment behind the log. Unread counts and last messages are as of now. It takes a
// few round trips for each 64 chats, and about 40 µs of the log's time for each chat. The cost of [Queries.ChatListPage] follows the size of the
// page.
func (q *Queries) ChatList(ctx context.Context, user domain.UserID) ([]ListedChat, error) {
	return q.chatList(ctx, user, noEntities)
}

// chatList is ChatList. If memberships are loaded with the last messages, it leaves out the chats that the user is no member of now.
func (q *Queries) chatList(ctx context.Context, user domain.UserID, memberships func(domain.ChatID) []entity.Versioned) ([]ListedChat, error) {
	if err := checkUsers([]domain.UserID{user}); err != nil {
		return nil, err
	}
	if q.models.Views().Chats == nil {
		return nil, q.models.NoView("WithUserViews")
	}
	var cached []cachedChat
	var err error
	if c := q.caches.Load(); c != nil {
		cached, err = c.lists.Get(ctx, user)
	} else {
		cached, err = q.listed(ctx, user)
	}
	if err != nil {
		return nil, err
	}
	ids := make([]domain.ChatID, len(cached))
	for i, chat := range cached {
		ids[i] = chat.ChatID
	}
	unread, err := q.models.UnreadIn(ctx, user, ids)
	if err != nil {
		return nil, err
	}
	last, err := q.models.LastMessages(ctx, ids)
	if err != nil {
		return nil, err
	}
	list := make([]ListedChat, len(cached))
	for i, chat := range cached {
		role, _ := roleOf(chat.Role)
		list[i] = ListedChat{ID: chat.ChatID, Title: chat.Title, Archived: chat.Archived, Role: role, JoinedAt: chat.JoinedAt, Unread: unread[chat.ChatID], LastAt: later(last[i].At, chat.JoinedAt)}
	}
	err = q.lastViews(ctx, ids, memberships, func(i int, last *MessageView, membership []entity.Versioned) {
		if len(membership) > 0 {
			if m, _ := membership[0].State.(*domain.Member); !m.Current() {
				list[i] = ListedChat{}
				return
			}
		}
		if last != nil {
			list[i].Last, list[i].Preview, list[i].LastAt = last, q.models.PreviewOf(last.Message), later(domain.Instant(last.SentAt), list[i].JoinedAt)
		}
	})
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(c ListedChat) bool { return c.ID == "" })
	slices.SortFunc(list, newerChat)
	return list, nil
}
