package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
)

// MaxContacts is how many contacts a user has at most.
const MaxContacts = 1000

const (
	maxContactUsers = 1024   // the same with former members, who are read as well
	maxMemberships  = 10_000 // memberships that one list of contacts reads: about 75 ms of the log's time
	contactChats    = 32     // chats that are read in one step
)

// Contact is a user that another user knows.
type Contact struct {
	User  domain.UserID `json:"userId"`
	Name  string        `json:"name,omitempty"`  // as [ContactsOf] returned it
	Chats int           `json:"chats,omitempty"` // shared chats, of those that were read
}

// ContactsOf returns a user's contacts from a source of the caller's.
type ContactsOf func(ctx context.Context, user domain.UserID) ([]Contact, error)

// Contacts returns a user's contacts: the users who share a chat of up to 256 members with them, those who share most chats first, at most
// [MaxContacts]. It reads the chats with the latest messages, up to 10,000 memberships in all, and leaves out chats with more than 1,024 present and
// former members. With a source of the caller's ([ContactsOf]) it returns what that returns. Contacts are as far as the built-in subscribers have
// come. Those of a caller's source are loaded again after [Queries.ForgetContacts].
func (q *Queries) Contacts(ctx context.Context, user domain.UserID) ([]Contact, error) {
	if err := checkUsers([]domain.UserID{user}); err != nil {
		return nil, err
	}
	switch c := q.caches.Load(); {
	case c != nil:
		return c.contacts.Get(ctx, user)
	case q.contacts != nil:
		return q.contacts(ctx, user)
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

// ContactPage returns a page of what [Queries.Contacts] returns, from the cached list where there is one. A contact that comes into the list before the
// cursor meanwhile is not in a later page.
func (q *Queries) ContactPage(ctx context.Context, user domain.UserID, page domain.Page) (List[Contact], error) {
	page, err := checkPage(page)
	if err != nil {
		return List[Contact]{}, err
	}
	contacts, err := q.Contacts(ctx, user)
	if err != nil {
		return List[Contact]{}, err
	}
	if page.Cursor != "" {
		place, last, ok := strings.Cut(page.Cursor, "=")
		n, err := strconv.Atoi(place)
		if !ok || err != nil || n < 1 || n > MaxContacts {
			return List[Contact]{}, badCursor(page.Cursor)
		}
		for i, c := range contacts { // where the last one is now, or where it was
			if c.User == domain.UserID(last) {
				n = i + 1
			}
		}
		contacts = contacts[min(n, len(contacts)):]
	}
	if len(contacts) <= page.Limit {
		return List[Contact]{Items: contacts}, nil
	}
	skipped := page.Limit
	if place, _, ok := strings.Cut(page.Cursor, "="); ok {
		before, _ := strconv.Atoi(place)
		skipped += before
	}
	contacts = contacts[:page.Limit]
	return List[Contact]{Items: contacts, Next: fmt.Sprintf("%d=%s", skipped, contacts[page.Limit-1].User)}, nil
}

// sharers returns the users who share a chat with a user. It takes about four round trips for each 32 chats.
func (q *Queries) sharers(ctx context.Context, user domain.UserID) ([]Contact, error) {
	chats, err := q.models.ChatsOf(ctx, user)
	if err != nil {
		return nil, err
	}
	order, err := q.models.ByActivity(ctx, chats)
	if err != nil {
		return nil, err
	}
	shared, looked := make(map[domain.UserID]int), 0
	for some := range slices.Chunk(order, contactChats) {
		if looked >= maxMemberships {
			break
		}
		loads, err := q.memberships(ctx, some)
		if err != nil {
			return nil, err
		}
		for _, load := range loads {
			looked += len(load.Entities)
			if err := load.CheckVersions(0); err != nil {
				return nil, err
			}
			countSharers(load.Entities, user, shared)
		}
	}
	contacts := make([]Contact, 0, len(shared))
	for other, n := range shared {
		contacts = append(contacts, Contact{User: other, Chats: n})
	}
	slices.SortFunc(contacts, func(a, b Contact) int { return cmp.Or(cmp.Compare(b.Chats, a.Chats), cmp.Compare(a.User, b.User)) })
	return contacts[:min(len(contacts), MaxContacts)], nil
}

// memberships loads the present and former members of chats that do not have too many of them.
func (q *Queries) memberships(ctx context.Context, chats []projection.Activity) ([]entity.ChatEntities, error) {
	ids := make([]domain.ChatID, len(chats))
	for i, a := range chats {
		ids[i] = a.Chat
	}
	members, err := q.log.MembersOfChats(ctx, maxContactUsers, ids...)
	if err != nil {
		return nil, err
	}
	loads := make([]entity.ChatEntities, 0, len(ids))
	for i, users := range members {
		if len(users) == 0 {
			continue
		}
		entities := make([]entity.Versioned, len(users))
		for k, user := range users {
			entities[k] = entity.Versioned{Entity: domain.MemberEntity(user)}
		}
		q.entities.Cached(ids[i], entities)
		loads = append(loads, entity.ChatEntities{Chat: ids[i], Entities: entities})
	}
	return loads, q.entities.FillChats(ctx, q.log, loads)
}

// countSharers adds a chat to the counts of its present members, if the user is one of them and they are not too many.
func countSharers(members []entity.Versioned, user domain.UserID, shared map[domain.UserID]int) {
	var current []domain.UserID
	here := false
	for _, s := range members {
		if m, _ := s.State.(*domain.Member); m.Current() {
			if m.User == user {
				here = true
			} else {
				current = append(current, m.User)
			}
		}
	}
	if !here || len(current) >= projection.MaxContactChat { // left, and the view does not know yet; or too many
		return
	}
	for _, other := range current {
		shared[other]++
	}
}
