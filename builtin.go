package chatcore

import (
	"context"

	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// BuiltinGroup is the consumer group of [Core.SubscribeBuiltins].
const BuiltinGroup = "chatcore.builtin"

// SubscribeBuiltins adds the subscriber that a service runs beside its own. It is one consumer group. It keeps the chats of each user, for
// [app.Queries.ChatsOf], and the number of unread messages of each user, in chat:unread: for other programs. It also invalidates the cached messages,
// chat lists and contacts that an event makes stale, also those of other programs in the same Redis. Once the core runs, its queries use these
// caches. A core on a custom event log has read models and caches only if options provide their stores.
//
// The group reads the streams once in a [DeliveryConfig.BuiltinPace], without being woken by appends, and writes the unread counts of all chats that have
// changed in one step. Memberships and caches need not wait for it: every process changes them right after its own appends, and the group repeats
// that, in case a process ended before it did.
func (c *Core) SubscribeBuiltins() error {
	b := c.builtins
	if !b.Handles() {
		return nil
	}
	one := On(func(ctx context.Context, d Delivery[domain.Durable]) error {
		return b.Handle(ctx, ports.Delivery{
			ID: ports.DeliveryID(d.ID), Event: d.Event, Ordinal: d.Ordinal, Meta: d.Meta,
			Attempt: d.Attempt, Redelivered: d.Redelivered, Epoch: d.Epoch, Appended: d.Appended,
		})
	})
	// An event that cannot be handled blocks its chat: later events would not repair the read models.
	if err := c.Subscribe(BuiltinGroup, builtin(b), FromBeginning(), OnPoison(Park), one); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers = c.caches != nil
	c.Chats.ApplyAfterAppend(c.after)
	return nil
}

// builtin marks a group of the core's own: no middleware surrounds its handler, which takes several chats in one call where the backend can do that.
func builtin(b *projection.Builtins) SubscribeOption {
	return func(s *registration) { s.builtin, s.batch, s.concurrency = true, b.HandleBatch, builtinChats }
}

// builtinChats is how many chats of a process the built-in group handles at a time.
const builtinChats = 128
