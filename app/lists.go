package app

import (
	"context"
	"fmt"
	"strconv"

	"chatcore/domain"
	"chatcore/ports"
)

// Member returns one member of a chat, in one round trip. It returns [domain.ErrNotMember] for anyone else.
func (q *Queries) Member(ctx context.Context, chat domain.ChatID, user domain.UserID) (domain.Member, error) {
	if err := checkChat(chat, user); err != nil {
		return domain.Member{}, err
	}
	slots := []slot{{entity: domain.MemberEntity(user)}}
	if _, err := q.load(ctx, chat, slots); err != nil {
		return domain.Member{}, err
	}
	m, _ := slots[0].state.(*domain.Member)
	if !m.Current() {
		return domain.Member{}, &domain.Refusal{Reason: domain.ErrNotMember, Detail: fmt.Sprintf("user %q is not a member of chat %q", user, chat)}
	}
	return *m, nil
}

// MemberPage returns a page of a chat's current members, in no particular order. A user that is a member from the first page to the last comes at
// least once. It returns [domain.ErrChatNotFound] if there is no such chat.
func (q *Queries) MemberPage(ctx context.Context, chat domain.ChatID, page domain.Page) (List[domain.Member], error) {
	page, err := checkPage(page)
	if err := firstError(checkChat(chat), err); err != nil {
		return List[domain.Member]{}, err
	}
	users, next, err := q.log.MemberPage(ctx, chat, page.Cursor, page.Limit)
	if err != nil {
		return List[domain.Member]{}, err
	}
	slots := make([]slot, len(users))
	for i, user := range users {
		slots[i] = slot{entity: domain.MemberEntity(user)}
	}
	if _, err := q.load(ctx, chat, slots); err != nil { // also if there are none: does the chat exist?
		return List[domain.Member]{}, err
	}
	list := List[domain.Member]{Next: next}
	for _, s := range slots {
		if m, _ := s.state.(*domain.Member); m.Current() {
			list.Items = append(list.Items, *m)
		}
	}
	return list, nil
}

// ChatPage returns a page of all chats, in no particular order.
func (q *Queries) ChatPage(ctx context.Context, page domain.Page) (List[domain.ChatID], error) {
	page, err := checkPage(page)
	if err != nil {
		return List[domain.ChatID]{}, err
	}
	chats, next, err := q.log.ChatPage(ctx, page.Cursor, page.Limit)
	return List[domain.ChatID]{Items: chats, Next: next}, err
}

// ChatsOfPage returns a page of the chats that a user is in, in no particular order, as [Queries.ChatsOf] does. Its cost follows the page and not the
// number of the user's chats.
func (q *Queries) ChatsOfPage(ctx context.Context, user domain.UserID, page domain.Page) (List[domain.ChatID], error) {
	page, err := checkPage(page)
	if err := firstError(checkUsers([]domain.UserID{user}), err); err != nil {
		return List[domain.ChatID]{}, err
	}
	pager, ok := q.views.Chats.(ports.UserViewPager)
	if !ok {
		return List[domain.ChatID]{}, q.noView("WithUserViews and a ports.UserViewPager")
	}
	chats, next, err := pager.Page(ctx, q.views.Log, user, page.Cursor, page.Limit)
	if err == nil && len(chats) == 0 && page.Cursor == "" {
		err = q.views.none(ctx)
	}
	return List[domain.ChatID]{Items: chats, Next: next}, err
}

// CustomPage returns a page of the events of a custom entity, newest first. Its cost follows the page.
func (q *Queries) CustomPage(ctx context.Context, chat domain.ChatID, id domain.CustomID, page domain.Page) (List[ports.Record], error) {
	page, err := checkPage(page)
	if _, invalid := domain.ParseCustomID(string(id)); invalid != nil {
		return List[ports.Record]{}, invalid
	}
	if err := firstError(checkChat(chat), err); err != nil {
		return List[ports.Record]{}, err
	}
	want := ports.LoadRequest{Entity: domain.CustomEntity(id), Until: q.until, Last: page.Limit}
	if page.Cursor != "" {
		n, err := strconv.ParseUint(page.Cursor, 10, 64)
		if err != nil || n == 0 {
			return List[ports.Record]{}, badCursor(page.Cursor)
		}
		want.From = domain.Seq(n)
		if err := q.checkCustomCursor(ctx, chat, id, want.From); err != nil {
			return List[ports.Record]{}, err
		}
	}
	loaded, err := q.log.Load(ctx, chat, want)
	if err == nil {
		err = found(chat, loaded.Head)
	}
	if err != nil {
		return List[ports.Record]{}, err
	}
	h := loaded.Entities[0]
	list := List[ports.Record]{}
	for i := len(h.Events) - 1; i >= 0; i-- {
		list.Items = append(list.Items, h.Events[i])
	}
	if h.Older > 0 {
		list.Next = strconv.FormatUint(uint64(h.Older), 10)
	}
	return list, nil
}

// checkCustomCursor returns an error unless the event of a seq is about the custom entity: a cursor may come from outside.
func (q *Queries) checkCustomCursor(ctx context.Context, chat domain.ChatID, id domain.CustomID, seq domain.Seq) error {
	page, err := q.read(ctx, chat, ports.Range{From: seq, Limit: 1})
	if err != nil {
		return err
	}
	for _, r := range page.Records {
		if e, ok := r.Event.(domain.Custom); ok && e.Entity == id {
			return nil
		}
	}
	return badCursor(strconv.FormatUint(uint64(seq), 10))
}
