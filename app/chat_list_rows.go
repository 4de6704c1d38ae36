package app

import (
	"context"
	"errors"
	"slices"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// rowsTogether is how many chats of a list are loaded in one step: it bounds the memory that a list of thousands of chats takes.
const rowsTogether = 256

// listedChats returns chats as a list shows them, with their last messages and without unread counts. A chat that the user is not a member of, or that
// the log does not have, is a zero ListedChat.
func (q *Queries) listedChats(ctx context.Context, user domain.UserID, chats []domain.ChatID) ([]ListedChat, error) {
	items := make([]ListedChat, len(chats))
	extra := func(domain.ChatID) []entity.Versioned {
		return []entity.Versioned{{Entity: domain.ChatEntity()}, {Entity: domain.MemberEntity(user)}, {Entity: domain.SettingsEntity(user)}}
	}
	return items, q.lastViews(ctx, chats, extra, func(i int, last *MessageView, extra []entity.Versioned) {
		c, _ := extra[0].State.(*domain.Chat)
		m, _ := extra[1].State.(*domain.Member)
		s, _ := extra[2].State.(*domain.Settings)
		if !m.Current() || last == nil && c.Kind == domain.Direct && c.CreatedBy != user { // whom nobody has written to yet
			return
		}
		shown := m.Since
		if last != nil {
			shown = max(shown, last.Seq)
		}
		items[i] = ListedChat{
			ID: chats[i], Title: c.Title, Archived: c.Archived, Role: m.Role, JoinedAt: m.JoinedAt, Kind: c.Kind, Peer: c.Peer(user),
			Favourite: s.Favourite, Hidden: s.Hides(shown), Notify: s.Notify, MutedUntil: s.MutedUntil,
		}
		items[i].setLast(last)
	})
}

// listed makes a user's list from the log, for the cache.
func (q *Queries) listed(ctx context.Context, user domain.UserID) ([]cachedChat, error) {
	chats, err := q.ChatsOf(ctx, user)
	if err != nil {
		return nil, err
	}
	list := make([]cachedChat, 0, len(chats))
	for some := range slices.Chunk(chats, rowsTogether) {
		loads := make([]entity.ChatEntities, len(some))
		for i, chat := range some {
			loads[i] = entity.ChatEntities{Chat: chat, Entities: []entity.Versioned{{Entity: domain.ChatEntity()}, {Entity: domain.MemberEntity(user)}}}
			q.entities.Cached(chat, loads[i].Entities)
		}
		if err := q.entities.FillChats(ctx, q.log, loads); err != nil {
			return nil, err
		}
		for _, l := range loads {
			if err := l.CheckVersions(0); err != nil {
				return nil, err
			}
			c, _ := l.Entities[0].State.(*domain.Chat)
			if m, _ := l.Entities[1].State.(*domain.Member); m.Current() { // otherwise the chat is lost or left, and the view does not know yet
				list = append(list, cachedChat{ChatID: l.Chat, Title: c.Title, Archived: c.Archived, Role: m.Role.String(), JoinedAt: m.JoinedAt})
			}
		}
	}
	return list, nil
}

// lastViews calls fn with the last message of each of the chats that the log has, nil if the chat has no message, and with the loaded extra entities. It
// takes two round trips for each 64 chats, and more for last messages with many edits and reactions.
func (q *Queries) lastViews(
	ctx context.Context, chats []domain.ChatID, extra func(domain.ChatID) []entity.Versioned, fn func(place int, last *MessageView, extra []entity.Versioned),
) error {
	for at := 0; at < len(chats); at += rowsTogether {
		some := chats[at:min(at+rowsTogether, len(chats))]
		shift := func(i int, last *MessageView, extra []entity.Versioned) { fn(at+i, last, extra) }
		err := q.lastViewsOf(ctx, some, extra, shift)
		if errors.Is(err, ports.ErrCorrupt) { // the log may have lost events between the two reads, by a failover or a restore
			err = q.lastViewsOf(ctx, some, extra, shift)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (q *Queries) lastViewsOf(
	ctx context.Context, chats []domain.ChatID, extra func(domain.ChatID) []entity.Versioned, fn func(place int, last *MessageView, extra []entity.Versioned),
) error {
	last, err := q.log.LastRecords(ctx, chats...)
	if err != nil {
		return err
	}
	loads, sends, own := make([]entity.ChatEntities, len(chats)), make([][]ports.Record, len(chats)), make([]int, len(chats))
	for i, chat := range chats {
		if last[i].Seq > 0 {
			sends[i] = last[i : i+1]
		}
		more := extra(chat)
		q.entities.Cached(chat, more)
		entities := q.messageEntities(chat, sends[i])
		own[i], loads[i] = len(entities), entity.ChatEntities{Chat: chat, Entities: append(entities, more...)}
	}
	if err := q.entities.FillChats(ctx, q.log, loads); err != nil {
		return err
	}
	for i, c := range loads {
		if c.Head == 0 { // the view and the index do not know yet
			continue
		}
		if err := c.CheckVersions(own[i]); err != nil {
			return err
		}
		views, err := viewsIn(c.Chat, sends[i], c.Entities[:own[i]], c.Unread)
		if err != nil {
			return err
		}
		var view *MessageView
		if len(views) > 0 {
			view = &views[0]
		}
		fn(i, view, c.Entities[own[i]:])
	}
	return nil
}
