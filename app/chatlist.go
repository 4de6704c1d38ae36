package app

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"chatcore/domain"
)

// chatsTogether is how many chats are looked into side by side.
const chatsTogether = 8

// ListedChat is a chat as it stands in a user's list.
type ListedChat struct {
	ID       domain.ChatID
	Title    domain.Title
	Archived bool
	Role     domain.Role // the user's
	JoinedAt time.Time
	Unread   domain.Ordinal // messages
	LastAt   time.Time      // when the last message was sent, or the chat created if there is none
	Last     *MessageView   // the last message, also a deleted one; nil if there is none
}

func noSlots(domain.ChatID) []slot { return nil }

// setLast sets the last message, if there is one.
func (c *ListedChat) setLast(last *MessageView) {
	if last != nil {
		c.Last, c.LastAt = last, domain.Instant(last.SentAt)
	}
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

// ChatList returns all chats of a user with title, role, unread count and last message, the chat with the latest message first. The set of chats,
// titles and roles come from the built-in subscribers' read model: a moment behind the log. Unread counts and last messages are as of now. It takes a
// few round trips for each 64 chats, and about 40 µs of the log's time for each chat. The cost of [Queries.ChatListPage] follows the size of the
// page.
func (q *Queries) ChatList(ctx context.Context, user domain.UserID) ([]ListedChat, error) {
	if err := checkUsers([]domain.UserID{user}); err != nil {
		return nil, err
	}
	if q.views.Chats == nil {
		return nil, ErrNoViews
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
	unread, err := q.unreadIn(ctx, user, ids)
	if err != nil {
		return nil, err
	}
	last, err := q.lastMessages(ctx, ids)
	if err != nil {
		return nil, err
	}
	list := make([]ListedChat, len(cached))
	for i, chat := range cached {
		role, _ := roleOf(chat.Role)
		list[i] = ListedChat{ID: chat.ChatID, Title: chat.Title, Archived: chat.Archived, Role: role, JoinedAt: chat.JoinedAt, Unread: unread[chat.ChatID], LastAt: last[i].At}
	}
	if err := q.lastViews(ctx, ids, noSlots, func(i int, last *MessageView, _ []slot) { list[i].setLast(last) }); err != nil {
		return nil, err
	}
	slices.SortFunc(list, newerChat)
	return list, nil
}

// maxContactChat is how many members a chat has at most for its members to be each other's contacts.
const maxContactChat = 256

// MaxContacts is how many contacts are given of a user.
const MaxContacts = 1000

// Contact is someone that a user knows.
type Contact struct {
	User  domain.UserID `json:"userId"`
	Name  string        `json:"name,omitempty"`  // as a team's own contacts have it
	Chats int           `json:"chats,omitempty"` // that both are in
}

// ContactsOf returns a user's contacts.
type ContactsOf func(ctx context.Context, user domain.UserID) ([]Contact, error)

// Contacts returns a user's contacts: the users that share a chat of up to 256 members, those that share most first, at most [MaxContacts]; or those
// of a custom source. They follow the built-in subscribers' read model; [Queries.ForgetContacts] invalidates those of a custom source.
func (q *Queries) Contacts(ctx context.Context, user domain.UserID) ([]Contact, error) {
	if err := checkUsers([]domain.UserID{user}); err != nil {
		return nil, err
	}
	switch c := q.caches.Load(); {
	case c != nil:
		return c.contacts.Get(ctx, user)
	case q.views.Contacts != nil:
		return q.views.Contacts(ctx, user)
	}
	return q.sharers(ctx, user)
}

// ForgetContacts has the contacts of users looked up anew.
func (q *Queries) ForgetContacts(ctx context.Context, users ...domain.UserID) error {
	if err := checkUsers(users); err != nil {
		return err
	}
	if c := q.caches.Load(); c != nil {
		return c.contacts.Invalidate(ctx, users...)
	}
	return nil
}

// sharers returns the users that share a chat with a user.
func (q *Queries) sharers(ctx context.Context, user domain.UserID) ([]Contact, error) {
	chats, err := q.ChatsOf(ctx, user)
	if err != nil {
		return nil, err
	}
	members := make([][]domain.Member, len(chats))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(chatsTogether)
	for i, chat := range chats {
		group.Go(func() (err error) {
			members[i], err = q.membersUpTo(ctx, chat, maxContactChat)
			if errors.Is(err, errTooMany) || errors.Is(err, domain.ErrChatNotFound) {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	shared := make(map[domain.UserID]int)
	for _, of := range members {
		if !slices.ContainsFunc(of, func(m domain.Member) bool { return m.User == user }) {
			continue // left, and the view does not know yet
		}
		for _, m := range of {
			shared[m.User]++
		}
	}
	delete(shared, user)
	contacts := make([]Contact, 0, len(shared))
	for other, n := range shared {
		contacts = append(contacts, Contact{User: other, Chats: n})
	}
	slices.SortFunc(contacts, func(a, b Contact) int { return cmp.Or(cmp.Compare(b.Chats, a.Chats), cmp.Compare(a.User, b.User)) })
	return contacts[:min(len(contacts), MaxContacts)], nil
}
