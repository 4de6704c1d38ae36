package redis

import (
	"context"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
	"chatcore/ports"
)

// CachedViews are the keys under which other programs cache messages and chat lists, as the wire contract names them.
type CachedViews struct {
	client goredis.UniversalClient
	keys   Keys
}

var _ ports.CachedViews = (*CachedViews)(nil)

// NewCachedViews finds the views under the names of keys.
func NewCachedViews(client goredis.UniversalClient, keys Keys) *CachedViews {
	return &CachedViews{client: client, keys: keys}
}

// DropMessage implements [ports.CachedViews].
func (c *CachedViews) DropMessage(ctx context.Context, id domain.MessageID) error {
	return unavailable(ctx, c.client.Unlink(ctx, c.keys.message(id)).Err())
}

// DropChatLists implements [ports.CachedViews]: key by key, because on a Cluster they lie in different slots.
func (c *CachedViews) DropChatLists(ctx context.Context, users ...domain.UserID) error {
	if len(users) == 0 {
		return nil
	}
	_, err := c.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for _, user := range users {
			p.Unlink(ctx, c.keys.chatList(user))
		}
		return nil
	})
	return unavailable(ctx, err)
}
