package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// ChatListPage returns a page of the chats that a user is in, the chat with the latest message first: [Queries.FilteredChatList] of the chats that the user has not
// hidden, with their last messages in full. These take two more round trips.
func (q *Queries) ChatListPage(ctx context.Context, user domain.UserID, page domain.Page) (List[ListedChat], error) {
	return q.FilteredChatList(ctx, user, ChatFilter{Messages: true}, page)
}

// Bounds of the metadata in a list of chats.
const (
	MaxListedKeys  = 8
	MaxListedValue = 1 << 10 // bytes of a value; longer ones are left out
)

// ChatFilter selects chats of a list, and what the list has of them. The zero value selects all that are not hidden.
type ChatFilter struct {
	Kinds     []domain.ChatKind // nil: of any kind
	Favourite bool              // favourites alone
	Unread    bool              // chats with unread messages alone
	Archived  *bool             // archived chats alone, or others alone; nil: both
	Hidden    bool              // hidden chats alone, instead of the others

	Metadata []string // keys whose values the list has, at most [MaxListedKeys]; values of more than [MaxListedValue] bytes are left out
	Messages bool     // whether the list has the last messages in full, besides their previews
}

// check returns an error if the filter is not valid.
func (f ChatFilter) check() error {
	if len(f.Metadata) > MaxListedKeys {
		return &domain.InvalidError{Field: "metadataKeys", Problem: fmt.Sprintf("has %d keys", len(f.Metadata)), Allowed: fmt.Sprintf("at most %d", MaxListedKeys)}
	}
	for _, key := range f.Metadata {
		if err := domain.CheckMetadataKey("metadataKeys", key); err != nil {
			return err
		}
	}
	return nil
}

// selects reports whether a chat is in the list.
func (f ChatFilter) selects(c ListedChat) bool {
	return f.Hidden == c.Hidden && (!f.Favourite || c.Favourite) && (!f.Unread || c.Unread > 0) && (f.Archived == nil || *f.Archived == c.Archived) &&
		(len(f.Kinds) == 0 || slices.Contains(f.Kinds, c.Kind))
}

// filteredRows bounds how many chats are loaded for one page of a filtered list, in multiples of its limit.
const filteredRows = 4

// FilteredChatList returns a page of the chats that a user is in and that a filter selects: the chat with the latest message of the main timeline first. A chat
// without messages, or with a later join of the user, has the time of the join. Chats of the same time are ordered by their ids.
//
// The set of chats, favourites, hidden chats and the page of each chat are as far as the built-in subscribers have come, a moment behind the log. The
// items are as of now, and those of a page are ordered by their present times. A chat that the user has left is not listed, so a page may have fewer items than its
// limit. No chat is on two pages. A chat that gets a message meanwhile moves to the first page, and may be missing from a later one.
//
// A page takes three round trips: the user's chats, about 60 bytes each; when they had their last messages, 24 bytes each; and the rows, about 600 bytes each
// (of a log that is a [ports.ChatView]; a custom log takes more). Further ones follow for last messages that the view has not got yet: those of the last moments, of
// the last minute in chats of more than 256 members, and those from before the view existed. They follow also for joins after the last message and for unread
// mentions that the process has not seen, and for each 64 chats beyond 64. A page of kinds, unread or archived chats, or of
// chats whose settings no view has, may load up to four times as many chats, and may have fewer items than its limit, or none, although more follow.
func (q *Queries) FilteredChatList(ctx context.Context, user domain.UserID, filter ChatFilter, page domain.Page) (List[ListedChat], error) {
	page, err := checkPage(page)
	if err := firstError(checkUsers([]domain.UserID{user}), err, filter.check()); err != nil {
		return List[ListedChat]{}, err
	}
	order, err := q.listOrder(ctx, user, filter)
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
		rows, err := q.listRows(ctx, user, filter, some)
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

// newerChat orders listed chats by their last message, the latest first.
func newerChat(a, b ListedChat) int {
	return cmp.Or(b.LastAt.Compare(a.LastAt), cmp.Compare(a.ID, b.ID))
}
