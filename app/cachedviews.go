package app

import (
	"context"

	"chatcore/domain"
	"chatcore/ports"
)

// CachedViews drops what an event makes stale of what other programs cache: a message's state, users' chat lists. Handling an event
// again does no harm.
type CachedViews struct {
	views   ports.CachedViews
	queries *Queries
}

// NewCachedViews drops from the given caches.
func NewCachedViews(views ports.CachedViews, queries *Queries) *CachedViews {
	return &CachedViews{views: views, queries: queries}
}

// Handle drops what the event makes stale.
func (c *CachedViews) Handle(ctx context.Context, e domain.Durable) error {
	switch e := e.(type) {
	case domain.MessageEdit:
		return c.views.DropMessage(ctx, e.Message)
	case domain.MessageDelete:
		return c.views.DropMessage(ctx, e.Message)
	case domain.MessageReaction:
		return c.views.DropMessage(ctx, e.Message)
	case domain.ChatUpdate:
		return c.chatChanged(ctx, e)
	}
	return nil
}

func (c *CachedViews) chatChanged(ctx context.Context, e domain.ChatUpdate) error {
	switch e.Change {
	case domain.Created:
		return c.views.DropChatLists(ctx, e.Actor)
	case domain.MemberAdded, domain.MemberRemoved, domain.RoleChanged:
		return c.views.DropChatLists(ctx, e.User)
	case domain.Renamed, domain.Archived, domain.Unarchived:
		members, err := c.queries.Members(ctx, e.Chat)
		if err != nil {
			return err
		}
		users := make([]domain.UserID, len(members))
		for i, m := range members {
			users[i] = m.User
		}
		return c.views.DropChatLists(ctx, users...)
	}
	return nil
}
