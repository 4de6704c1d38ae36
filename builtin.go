package chatcore

import (
	"context"

	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// The consumer groups of [Core.SubscribeBuiltins].
const (
	CachedViewsGroup = "chatcore.cached-views"
	UserChatsGroup   = "chatcore.user-chats"
	UnreadGroup      = "chatcore.unread"
)

// SubscribeBuiltins adds the subscribers that a service runs beside its own, each a consumer group: one that keeps which chats each user is
// in, for [app.Queries.ChatsOf]; one that keeps how many messages each has not read, for [app.Queries.UnreadOf] and for other programs;
// and one that forgets, for every event, what the event makes stale of the messages, chat lists and contacts that are cached, also by other
// programs in the same Redis. Once the core runs, its queries are answered from these caches. A core on a log of the team's own keeps of users,
// and caches, only where options say.
func (c *Core) SubscribeBuiltins() error {
	if c.kept.Chats != nil {
		if err := c.project(UserChatsGroup, app.NewUserChats(c.Queries).Handle); err != nil {
			return err
		}
	}
	if c.kept.Unread != nil {
		if err := c.project(UnreadGroup, app.NewUnreadCounts(c.Queries).Handle); err != nil {
			return err
		}
	}
	if c.caches == nil {
		return nil
	}
	stale := app.NewStaleCaches(c.caches)
	if err := c.Subscribe(CachedViewsGroup, builtin(), On(handling(stale.Handle))); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers = true
	return nil
}

// project adds a projection: what the log says from its first event on is what it has to come to. An event that cannot be handled holds up its
// chat: what followed would not make good for it.
func (c *Core) project(group string, handle func(context.Context, ports.Delivery) error) error {
	return c.Subscribe(group, builtin(), FromBeginning(), OnPoison(Park), On(handling(handle)))
}

func handling(handle func(context.Context, ports.Delivery) error) func(context.Context, Delivery[domain.Durable]) error {
	return func(ctx context.Context, d Delivery[domain.Durable]) error {
		return handle(ctx, ports.Delivery{
			ID: d.ID, Event: d.Event, Ordinal: d.Ordinal, Meta: d.Meta,
			Attempt: d.Attempt, Redelivered: d.Redelivered, Epoch: d.Epoch, Appended: d.Appended,
		})
	}
}
