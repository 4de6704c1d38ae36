package app

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// activity is when a chat had its last message.
type activity struct {
	chat domain.ChatID
	ports.LastMessage
}

// ChatListPage returns a page of the chats that a user is in, the chat with the latest message first. The set of chats and the page of each chat are as
// far as the built-in subscribers have come, a moment behind the log. Title, role, unread count and last message are as of now, and the items of a page are
// ordered by them. A chat that the user has left is not listed, so a page may have fewer items than its limit. A chat that gets a message meanwhile moves
// to the first page, and may be missing from a later one.
//
// The order takes about 1 µs of the log's time for each of the user's chats: the log's [ports.ActivityIndex] has their last messages. A chat that the
// index lacks, one of more than 256 members with messages in the last minute, or a log without an index, takes 10 µs. The rest follows the page: three
// round trips for 64 chats, more for last messages with many reactions.
func (q *Queries) ChatListPage(ctx context.Context, user domain.UserID, page domain.Page) (List[ListedChat], error) {
	page, err := checkPage(page)
	if err != nil {
		return List[ListedChat]{}, err
	}
	chats, err := q.unorderedChatsOf(ctx, user)
	if err != nil {
		return List[ListedChat]{}, err
	}
	order, err := q.byActivity(ctx, chats)
	if err != nil {
		return List[ListedChat]{}, err
	}
	if page.Cursor != "" {
		after, err := parseActivity(page.Cursor)
		if err != nil {
			return List[ListedChat]{}, err
		}
		i, found := slices.BinarySearchFunc(order, after, newerActivity)
		if found {
			i++
		}
		order = order[i:]
	}
	var list List[ListedChat]
	if len(order) > page.Limit {
		order = order[:page.Limit]
		last := order[page.Limit-1]
		list.Next = last.At.UTC().Format(time.RFC3339Nano) + " " + string(last.chat)
	}
	list.Items, err = q.listChats(ctx, user, order)
	return list, err
}

// newerActivity orders chats by their last message, the latest first.
func newerActivity(a, b activity) int {
	return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.chat, b.chat))
}

// parseActivity reads the cursor of a chat list: the time of the last chat's message, and the chat.
func parseActivity(cursor string) (activity, error) {
	text, chat, _ := strings.Cut(cursor, " ")
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return activity{}, badCursor(cursor)
	}
	return activity{chat: domain.ChatID(chat), LastMessage: ports.LastMessage{At: at}}, nil
}

// byActivity orders chats by their last message. Chats that neither the index nor the log has are left out.
func (q *Queries) byActivity(ctx context.Context, chats []domain.ChatID) ([]activity, error) {
	last, err := q.lastMessages(ctx, chats)
	if err != nil {
		return nil, err
	}
	order := make([]activity, 0, len(chats))
	for i, chat := range chats {
		if last[i].Seq > 0 {
			order = append(order, activity{chat, last[i]})
		}
	}
	slices.SortFunc(order, newerActivity)
	return order, nil
}

// lastMessages returns the last messages of chats from the log's index, and from the log itself for chats that the index lacks or is behind with. The
// index then has those that it lacked.
func (q *Queries) lastMessages(ctx context.Context, chats []domain.ChatID) ([]ports.LastMessage, error) {
	index, ok := q.log.(ports.ActivityIndex)
	if !ok {
		return q.log.LastMessages(ctx, chats...)
	}
	last, err := index.IndexedLastMessages(ctx, chats...)
	if err != nil {
		return nil, err
	}
	var places []int
	var missing []domain.ChatID
	for i, m := range last {
		if m.Seq == 0 || m.Behind {
			places, missing = append(places, i), append(missing, chats[i])
		}
	}
	if len(missing) == 0 {
		return last, nil
	}
	found, err := q.log.LastMessages(ctx, missing...)
	if err != nil {
		return nil, err
	}
	var entries []ports.ActivityEntry
	for i, place := range places {
		lacked := last[place].Seq == 0
		if last[place] = found[i]; lacked && found[i].Seq > 0 {
			entries = append(entries, ports.ActivityEntry{Chat: missing[i], LastMessage: found[i]})
		}
	}
	if len(entries) == 0 {
		return last, nil
	}
	_ = index.IndexLastMessages(ctx, entries...) // if that fails, the next list asks the log again
	return last, nil
}

// listChats returns the rows of a list of chats. Chats that the user is not a member of any more are left out.
func (q *Queries) listChats(ctx context.Context, user domain.UserID, order []activity) ([]ListedChat, error) {
	ids := make([]domain.ChatID, len(order))
	for i, a := range order {
		ids[i] = a.chat
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
	unread, err := q.unreadIn(ctx, user, ids)
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
