package projection

import (
	"context"
	"slices"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// UserBlocks keeps the direct chats in which each user blocks the other one, with the number 1. Handling an event again, or late, changes nothing.
type UserBlocks struct{ models *Models }

// NewUserBlocks keeps them in the views of the models.
func NewUserBlocks(models *Models) *UserBlocks { return &UserBlocks{models: models} }

// Handle applies a block, and the end of one. An event that is in no log changes nothing. At the first event of a direct chat, with which a rebuild begins, Handle puts
// the log's blocks of both participants, over any stored ones.
func (u *UserBlocks) Handle(ctx context.Context, d ports.Delivery) error {
	switch e := d.Event.(type) {
	case domain.ChatUpdate:
		if d.ID.Seq == 1 && e.Kind == domain.Direct {
			return u.rebuild(ctx, d)
		}
	case domain.MemberRestriction:
		if d.ID.Seq != 0 && e.Kind == domain.Block {
			return u.put(ctx, d, ports.UserEntry{User: e.Actor, Version: d.ID.Seq, Number: blocking(e.Lifted), Gone: e.Lifted})
		}
	}
	return nil
}

// rebuild puts the blocks of a chat as of its head. A chat that the log does not have is left alone.
func (u *UserBlocks) rebuild(ctx context.Context, d ports.Delivery) error {
	chat, head, err := u.models.directChat(ctx, d.ID.Chat)
	if err != nil || head == 0 {
		return err
	}
	entries := make([]ports.UserEntry, 0, len(chat.Participants))
	for _, user := range domain.EachOnce(chat.Participants[:]) {
		entry := blockEntry(chat, user)
		entry.Version, entry.Rebuild = head, d.Epoch
		entries = append(entries, entry)
	}
	return u.put(ctx, d, entries...)
}

func (u *UserBlocks) put(ctx context.Context, d ports.Delivery, entries ...ports.UserEntry) error {
	return u.models.views.Blocks.Put(ctx, d.ID.Log, ports.ChatEntries{Chat: d.ID.Chat, Entries: entries})
}

// blockEntry returns what the view has of a user, without its version.
func blockEntry(chat domain.Chat, user domain.UserID) ports.UserEntry {
	lifted := !slices.Contains(chat.Blocks, user)
	return ports.UserEntry{User: user, Number: blocking(lifted), Gone: lifted}
}

// blocking is the number of a block, 0 for none.
func blocking(lifted bool) uint64 {
	if lifted {
		return 0
	}
	return 1
}

// directChat returns the state of a chat and its last seq, 0 if the log does not have it.
func (m *Models) directChat(ctx context.Context, chat domain.ChatID) (domain.Chat, domain.Seq, error) {
	entities := []entity.Versioned{{Entity: domain.ChatEntity()}}
	head, err := m.entities.Load(ctx, chat, entities)
	if err != nil || head == 0 {
		return domain.Chat{}, 0, err
	}
	c, _ := entities[0].State.(*domain.Chat)
	return *c, head, nil
}
