package app

import (
	"context"
	"errors"
	"maps"
	"slices"

	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// rowsTogether is how many chats of a list are loaded in one step: it bounds the memory that a list of thousands of chats takes.
const rowsTogether = 256

// listRow is what a row of a list is made of.
type listRow struct {
	last     ports.LastPreview
	message  *MessageView // in full, if it was read from the log
	entities []entity.Versioned
}

// The entities of a row, in this order. The metadata follows if it is asked for.
const (
	rowChat = iota
	rowMember
	rowSettings
	rowRead
	rowMentions
	rowMetadata
)

// listRows returns the rows of a list of chats. Chats that the user is not a member of any more, and direct chats of others that nobody has written to yet, are left
// out.
func (q *Queries) listRows(ctx context.Context, user domain.UserID, filter ChatFilter, order []projection.Activity) ([]ListedChat, error) {
	ids := make([]domain.ChatID, len(order))
	for i, a := range order {
		ids[i] = a.Chat
	}
	entities := q.rowEntities(user, len(filter.Metadata) > 0)
	rows, unread, err := q.loadRows(ctx, user, ids, entities, filter.Messages)
	if err != nil {
		return nil, err
	}
	mentions, err := q.listedMentions(ctx, user, ids, rows)
	if err != nil {
		return nil, err
	}
	items := make([]ListedChat, 0, len(rows))
	for i, row := range rows {
		if row.entities == nil {
			continue
		}
		c, listed := row.listed(user, order[i])
		if !listed {
			continue
		}
		c.Unread, c.Mentions = unread[c.ID], mentions[i]
		if len(filter.Metadata) > 0 {
			m, _ := row.entities[rowMetadata].State.(*domain.Metadata)
			c.Metadata = listedValues(*m, filter.Metadata)
		}
		items = append(items, c)
	}
	return items, nil
}

// rowEntities returns the entities of a row.
func (q *Queries) rowEntities(user domain.UserID, metadata bool) func(domain.ChatID) []entity.Versioned {
	return func(chat domain.ChatID) []entity.Versioned {
		entities := []entity.Versioned{
			rowChat: {Entity: domain.ChatEntity()}, rowMember: {Entity: domain.MemberEntity(user)}, rowSettings: {Entity: domain.SettingsEntity(user)},
			rowRead: {Entity: domain.ReadEntity(user), Latest: true}, rowMentions: {Entity: domain.MentionsEntity(true)},
		}
		if metadata {
			entities = append(entities, entity.Versioned{Entity: domain.MetadataEntity()})
		}
		q.entities.Cached(chat, entities)
		entities[rowMentions].Latest = entities[rowMentions].State == nil
		return entities
	}
}

// listed returns the row of a user who is a member. at is when the chat was created if it has no message, as the list is ordered.
func (r listRow) listed(user domain.UserID, at projection.Activity) (ListedChat, bool) {
	c, _ := r.entities[rowChat].State.(*domain.Chat)
	m, _ := r.entities[rowMember].State.(*domain.Member)
	s, _ := r.entities[rowSettings].State.(*domain.Settings)
	sent := r.last.Seq > 0
	if !m.Current() || !sent && c.Kind == domain.Direct && c.CreatedBy != user { // whom nobody has written to yet
		return ListedChat{}, false
	}
	lastAt := m.JoinedAt
	if sent && r.last.Seq > m.Since {
		lastAt = r.last.At
	} else if sent {
		lastAt = later(r.last.At, m.JoinedAt)
	}
	return ListedChat{
		ID: at.Chat, Title: c.Title, Archived: c.Archived, Role: m.Role, JoinedAt: m.JoinedAt, Kind: c.Kind, Peer: c.Peer(user),
		Favourite: s.Favourite, Hidden: s.Hides(max(m.Since, r.last.Seq)), Notify: s.Notify, MutedUntil: s.MutedUntil,
		Preview: r.last, LastAt: lastAt, Last: r.message,
	}, true
}

// listedValues returns the values of keys that a list shows.
func listedValues(m domain.Metadata, keys []string) map[string]domain.JSON {
	values := make(map[string]domain.JSON, len(keys))
	for _, key := range keys {
		if value, there := m.Values[key]; there && len(value) <= MaxListedValue {
			values[key] = value
		}
	}
	return values
}

// rowLoad is the load of the rows of some chats.
type rowLoad struct {
	rows      []listRow
	unread    map[domain.ChatID]domain.Ordinal
	uncounted []domain.ChatID // whose unread messages are not in unread yet
	outdated  []int           // places of chats whose last messages are to be read from the log
}

// loadRows loads the rows of chats and the user's unread counts: from the log's view of its chats, and from the log for what that has not got. A row has no
// entities if the log does not have the chat. With messages, all last messages are read from the log.
func (q *Queries) loadRows(
	ctx context.Context, user domain.UserID, chats []domain.ChatID, entities func(domain.ChatID) []entity.Versioned, messages bool,
) ([]listRow, map[domain.ChatID]domain.Ordinal, error) {
	l := rowLoad{rows: make([]listRow, len(chats)), unread: make(map[domain.ChatID]domain.Ordinal, len(chats))}
	if view, ok := q.log.(ports.ChatView); ok && !messages {
		if err := q.viewedRows(ctx, &rowReader{BulkReader: q.log, view: view, user: user}, chats, entities, &l); err != nil {
			return nil, nil, err
		}
		entities = noEntities
	} else {
		l.uncounted = chats
		for i := range chats {
			l.outdated = append(l.outdated, i)
		}
	}
	outdated := make([]domain.ChatID, len(l.outdated))
	for i, place := range l.outdated {
		outdated[i] = chats[place]
	}
	err := q.lastViews(ctx, outdated, entities, func(i int, last *MessageView, loaded []entity.Versioned) {
		row := &l.rows[l.outdated[i]]
		if len(loaded) > 0 {
			row.entities = loaded
		}
		if last != nil {
			row.last = q.models.PreviewOf(last.Message)
		}
		if messages {
			row.message = last
		}
	})
	if err != nil || len(l.uncounted) == 0 {
		return l.rows, l.unread, err
	}
	counted, err := q.models.UnreadIn(ctx, user, l.uncounted)
	maps.Copy(l.unread, counted)
	return l.rows, l.unread, err
}

// viewedRows loads rows in one step, as far as the log's view of its chats has them.
func (q *Queries) viewedRows(ctx context.Context, reader *rowReader, chats []domain.ChatID, entities func(domain.ChatID) []entity.Versioned, l *rowLoad) error {
	loads := make([]entity.ChatEntities, len(chats))
	for i, chat := range chats {
		loads[i] = entity.ChatEntities{Chat: chat, Entities: entities(chat)}
	}
	if err := q.entities.FillChats(ctx, reader, loads); err != nil {
		return err
	}
	for i, loaded := range loads {
		if loaded.Head == 0 { // the view and the index do not know yet
			continue
		}
		if err := loaded.CheckVersions(0); err != nil {
			return err
		}
		found := reader.rows[i]
		l.rows[i] = listRow{last: found.Last, entities: loaded.Entities}
		if !found.Current {
			l.outdated = append(l.outdated, i)
		}
		switch found.Unread.Outcome {
		case ports.UnreadCounted:
			l.unread[chats[i]] = found.Unread.Messages
		case ports.UnreadUnknown:
			l.uncounted = append(l.uncounted, chats[i])
		case ports.UnreadNotMember:
		}
	}
	return nil
}

// rowReader loads the entities of rows, and what a log's view of its chats has beside them.
type rowReader struct {
	ports.BulkReader
	view ports.ChatView
	user domain.UserID
	rows []ports.ChatRow
}

// LoadChats implements [ports.BulkReader].
func (r *rowReader) LoadChats(ctx context.Context, loads ...ports.ChatLoad) (loaded []ports.Loaded, err error) {
	r.rows, err = r.view.LoadRows(ctx, r.user, loads...)
	for _, row := range r.rows {
		loaded = append(loaded, row.Loaded)
	}
	return loaded, err
}

// listedMentions returns the numbers of unread mentions of rows, in their order. It loads the mentions that are not cached, of chats where some may be unread.
func (q *Queries) listedMentions(ctx context.Context, user domain.UserID, chats []domain.ChatID, rows []listRow) ([]int, error) {
	counts, bases := make([]int, len(rows)), make([]domain.Seq, len(rows))
	var loads []entity.ChatEntities
	var places []int
	count := func(place int, mentions entity.Versioned) {
		m, _ := mentions.State.(*domain.Mentions)
		found, _ := m.Of(user, bases[place])
		counts[place] = len(found)
	}
	for i, row := range rows {
		if row.entities == nil {
			continue
		}
		member, _ := row.entities[rowMember].State.(*domain.Member)
		mark, _ := row.entities[rowRead].State.(*domain.ReadMark)
		mentions := row.entities[rowMentions]
		bases[i] = max(member.Since, mark.Seq)
		switch {
		case mentions.Version <= bases[i]:
		case mentions.Latest:
			loads, places = append(loads, entity.ChatEntities{Chat: chats[i], Entities: []entity.Versioned{{Entity: mentions.Entity}}}), append(places, i)
		default:
			count(i, mentions)
		}
	}
	if len(loads) == 0 {
		return counts, nil
	}
	if err := q.entities.FillChats(ctx, q.log, loads); err != nil {
		return nil, err
	}
	for k, place := range places {
		if err := loads[k].CheckVersions(0); err != nil {
			return nil, err
		}
		count(place, loads[k].Entities[0])
	}
	return counts, nil
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
