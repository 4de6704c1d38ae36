package app

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"chatcore/domain"
	"chatcore/ports"
)

// activity is when a chat had its last message.
type activity struct {
	chat domain.ChatID
	ports.LastMessage
}

// ChatListPage returns a page of the chats that a user is in, the chat with the latest message first. Which chats these are is as far as the built-in
// subscribers have come; title, role, unread count and last message are as of now. A chat that the user has left is not listed; so a page may have
// fewer items than its limit. A chat that gets a message meanwhile moves to the first page, and may be missing from a later one.
//
// The order takes about 10 µs of the log's time for each of the user's chats: for thousands of chats [Queries.ChatsOfPage] is the list that stays
// fast. The rest follows the page: a few round trips for each chat of it.
func (q *Queries) ChatListPage(ctx context.Context, user domain.UserID, page Page) (List[ListedChat], error) {
	page, err := page.checked()
	if err != nil {
		return List[ListedChat]{}, err
	}
	chats, err := q.ChatsOf(ctx, user)
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

// byActivity orders chats by their last message. Chats that the log does not have are left out.
func (q *Queries) byActivity(ctx context.Context, chats []domain.ChatID) ([]activity, error) {
	last, err := q.log.LastMessages(ctx, chats...)
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

// listChats fills in what a list shows of chats, several at a time. Those that the user is not a member of any more are left out.
func (q *Queries) listChats(ctx context.Context, user domain.UserID, order []activity) ([]ListedChat, error) {
	items := make([]ListedChat, len(order))
	ids := make([]domain.ChatID, len(order))
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(chatsTogether)
	for i, a := range order {
		ids[i] = a.chat
		group.Go(func() (err error) {
			items[i], err = q.listedChat(within, user, a)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	unread, err := q.unreadIn(ctx, user, ids)
	if err != nil {
		return nil, err
	}
	items = slices.DeleteFunc(items, func(c ListedChat) bool { return c.ID == "" })
	for i := range items {
		items[i].Unread = unread[items[i].ID]
	}
	return items, nil
}

// listedChat returns a chat as a list shows it, or the zero ListedChat if the user is not a member.
func (q *Queries) listedChat(ctx context.Context, user domain.UserID, a activity) (ListedChat, error) {
	slots := []slot{{entity: domain.ChatEntity()}, {entity: domain.MemberEntity(user)}}
	if _, err := q.load(ctx, a.chat, slots); err != nil {
		return ListedChat{}, err
	}
	c, _ := slots[0].state.(*domain.Chat)
	m, _ := slots[1].state.(*domain.Member)
	if !m.Current() {
		return ListedChat{}, nil
	}
	listed := ListedChat{ID: a.chat, Title: c.Title, Archived: c.Archived, Role: m.Role, JoinedAt: m.JoinedAt, LastAt: a.At}
	page, err := q.search(ctx, a.chat, ports.Filter{Messages: true}, ports.Range{Backward: true, Limit: 1})
	if err != nil || len(page.Records) == 0 {
		return listed, err
	}
	views, err := q.viewsOf(ctx, a.chat, page.Records)
	if err != nil {
		return ListedChat{}, err
	}
	listed.Last = &views[0]
	return listed, nil
}
