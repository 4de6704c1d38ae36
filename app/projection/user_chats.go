package projection

import (
	"context"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// UserChats keeps which chats each user is in, for [Models.ChatsOf]. Handling an event again, or late, changes nothing.
type UserChats struct{ models *Models }

// NewUserChats keeps them in the views of the models.
func NewUserChats(models *Models) *UserChats { return &UserChats{models: models} }

// Handle applies a change of membership. An event that is in no log changes none. At the first event of a chat, with which a rebuild begins, Handle
// puts the log's memberships of all present and former members, over any stored ones.
func (u *UserChats) Handle(ctx context.Context, d ports.Delivery) error {
	if d.ID.Seq == 1 {
		return u.rebuild(ctx, d)
	}
	return u.apply(ctx, d)
}

// rebuild puts the memberships of a chat as of its head. The events up to there then change nothing, so that no membership goes back in time while
// they are delivered again. A chat that the log does not have is left alone.
func (u *UserChats) rebuild(ctx context.Context, d ports.Delivery) error {
	var entities []entity.Versioned
	put := func() error {
		u.models.entities.Cached(d.ID.Chat, entities)
		head, err := u.models.entities.Load(ctx, d.ID.Chat, entities)
		if err != nil || head == 0 {
			return err
		}
		entries := make([]ports.UserEntry, len(entities))
		for i, s := range entities {
			entries[i] = ports.UserEntry{User: domain.UserID(s.Entity.ID), Version: head, Gone: true, Rebuild: d.Epoch}
			if m, _ := s.State.(*domain.Member); m.Current() {
				entries[i].Number, entries[i].Gone = uint64(m.Since), false
			}
		}
		entities = entities[:0]
		return u.models.views.Chats.Put(ctx, d.ID.Log, ports.ChatEntries{Chat: d.ID.Chat, Entries: entries})
	}
	for user, err := range u.models.log.Members(ctx, d.ID.Chat) {
		if err != nil {
			return err
		}
		if entities = append(entities, entity.Versioned{Entity: domain.MemberEntity(user)}); len(entities) < together {
			continue
		}
		if err := put(); err != nil {
			return err
		}
	}
	return put()
}

// apply takes a change of membership as of its event.
func (u *UserChats) apply(ctx context.Context, d ports.Delivery) error {
	e, ok := d.Event.(domain.ChatUpdate)
	if !ok || d.ID.Seq == 0 {
		return nil
	}
	entry := ports.UserEntry{User: e.User, Version: d.ID.Seq, Number: uint64(d.ID.Seq)}
	switch e.Change {
	case domain.Created:
		entry.User = e.Actor
	case domain.MemberAdded:
	case domain.MemberRemoved:
		entry.Number, entry.Gone = 0, true
	case domain.Renamed, domain.RoleChanged, domain.Archived, domain.Unarchived:
		return nil
	}
	return u.models.views.Chats.Put(ctx, d.ID.Log, ports.ChatEntries{Chat: e.Chat, Entries: []ports.UserEntry{entry}})
}
