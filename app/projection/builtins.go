package projection

import (
	"context"

	"golang.org/x/sync/errgroup"

	"chatcore/domain"
	"chatcore/ports"
)

// Builtins is the handler of the built-in consumer group. It keeps which chats each user is in, which of them are favourites or hidden, how many messages each user
// has not read, whom each user blocks, and the last message of each chat. It invalidates the cached values that an event makes stale. Handling an event again, or
// late, does no harm.
type Builtins struct {
	models *Models
	chats  *UserChats    // nil: not kept
	unread *UnreadCounts // nil: not kept
	blocks *UserBlocks   // nil: not kept
	prefer *UserSettings // nil: not kept
	recent *ChatPreviews // nil: the log has no view of its chats
	stale  *StaleCaches  // nil: nothing is cached
	active *ChatActivity // nil: the log has no index of last messages
	erases EraseFunc     // nil: there are no copies of events

	together int // chats whose memberships and caches change at a time
}

// NewBuiltins returns a handler for the read models that have views, and for the caches unless they are nil. With defers, unread counts of large
// chats are written once a minute.
func NewBuiltins(models *Models, caches CachedAnswers, defers bool) *Builtins {
	b := &Builtins{models: models, prefer: newUserSettings(models), together: chatsTogether}
	if models.views.Chats != nil {
		b.chats, b.active, b.recent = NewUserChats(models), newChatActivity(models.log), newChatPreviews(models)
	}
	if models.views.Blocks != nil {
		b.blocks = NewUserBlocks(models)
	}
	if models.views.Unread != nil {
		b.unread = NewUnreadCounts(models)
		if !defers {
			b.unread.every = 0
		}
	}
	if caches != nil {
		b.stale = NewStaleCaches(models, caches)
	}
	return b
}

// OnErased has the handler call fn for the events of each erased message, and for the last one that was erased with a deleted chat. It must be called before the first event is handled.
func (b *Builtins) OnErased(fn EraseFunc) { b.erases = fn }

// Handles reports whether there is anything to keep.
func (b *Builtins) Handles() bool {
	return b.chats != nil || b.unread != nil || b.blocks != nil || b.prefer != nil || b.stale != nil || b.erases != nil
}

// Handle handles one event.
func (b *Builtins) Handle(ctx context.Context, d ports.Delivery) error {
	if err := b.apply(ctx, d); err != nil {
		return err
	}
	batch := &ports.ChatBatch{Deliveries: []ports.Delivery{d}, Done: 1}
	if b.writeLast(ctx, []*ports.ChatBatch{batch}); batch.Err != nil {
		return batch.Err
	}
	if b.unread == nil {
		return nil
	}
	return b.unread.Handle(ctx, d)
}

// HandleBatch handles the queued events of several chats: memberships and caches event by event, several chats at a time, and then the last messages
// and the unread counts of all chats in one write each.
func (b *Builtins) HandleBatch(ctx context.Context, batches []*ports.ChatBatch) {
	var group errgroup.Group
	group.SetLimit(b.together)
	for _, batch := range batches {
		batch.Done = 0
		if !b.affects(batch) {
			batch.Done = len(batch.Deliveries)
			continue
		}
		if b.together == 1 {
			b.applyAll(ctx, batch)
			continue
		}
		group.Go(func() error {
			b.applyAll(ctx, batch)
			return nil
		})
	}
	_ = group.Wait() // each batch has its own error
	b.writeLast(ctx, batches)
	if b.unread != nil {
		b.unread.HandleBatch(ctx, batches)
		if b.active != nil {
			b.active.MarkBehind(ctx, batches)
		}
	}
}

// writeLast writes the last messages of chats, and when they were sent.
func (b *Builtins) writeLast(ctx context.Context, batches []*ports.ChatBatch) {
	if b.active != nil {
		b.active.HandleBatch(ctx, batches)
	}
	if b.recent != nil {
		b.recent.HandleBatch(ctx, batches)
	}
}

// applyAll applies one event of a chat after another, until one fails.
func (b *Builtins) applyAll(ctx context.Context, batch *ports.ChatBatch) {
	for _, d := range batch.Deliveries {
		if batch.Err = b.apply(ctx, d); batch.Err != nil {
			return
		}
		batch.Done++
	}
}

// affects reports whether an event of the batch may change a membership or make something stale.
func (b *Builtins) affects(batch *ports.ChatBatch) bool {
	for _, d := range batch.Deliveries {
		if b.appliesTo(d.Event) {
			return true
		}
	}
	return false
}

// appliesTo reports whether an event may change a membership or make something stale: most do not.
func (b *Builtins) appliesTo(e domain.Durable) bool {
	switch e := e.(type) {
	case domain.ChatUpdate:
		return b.chats != nil || b.stale != nil || b.blocks != nil || b.prefer != nil
	case domain.ChatSettings:
		return b.prefer != nil && (e.Favourite != nil || e.Hidden != nil)
	case domain.MemberRestriction:
		return b.blocks != nil && e.Kind == domain.Block
	case domain.MessageErased:
		return b.erases != nil || b.stale != nil
	case domain.ChatDeleted:
		return b.erases != nil && e.ContentErased
	case domain.MessageEdit, domain.MessageDelete, domain.MessageReaction, domain.MessagePin:
		return b.stale != nil
	}
	return false
}

// apply changes the membership and invalidates cached values that the event makes stale. At the first event of a chat, with which a rebuild begins,
// it puts all memberships of the chat.
func (b *Builtins) apply(ctx context.Context, d ports.Delivery) error {
	if !b.appliesTo(d.Event) {
		return nil
	}
	switch e := d.Event.(type) {
	case domain.MessageErased:
		if b.erases == nil {
			break
		}
		if err := b.erase(ctx, e); err != nil {
			return err
		}
	case domain.ChatDeleted:
		return b.eraseContent(ctx, d, e.Chat)
	}
	if b.chats != nil && (b.stale == nil || d.ID.Seq == 1) { // StaleCaches puts the membership before it invalidates lists
		if err := b.chats.Handle(ctx, d); err != nil {
			return err
		}
	}
	if b.blocks != nil {
		if err := b.blocks.Handle(ctx, d); err != nil {
			return err
		}
	}
	if b.prefer != nil {
		if err := b.prefer.Handle(ctx, d); err != nil {
			return err
		}
	}
	if b.stale != nil {
		return b.stale.Handle(ctx, d)
	}
	return nil
}

// applyAppended is apply for an event that this process has just appended. It never begins a rebuild.
func (b *Builtins) applyAppended(ctx context.Context, d ports.Delivery) error {
	switch d.Event.(type) {
	case domain.MemberRestriction:
		return b.blocks.Handle(ctx, d)
	case domain.ChatSettings:
		return b.prefer.Handle(ctx, d)
	}
	if b.stale != nil {
		return b.stale.Handle(ctx, d)
	}
	if b.chats == nil {
		return nil
	}
	return b.chats.apply(ctx, d)
}
