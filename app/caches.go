package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"

	"chatcore/app/cache"
	"chatcore/domain"
	"chatcore/ports"
)

// Caches share results of queries with other programs, and serve queries in processes that invalidate them: a message, the chats of a user, a user's
// contacts. Commands never read them.
//
// A chat's own entities are not among them: the process has their states, and validating these with the log costs one round trip, as reading a cache
// that may be stale would.
type Caches struct {
	queries  *Queries
	messages *cache.Cache[messageKey, cachedMessage]
	lists    *cache.Cache[domain.UserID, []cachedChat]
	contacts *cache.Cache[domain.UserID, []Contact]
}

// CacheKinds say how the caches are kept.
type CacheKinds struct{ Message, ChatList, ContactList cache.Config }

// NewCaches returns caches of query results in a store.
func NewCaches(store ports.CacheStore, clock ports.Clock, kinds CacheKinds, queries *Queries) (*Caches, error) {
	contacts := queries.views.Contacts
	if contacts == nil {
		contacts = queries.sharers
	}
	user := func(id domain.UserID) string { return string(id) }
	c := &Caches{queries: queries}
	origin := queries.origin()
	contactsOrigin := origin
	if queries.views.Contacts != nil { // they are not made from the log
		contactsOrigin = nil
	}
	var errs [3]error
	c.messages, errs[0] = cache.New(store, clock, kinds.Message, cache.Source[messageKey, cachedMessage]{
		Load: queries.cacheable, Key: func(id messageKey) string { return string(id.id) }, Origin: origin,
		Belongs: func(id messageKey, m cachedMessage) bool {
			return m.ChatID == id.chat && m.MessageID == id.id && m.Version > 0
		},
	})
	c.lists, errs[1] = cache.New(store, clock, kinds.ChatList, cache.Source[domain.UserID, []cachedChat]{
		Load: queries.listed, Key: user, Origin: origin,
		Belongs: func(_ domain.UserID, list []cachedChat) bool {
			for _, chat := range list {
				if _, known := roleOf(chat.Role); chat.ChatID == "" || !known {
					return false
				}
			}
			return true
		},
	})
	c.contacts, errs[2] = cache.New(store, clock, kinds.ContactList, cache.Source[domain.UserID, []Contact]{
		Load: func(ctx context.Context, user domain.UserID) ([]Contact, error) {
			found, err := contacts(ctx, user)
			if found == nil && err == nil {
				found = []Contact{}
			}
			return found, err
		},
		Key: user, Origin: contactsOrigin,
	})
	return c, errors.Join(errs[:]...)
}

// origin names the source of values made from the log: the log's history or, if it has none, the log.
func (q *Queries) origin() func(context.Context) string {
	if log, ok := q.log.(ports.Histories); ok {
		return log.History
	}
	id := sha256.Sum256([]byte(q.views.Log)) // which may be any text
	name := hex.EncodeToString(id[:16])
	return func(context.Context) string { return name }
}

// Answer makes the queries use the caches: for processes that invalidate them ([StaleCaches]).
func (c *Caches) Answer(queries *Queries) {
	queries.entities.moves.on.Store(true)
	queries.caches.Store(c)
}

// Stats are counts by the kind's name.
func (c *Caches) Stats() map[string]cache.Stats {
	return map[string]cache.Stats{"message": c.messages.Stats(), "chat_list": c.lists.Stats(), "contact_list": c.contacts.Stats()}
}

// Close ends the loads of the caches.
func (c *Caches) Close() {
	var ended sync.WaitGroup
	for _, end := range []func(){c.messages.Close, c.lists.Close, c.contacts.Close} {
		ended.Go(end)
	}
	ended.Wait()
}

// StaleCaches invalidates the cached values that events make stale. Handling an event again, or late, is harmless.
type StaleCaches struct {
	caches *Caches
	chats  *UserChats // nil if it is not kept which chats users are in

	interrupted interrupted
}

// NewStaleCaches forgets from the given caches.
func NewStaleCaches(caches *Caches) *StaleCaches {
	s := &StaleCaches{caches: caches}
	if caches.queries.views.Chats != nil {
		s.chats = NewUserChats(caches.queries)
	}
	return s
}

// Handle invalidates the values that the event makes stale. An event that is in no log makes none stale.
func (s *StaleCaches) Handle(ctx context.Context, d ports.Delivery) error {
	moved := func(chat domain.ChatID, id domain.MessageID) error {
		if d.ID.Seq == 0 {
			return nil
		}
		return s.caches.messages.InvalidateBefore(ctx, uint64(d.ID.Seq), messageKey{chat, id})
	}
	switch e := d.Event.(type) {
	case domain.MessageEdit:
		return moved(e.Chat, e.Message)
	case domain.MessageDelete:
		return moved(e.Chat, e.Message)
	case domain.MessageReaction:
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
		return s.caches.lists.Invalidate(ctx, e.User)
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
	err := s.caches.lists.Invalidate(ctx, user)
	if err != nil {
		return err
	}
	users := []domain.UserID{user}
	members, err := s.caches.queries.membersUpTo(ctx, e.Chat, maxContactChat)
	switch {
	case errors.Is(err, domain.ErrChatNotFound): // nor is a chat that is lost
	case errors.Is(err, errTooMany): // they are nobody's contacts by this chat, or will not be when their lists have had their time
	case err != nil:
		return err
	default:
		users = append(users, usersOf(members)...)
	}
	return s.caches.contacts.Invalidate(ctx, users...)
}

func usersOf(members []domain.Member) []domain.UserID {
	users := make([]domain.UserID, len(members))
	for i, m := range members {
		users[i] = m.User
	}
	return users
}
