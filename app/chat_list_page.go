package app

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// ChatListPage returns a page of the chats that a user is in, the chat with the latest message first. The set of chats and the page of each chat are as
// far as the built-in subscribers have come, a moment behind the log. Title, role, unread count and last message are as of now, and the items of a page are
// ordered by them. A chat that the user has left is not listed, so a page may have fewer items than its limit. A chat that gets a message meanwhile moves
// to the first page, and may be missing from a later one.
//
// The order takes about 1 µs of the log's time for each of the user's chats: the log's [ports.ActivityIndex] has their last messages. A chat that the
// index lacks, one of more than 256 members with messages in the last minute, or a log without an index, takes 10 µs. The rest follows the page: three
// round trips for 64 chats, more for last messages with many reactions.
//
// Chats that the user has hidden are left out: see [Queries.FilteredChatList].
func (q *Queries) ChatListPage(ctx context.Context, user domain.UserID, page domain.Page) (List[ListedChat], error) {
	return q.FilteredChatList(ctx, user, ChatFilter{}, page)
}

// ChatFilter selects chats of a list. The zero value selects all that are not hidden.
type ChatFilter struct {
	Kinds     []domain.ChatKind // nil: of any kind
	Favourite bool              // favourites alone
	Unread    bool              // chats with unread messages alone
	Archived  *bool             // archived chats alone, or others alone; nil: both
	Hidden    bool              // hidden chats alone, instead of the others
}

// selects reports whether a chat is in the list.
func (f ChatFilter) selects(c ListedChat) bool {
	return f.Hidden == c.Hidden && (!f.Favourite || c.Favourite) && (!f.Unread || c.Unread > 0) && (f.Archived == nil || *f.Archived == c.Archived) &&
		(len(f.Kinds) == 0 || slices.Contains(f.Kinds, c.Kind))
}

// filteredRows bounds how many chats are loaded for one page of a filtered list, in multiples of its limit.
const filteredRows = 4

// FilteredChatList is [Queries.ChatListPage] of the chats that a filter selects. Where it selects few, a page takes up to four times as much, and may have fewer items than its
// limit, or none, although more follow.
func (q *Queries) FilteredChatList(ctx context.Context, user domain.UserID, filter ChatFilter, page domain.Page) (List[ListedChat], error) {
	page, err := checkPage(page)
	if err != nil {
		return List[ListedChat]{}, err
	}
	chats, err := q.models.ChatsOf(ctx, user)
	if err != nil {
		return List[ListedChat]{}, err
	}
	order, err := q.models.ByActivity(ctx, chats)
	if err != nil {
		return List[ListedChat]{}, err
	}
	if page.Cursor != "" {
		after, err := parseActivity(page.Cursor)
		if err != nil {
			return List[ListedChat]{}, err
		}
		i, found := slices.BinarySearchFunc(order, after, projection.CompareActivity)
		if found {
			i++
		}
		order = order[i:]
	}
	var list List[ListedChat]
	for range filteredRows {
		some := order[:min(len(order), page.Limit-len(list.Items))]
		rows, err := q.listChats(ctx, user, some)
		if err != nil {
			return List[ListedChat]{}, err
		}
		list.Items = append(list.Items, slices.DeleteFunc(rows, func(c ListedChat) bool { return !filter.selects(c) })...)
		if order = order[len(some):]; len(order) == 0 {
			break
		}
		list.Next = activityCursor(some[len(some)-1])
		if len(list.Items) == page.Limit {
			break
		}
	}
	if len(order) == 0 {
		list.Next = ""
	}
	slices.SortFunc(list.Items, newerChat)
	return list, nil
}

// activityCursor returns the cursor of a chat list after a chat.
func activityCursor(last projection.Activity) string {
	return last.At.UTC().Format(time.RFC3339Nano) + " " + string(last.Chat)
}

// parseActivity reads the cursor of a chat list: the time of the last chat's message, and the chat.
func parseActivity(cursor string) (projection.Activity, error) {
	text, id, _ := strings.Cut(cursor, " ")
	at, err := time.Parse(time.RFC3339Nano, text)
	chat, wrong := domain.ParseChatID(id)
	if err != nil || wrong != nil {
		return projection.Activity{}, badCursor(cursor)
	}
	return projection.Activity{Chat: chat, LastMessage: ports.LastMessage{At: at}}, nil
}

// listChats returns the rows of a list of chats. Chats that the user is not a member of any more are left out.
func (q *Queries) listChats(ctx context.Context, user domain.UserID, order []projection.Activity) ([]ListedChat, error) {
	ids := make([]domain.ChatID, len(order))
	for i, a := range order {
		ids[i] = a.Chat
	}
	items, err := q.listedChats(ctx, user, ids)
	if err != nil {
		return nil, err
	}
	for i := range items {
		if items[i].Last == nil {
			items[i].LastAt = order[i].At
		}
	}
	unread, err := q.models.UnreadIn(ctx, user, ids)
	if err != nil {
		return nil, err
	}
	items = slices.DeleteFunc(items, func(c ListedChat) bool { return c.ID == "" })
	for i := range items {
		items[i].Unread = unread[items[i].ID]
	}
	slices.SortFunc(items, newerChat)
	return items, nil
}

// newerChat orders listed chats by their last message, the latest first.
func newerChat(a, b ListedChat) int {
	return cmp.Or(b.LastAt.Compare(a.LastAt), cmp.Compare(a.ID, b.ID))
}
