package chatcore

import (
	"context"

	"chatcore/app"
	"chatcore/domain"
)

// CachedViewsGroup is the consumer group of [Core.SubscribeBuiltins].
const CachedViewsGroup = "chatcore.cached-views"

// SubscribeBuiltins adds the subscribers that a service runs beside its own: one that drops, for every event, what the event makes
// stale of the messages and chat lists that other programs cache in the same Redis. A core in memory has none.
func (c *Core) SubscribeBuiltins() error {
	views := c.views
	if views == nil {
		views = c.backend.CachedViews()
	}
	if views == nil {
		return nil
	}
	stale := app.NewCachedViews(views, c.Queries)
	return c.Subscribe(CachedViewsGroup, On(func(ctx context.Context, d Delivery[domain.Durable]) error {
		return stale.Handle(ctx, d.Event)
	}))
}
