package app_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"chatcore/app"
	"chatcore/domain"
)

// TestFilteredChatList sets settings in some chats, and lists the chats that each filter selects, in pages of each size.
func TestFilteredChatList(t *testing.T) {
	l, ctx := newListing(t), t.Context()
	names := []domain.ChatID{"plain", "favourite", "hidden", "shown", "always", "archived", "empty"}
	for _, chat := range names {
		l.did(l.chats.Create(ctx, domain.Create{Chat: chat, Actor: "bob", Members: []domain.UserID{"ann"}}))
		if chat != "empty" {
			l.did(l.chats.Send(ctx, domain.Send{Chat: chat, Actor: "bob", MessageID: "m", Content: "häuser"}))
		}
	}
	set := func(chat domain.ChatID, change domain.SettingsChange) {
		t.Helper()
		l.did(l.chats.SetSettings(ctx, domain.SetSettings{Chat: chat, Actor: "ann", Settings: change}))
	}
	until := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	set("favourite", domain.SettingsChange{Favourite: new(true), Notify: new(domain.NotifyMentions), MutedUntil: &until})
	set("hidden", domain.SettingsChange{Hidden: new(domain.HiddenUntilMessage)})
	set("shown", domain.SettingsChange{Hidden: new(domain.HiddenUntilMessage)})
	set("always", domain.SettingsChange{Hidden: new(domain.HiddenAlways)})
	for _, chat := range []domain.ChatID{"shown", "always"} {
		l.did(l.chats.Send(ctx, domain.Send{Chat: chat, Actor: "bob", MessageID: "m2", Content: "x"}))
	}
	l.did(l.chats.Archive(ctx, domain.Archive{Chat: "archived", Actor: "bob"}))
	l.did(l.chats.MarkRead(ctx, domain.MarkRead{Chat: "plain", Actor: "ann", MessageID: "m", AwaitRecorded: true}))
	mine, err := l.chats.OpenDirect(ctx, domain.OpenDirect{Actor: "ann", With: "cem"})
	l.did(mine, err)
	theirs, err := l.chats.OpenDirect(ctx, domain.OpenDirect{Actor: "dan", With: "ann"})
	l.did(theirs, err)
	l.deliver(append(names, mine.Chat, theirs.Chat)...)
	for what, row := range map[string]struct {
		filter app.ChatFilter
		want   []domain.ChatID
	}{
		"those that are not hidden": {app.ChatFilter{}, []domain.ChatID{mine.Chat, "shown", "empty", "archived", "favourite", "plain"}},
		"favourites":                {app.ChatFilter{Favourite: true}, []domain.ChatID{"favourite"}},
		"hidden":                    {app.ChatFilter{Hidden: true}, []domain.ChatID{"always", "hidden"}},
		"unread":                    {app.ChatFilter{Unread: true}, []domain.ChatID{"shown", "archived", "favourite"}},
		"archived":                  {app.ChatFilter{Archived: new(true)}, []domain.ChatID{"archived"}},
		"groups, not archived":      {app.ChatFilter{Kinds: []domain.ChatKind{domain.Group}, Archived: new(false)}, []domain.ChatID{"shown", "empty", "favourite", "plain"}},
		"direct chats":              {app.ChatFilter{Kinds: []domain.ChatKind{domain.Direct}}, []domain.ChatID{mine.Chat}},
		"nothing":                   {app.ChatFilter{Favourite: true, Hidden: true}, nil},
	} {
		for limit := 1; limit < 12; limit++ {
			var got []domain.ChatID
			for page := (domain.Page{Limit: limit}); ; {
				list, err := l.plain.FilteredChatList(ctx, "ann", row.filter, page)
				l.did(nil, err)
				if len(list.Items) > limit {
					t.Errorf("%s: a page of %d has %d chats", what, limit, len(list.Items))
				}
				for _, c := range list.Items {
					got = append(got, c.ID)
				}
				if page.Cursor = list.Next; list.Next == "" {
					break
				}
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("%s in pages of %d: %v, want %v", what, limit, got, row.want)
			}
		}
	}
	list, err := l.plain.FilteredChatList(ctx, "ann", app.ChatFilter{Favourite: true}, domain.Page{})
	l.did(nil, err)
	if c := list.Items[0]; !c.Favourite || c.Hidden || c.Notify != domain.NotifyMentions || !c.MutedUntil.Equal(until) || c.Kind != domain.Group || c.Preview.Preview != "häu" {
		t.Errorf("a favourite is %+v", c)
	}
	list, err = l.plain.FilteredChatList(ctx, "ann", app.ChatFilter{Kinds: []domain.ChatKind{domain.Direct}}, domain.Page{})
	l.did(nil, err)
	if c := list.Items[0]; c.Kind != domain.Direct || c.Peer != "cem" || c.Preview.Seq != 0 {
		t.Errorf("a direct chat is %+v", c)
	}
	l.did(l.chats.Send(ctx, domain.Send{Chat: theirs.Chat, Actor: "dan", MessageID: "hi", Content: "hi"}))
	list, err = l.plain.FilteredChatList(ctx, "ann", app.ChatFilter{Kinds: []domain.ChatKind{domain.Direct}}, domain.Page{})
	if l.did(nil, err); len(list.Items) != 2 || list.Items[0].Peer != "dan" || list.Items[0].Unread != 1 {
		t.Errorf("after the first message the direct chats are %+v", list.Items)
	}
	l.did(l.chats.Delete(ctx, domain.Delete{Chat: theirs.Chat, Actor: "dan", MessageID: "hi"}))
	list, err = l.plain.FilteredChatList(ctx, "ann", app.ChatFilter{Kinds: []domain.ChatKind{domain.Direct}}, domain.Page{})
	if l.did(nil, err); list.Items[0].Peer != "dan" || list.Items[0].Preview.Preview != "" || !list.Items[0].Preview.Deleted {
		t.Errorf("after its deletion the direct chats are %+v", list.Items)
	}
}

