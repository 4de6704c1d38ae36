package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"

	"chatcore/app/cache"
	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// Caches share results of queries with other programs, and serve queries in processes that invalidate them: a message, the chats of a user, a user's
// contacts. Commands never read them.
//
// A chat's own entities are not among them: the process has their states, and validating these with the log costs one round trip, as reading a cache
// that may be stale would.
type Caches struct {
	messages *cache.Cache[entity.MessageKey, cachedMessage]
	lists    *cache.Cache[domain.UserID, []cachedChat]
	contacts *cache.Cache[domain.UserID, []Contact]
}

// CacheKinds say how the caches are kept.
type CacheKinds struct{ Message, ChatList, ContactList cache.Config }

// NewCaches returns caches of the results of queries in a store. The queries do not use them before [Queries.UseCaches].
func NewCaches(store ports.CacheStore, clock ports.Clock, kinds CacheKinds, queries *Queries) (*Caches, error) {
	source := queries.uncached()
	contacts := source.contacts
	if contacts == nil {
		contacts = source.sharers
	}
	user := func(id domain.UserID) string { return string(id) }
	c := &Caches{}
	origin := source.origin()
	contactsOrigin := origin
	if source.contacts != nil { // they are not made from the log
		contactsOrigin = nil
	}
	var errs [3]error
	c.messages, errs[0] = cache.New(store, clock, kinds.Message, cache.Source[entity.MessageKey, cachedMessage]{
		Load: source.cacheable, Key: func(id entity.MessageKey) string { return string(id.ID) }, Origin: origin,
		Belongs: func(id entity.MessageKey, m cachedMessage) bool {
			return m.ChatID == id.Chat && m.MessageID == id.ID && m.Version > 0
		},
	})
	c.lists, errs[1] = cache.New(store, clock, kinds.ChatList, cache.Source[domain.UserID, []cachedChat]{
		Load: source.listed, Key: user, Origin: origin,
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
	id := sha256.Sum256([]byte(q.models.Views().Log)) // which may be any text
	name := hex.EncodeToString(id[:16])
	return func(context.Context) string { return name }
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

// InvalidateMessage invalidates the cached message if it is of a version before the given seq.
func (c *Caches) InvalidateMessage(ctx context.Context, chat domain.ChatID, id domain.MessageID, before domain.Seq) error {
	return c.messages.InvalidateBefore(ctx, uint64(before), entity.MessageKey{Chat: chat, ID: id})
}

// InvalidateChatLists invalidates the cached chat lists of users.
func (c *Caches) InvalidateChatLists(ctx context.Context, users ...domain.UserID) error {
	return c.lists.Invalidate(ctx, users...)
}

// InvalidateContacts invalidates the cached contacts of users.
func (c *Caches) InvalidateContacts(ctx context.Context, users ...domain.UserID) error {
	return c.contacts.Invalidate(ctx, users...)
}
