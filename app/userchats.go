package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"chatcore/domain"
	"chatcore/ports"
)

// Views are the read models of the built-in subscribers, kept per user.
type Views struct {
	Log    string            // id of the event log that they are made of
	Chats  ports.UserView    // the chats a user is in, with the seq of the join; nil if it is not kept
	Unread ports.UserView    // how many messages a user has not read; nil if it is not kept
	Typing ports.TypingMarks // typing marks; nil without a store

	Contacts ContactsOf // nil: the users that share a chat

	// Kept reports whether a process has ever run the built-in subscriber that keeps Chats. It is asked where a user has no chats. nil: yes.
	Kept func(ctx context.Context) (bool, error)
}

// ErrNoViews is returned by a query whose read model does not exist: as of a seq, on a custom log without one, or because no process has ever run the
// built-in subscribers on the log.
var ErrNoViews = errors.New("no such read model")

// noView returns [ErrNoViews] with the reason and the remedy. option is the one that provides the read model.
func (q *Queries) noView(option string) error {
	if q.until > 0 {
		return fmt.Errorf("%w as of a seq: ask Core.Queries instead of Queries.At", ErrNoViews)
	}
	return fmt.Errorf("%w on this event log: open the core with %s", ErrNoViews, option)
}

// none returns ErrNoViews if a user has no chats because nobody keeps them.
func (v Views) none(ctx context.Context) error {
	if v.Kept == nil {
		return nil
	}
	kept, err := v.Kept(ctx)
	if err == nil && !kept {
		return fmt.Errorf("%w: no process has run the built-in subscribers on this log; Core.SubscribeBuiltins adds them", ErrNoViews)
	}
	return err
}

// UserChats keeps which chats each user is in, for [Queries.ChatsOf]. Handling an event again, or late, changes nothing.
type UserChats struct {
	queries *Queries
	views   Views
}

// NewUserChats keeps them in the views of the queries.
func NewUserChats(queries *Queries) *UserChats {
	return &UserChats{queries: queries, views: queries.views}
}

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
	var slots []slot
	put := func() error {
		u.queries.entities.cached(d.ID.Chat, slots)
		head, err := u.queries.entities.load(ctx, d.ID.Chat, slots)
		if err != nil || head == 0 {
			return err
		}
		entries := make([]ports.UserEntry, len(slots))
		for i, s := range slots {
			entries[i] = ports.UserEntry{User: domain.UserID(s.entity.ID), Version: head, Gone: true, Rebuild: d.Epoch}
			if m, _ := s.state.(*domain.Member); m.Current() {
				entries[i].Number, entries[i].Gone = uint64(m.Since), false
			}
		}
		slots = slots[:0]
		return u.views.Chats.Put(ctx, d.ID.Log, ports.ChatEntries{Chat: d.ID.Chat, Entries: entries})
	}
	for user, err := range u.queries.log.Members(ctx, d.ID.Chat) {
		if err != nil {
			return err
		}
		if slots = append(slots, slot{entity: domain.MemberEntity(user)}); len(slots) < together {
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
	return u.views.Chats.Put(ctx, d.ID.Log, ports.ChatEntries{Chat: e.Chat, Entries: []ports.UserEntry{entry}})
}

// ChatsOf names the chats that a user is in, in the order of their ids, as far as the built-in subscriber has come: a moment behind the
// log. It returns [ErrNoViews] where no process has ever run that, and [ports.ErrCorrupt] where the user's view has lost chats.
func (q *Queries) ChatsOf(ctx context.Context, user domain.UserID) ([]domain.ChatID, error) {
	chats, err := q.unorderedChatsOf(ctx, user)
	slices.Sort(chats)
	return chats, err
}

// unorderedChatsOf is ChatsOf in no particular order.
func (q *Queries) unorderedChatsOf(ctx context.Context, user domain.UserID) ([]domain.ChatID, error) {
	if err := checkUsers([]domain.UserID{user}); err != nil {
		return nil, err
	}
	if q.views.Chats == nil {
		return nil, q.noView("WithUserViews")
	}
	chats, err := q.views.Chats.Of(ctx, q.views.Log, user)
	if err == nil && len(chats) == 0 {
		err = q.views.none(ctx)
	}
	if err != nil {
		return nil, err
	}
	return slices.Collect(maps.Keys(chats)), nil
}