// TestFilteredChatList_WhileChatsMove pages while chats get messages: no chat comes twice, and those that are missing are on the next first page.
func TestFilteredChatList_WhileChatsMove(t *testing.T) {
	l, ctx := newListing(t), t.Context()
	var chats []domain.ChatID
	for i := range 40 {
		chat := domain.ChatID(fmt.Sprint("chat-", i))
		chats = append(chats, chat)
		l.did(l.chats.Create(ctx, domain.Create{Chat: chat, Actor: "bob", Members: []domain.UserID{"ann"}}))
	}
	l.deliver(chats...)
	seen, moved := map[domain.ChatID]int{}, map[domain.ChatID]bool{}
	for page := (domain.Page{Limit: 5}); ; {
		list, err := l.plain.ChatListPage(ctx, "ann", page)
		l.did(nil, err)
		for _, c := range list.Items {
			seen[c.ID]++
		}
		for i := range 3 {
			chat := chats[(7*len(moved)+11*i)%len(chats)]
			l.did(l.chats.Send(ctx, domain.Send{Chat: chat, Actor: "bob", Content: "x"}))
			moved[chat] = true
		}
		if page.Cursor = list.Next; list.Next == "" {
			break
		}
	}
	first, err := l.plain.ChatListPage(ctx, "ann", domain.Page{Limit: len(moved)})
	l.did(nil, err)
	for _, chat := range chats {
		if seen[chat] > 1 {
			t.Errorf("chat %q came %d times", chat, seen[chat])
		}
		if seen[chat] == 0 && (!moved[chat] || !slices.ContainsFunc(first.Items, func(c app.ListedChat) bool { return c.ID == chat })) {
			t.Errorf("chat %q is missing", chat)
		}
	}
}

// TestUnreadTotals leaves muted chats out, which count in their own rows, and counts them again once the mute has ended.
func TestUnreadTotals(t *testing.T) {
	l, ctx := newListing(t), t.Context()
	at := l.plain.WithClock(&stepping{At: time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)})
	for i, chat := range []domain.ChatID{"a", "b", "c", "d"} {
		l.did(l.chats.Create(ctx, domain.Create{Chat: chat, Actor: "bob", Members: []domain.UserID{"ann"}}))
		for range i {
			l.did(l.chats.Send(ctx, domain.Send{Chat: chat, Actor: "bob", Content: "x"}))
		}
		l.deliver(chat)
	}
	totals := func(q *app.Queries, muted bool, want app.UnreadTotals) {
		t.Helper()
		if got, err := q.UnreadTotals(ctx, "ann", muted); err != nil || got != want {
			t.Errorf("%+v, error %v, want %+v", got, err, want)
		}
	}
	set := func(chat domain.ChatID, change domain.SettingsChange) {
		l.did(l.chats.SetSettings(ctx, domain.SetSettings{Chat: chat, Actor: "ann", Settings: change}))
	}
	totals(at, false, app.UnreadTotals{Chats: 3, Messages: 6})
	set("c", domain.SettingsChange{MutedUntil: new(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC))})
	set("b", domain.SettingsChange{Notify: new(domain.NotifyNone)})
	totals(at, false, app.UnreadTotals{Chats: 1, Messages: 3})
	totals(at, true, app.UnreadTotals{Chats: 3, Messages: 6})
	totals(l.plain, false, app.UnreadTotals{Chats: 2, Messages: 5})
	set("c", domain.SettingsChange{MutedUntil: &time.Time{}})
	totals(at, false, app.UnreadTotals{Chats: 2, Messages: 5})
	for _, chat := range []domain.ChatID{"b", "c", "d", "d"} {
		l.did(l.chats.Send(ctx, domain.Send{Chat: chat, Actor: "bob", Content: "x", Mentions: []domain.UserID{"ann"}}))
	}
	totals(at, false, app.UnreadTotals{Chats: 2, Messages: 8, Mentions: 3})
	totals(at, true, app.UnreadTotals{Chats: 3, Messages: 10, Mentions: 4})
	counts, err := at.UnreadOf(ctx, "ann")
	if l.did(nil, err); counts["b"] != 2 || counts["c"] != 3 {
		t.Errorf("the rows are %v", counts)
	}
}
