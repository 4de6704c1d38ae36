package app_test

import (
	"testing"

	"chatcore/app"
	"chatcore/domain"
)

// listOf returns the chats of a user's list, hidden ones instead of the others.
func (l *listing) listOf(user domain.UserID, hidden bool) map[domain.ChatID]app.ListedChat {
	l.t.Helper()
	list, err := l.plain.FilteredChatList(l.t.Context(), user, app.ChatFilter{Hidden: hidden}, domain.Page{})
	l.did(nil, err)
	found := make(map[domain.ChatID]app.ListedChat)
	for _, c := range list.Items {
		found[c.ID] = c
	}
	return found
}

// TestChatList_HiddenDirectChat hides a direct chat on both sides: a message shows it to both, and opening it shows it to who opens it.
func TestChatList_HiddenDirectChat(t *testing.T) {
	l, ctx := newListing(t), t.Context()
	direct, err := l.chats.OpenDirect(ctx, domain.OpenDirect{Actor: "ann", With: "bob"})
	l.did(nil, err)
	l.did(l.chats.Send(ctx, domain.Send{Chat: direct.Chat, Actor: "ann", MessageID: "m1", Content: "x"}))
	for _, user := range []domain.UserID{"ann", "bob"} {
		l.did(l.chats.SetSettings(ctx, domain.SetSettings{Chat: direct.Chat, Actor: user, Settings: domain.SettingsChange{Hidden: new(domain.HiddenUntilMessage)}}))
	}
	l.did(l.chats.MarkRead(ctx, domain.MarkRead{Chat: direct.Chat, Actor: "bob", MessageID: "m1", AwaitRecorded: true}))
	l.deliver(direct.Chat)
	for _, user := range []domain.UserID{"ann", "bob"} {
		if shown, hidden := l.listOf(user, false), l.listOf(user, true); len(shown) != 0 || len(hidden) != 1 {
			t.Errorf("%s has hidden the chat, and sees %v, hidden %v", user, shown, hidden)
		}
	}
	opened, err := l.chats.OpenDirect(ctx, domain.OpenDirect{Actor: "ann", With: "bob"})
	l.did(opened, err)
	l.deliver(direct.Chat)
	if len(l.listOf("ann", false)) != 1 || len(l.listOf("bob", false)) != 0 {
		t.Errorf("after it was opened, ann sees %v and bob %v", l.listOf("ann", false), l.listOf("bob", false))
	}
	l.did(l.chats.SetSettings(ctx, domain.SetSettings{Chat: direct.Chat, Actor: "ann", Settings: domain.SettingsChange{Hidden: new(domain.HiddenAlways)}}))
	l.did(l.chats.Send(ctx, domain.Send{Chat: direct.Chat, Actor: "ann", MessageID: "m2", Content: "y"}))
	l.did(l.chats.Send(ctx, domain.Send{Chat: direct.Chat, Actor: "bob", MessageID: "m3", Content: "z"}))
	l.deliver(direct.Chat)
	if c := l.listOf("bob", false)[direct.Chat]; c.Preview.Message != "m3" || c.Unread != 0 {
		t.Errorf("after messages bob sees %+v", c)
	}
	if c := l.listOf("ann", true)[direct.Chat]; len(l.listOf("ann", false)) != 0 || c.Unread != 1 {
		t.Errorf("a chat that is always hidden is %+v", c)
	}
}

// TestChatList_PreviewAfterChanges edits, deletes and erases the last message and an earlier one: the chat stays in its place.
func TestChatList_PreviewAfterChanges(t *testing.T) {
	l, ctx := newListing(t), t.Context()
	for _, chat := range []domain.ChatID{"a", "b"} {
		l.did(l.chats.Create(ctx, domain.Create{Chat: chat, Actor: "bob", Members: []domain.UserID{"ann"}}))
		l.did(l.chats.Send(ctx, domain.Send{Chat: chat, Actor: "bob", MessageID: "old", Content: "old"}))
		l.did(l.chats.Send(ctx, domain.Send{Chat: chat, Actor: "bob", MessageID: "new", Content: "new"}))
		l.deliver(chat)
	}
	before := l.listOf("ann", false)["a"]
	for _, step := range []struct {
		what string
		do   func() error
		text string
		gone bool
	}{
		{"an edit of an earlier message", func() error {
			_, err := l.chats.Edit(ctx, domain.Edit{Chat: "a", Actor: "bob", MessageID: "old", Content: "late"})
			return err
		}, "new", false},
		{"a reply in a thread", func() error {
			_, err := l.chats.Send(ctx, domain.Send{Chat: "a", Actor: "bob", MessageID: "reply", Content: "reply", Thread: "old"})
			return err
		}, "new", false},
		{"an edit of the last message", func() error {
			_, err := l.chats.Edit(ctx, domain.Edit{Chat: "a", Actor: "bob", MessageID: "new", Content: "next"})
			return err
		}, "next", false},
		{"its deletion", func() error {
			_, err := l.chats.Delete(ctx, domain.Delete{Chat: "a", Actor: "bob", MessageID: "new"})
			return err
		}, "", true},
		{"its erasure", func() error {
			_, err := l.chats.Erase(ctx, domain.Erase{Chat: "a", Actor: "bob", MessageID: "new"})
			return err
		}, "", true},
	} {
		l.did(nil, step.do())
		for _, handled := range []bool{false, true} {
			if handled {
				l.deliver("a")
			}
			if c := l.listOf("ann", false)["a"]; c.Preview.Message != "new" || c.Preview.Preview != step.text || c.Preview.Deleted != step.gone || !c.LastAt.Equal(before.LastAt) {
				t.Errorf("%s, handled %t: %+v", step.what, handled, c)
			}
		}
	}
	list, err := l.plain.FilteredChatList(ctx, "ann", app.ChatFilter{}, domain.Page{})
	if l.did(nil, err); len(list.Items) != 2 || list.Items[0].ID != "b" {
		t.Errorf("the order is %+v", list.Items)
	}
}

// TestChatList_NewChatIsListedByItsJoin lists a chat without messages, and one that the user joined after its last message, by the join.
func TestChatList_NewChatIsListedByItsJoin(t *testing.T) {
	l, ctx := newListing(t), t.Context()
	l.did(l.chats.Create(ctx, domain.Create{Chat: "joined", Actor: "bob"}))
	l.did(l.chats.Send(ctx, domain.Send{Chat: "joined", Actor: "bob", Content: "x"}))
	l.did(l.chats.Create(ctx, domain.Create{Chat: "busy", Actor: "bob", Members: []domain.UserID{"ann"}}))
	l.did(l.chats.Send(ctx, domain.Send{Chat: "busy", Actor: "bob", Content: "x"}))
	l.did(l.chats.Create(ctx, domain.Create{Chat: "empty", Actor: "bob", Members: []domain.UserID{"ann"}}))
	l.did(l.chats.Add(ctx, domain.Add{Chat: "joined", Actor: "bob", User: "ann"}))
	l.deliver("joined", "busy", "empty")
	for name, q := range map[string]*app.Queries{"without caches": l.plain, "with caches": l.cached} {
		list, err := q.FilteredChatList(ctx, "ann", app.ChatFilter{}, domain.Page{})
		l.did(nil, err)
		var order []domain.ChatID
		for _, c := range list.Items {
			order = append(order, c.ID)
		}
		if len(order) != 3 || order[0] != "joined" || order[1] != "empty" || order[2] != "busy" || !list.Items[0].LastAt.Equal(list.Items[0].JoinedAt) {
			t.Errorf("%s the order is %v: %+v", name, order, list.Items)
		}
	}
}

// TestChatList_Metadata lists values of the keys that are asked for, without long ones, and refuses wrong keys.
func TestChatList_Metadata(t *testing.T) {
	l, ctx := newListing(t), t.Context()
	l.did(l.chats.Create(ctx, domain.Create{Chat: "a", Actor: "ann"}))
	long := make([]byte, app.MaxListedValue)
	for i := range long {
		long[i] = 'x'
	}
	l.did(l.chats.UpdateMetadata(ctx, domain.UpdateMetadata{Chat: "a", Actor: "ann", Set: map[string]string{"topic": `"t"`, "long": `"` + string(long) + `"`, "other": "1"}}))
	l.deliver("a")
	list, err := l.plain.FilteredChatList(ctx, "ann", app.ChatFilter{Metadata: []string{"topic", "long", "none"}}, domain.Page{})
	if l.did(nil, err); len(list.Items) != 1 || len(list.Items[0].Metadata) != 1 || list.Items[0].Metadata["topic"] != `"t"` {
		t.Errorf("the list is %+v", list.Items)
	}
	for _, keys := range [][]string{{"a b"}, {""}, {"1", "2", "3", "4", "5", "6", "7", "8", "9"}} {
		if _, err := l.plain.FilteredChatList(ctx, "ann", app.ChatFilter{Metadata: keys}, domain.Page{}); err == nil {
			t.Errorf("the keys %q are not refused", keys)
		}
	}
}
