package app_test

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/apptest"
)

// listed is a log in memory with the chats of users.
type listed struct {
	t       *testing.T
	log     *memory.Log
	chats   *app.Chats
	queries *app.Queries
	view    *memory.UserView
}

func newListed(t *testing.T) *listed {
	t.Helper()
	clock := &stepping{At: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}
	log := memory.New(wireformat.New(), clock, nil)
	entities := entity.NewLoader(log, nil, 1<<20)
	view := memory.NewUserView()
	return &listed{
		t, log, app.NewChats(log, entities, silent{}, log.Typing(), clock, ids{}, nil, app.Policy{}, nil),
		app.NewQueries(log, entities, projection.Views{Log: log.ID(), Chats: view, Unread: memory.NewUserView()}), view,
	}
}

// create starts a chat of ada's and puts it into the view of its members.
func (l *listed) create(chat domain.ChatID, members ...domain.UserID) {
	l.t.Helper()
	done, err := l.chats.Create(l.t.Context(), domain.Create{Chat: chat, Actor: "ada", Title: "Title of " + string(chat), Members: members})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, user := range slices.Concat(members, []domain.UserID{"ada"}) {
		if err := l.view.Put(l.t.Context(), l.log.ID(), ports.ChatEntries{
			Chat: chat, Entries: []ports.UserEntry{{User: user, Version: done.Seq, Number: uint64(done.Seq)}},
		}); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *listed) send(chat domain.ChatID, by domain.UserID, text string) {
	l.t.Helper()
	if _, err := l.chats.Send(l.t.Context(), domain.Send{Chat: chat, Actor: by, Content: text}); err != nil {
		l.t.Fatal(err)
	}
}

func TestChatListPage_LatestMessageFirst(t *testing.T) {
	l := newListed(t)
	const chats = 30
	for i := range chats {
		l.create(domain.ChatID(fmt.Sprint("c", i)), "ben", "cyd")
	}
	for i := range chats {
		if i%7 != 3 { // the others have no message
			l.send(domain.ChatID(fmt.Sprint("c", i*11%chats)), "ada", fmt.Sprint("message ", i))
		}
	}
	last, err := l.queries.History(t.Context(), "c5", domain.Span{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []domain.ChatID{"c5", "c6"} { // no activity
		if _, err := l.chats.Rename(t.Context(), domain.Rename{Chat: id, Actor: "ada", Title: "renamed"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.chats.React(t.Context(), domain.React{Chat: "c5", Actor: "ben", MessageID: last[0].ID, Emoji: "👍"}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.chats.Leave(t.Context(), domain.Leave{Chat: "c8", Actor: "ben"}); err != nil { // and the view does not know yet
		t.Fatal(err)
	}
	var want []app.ListedChat
	for limit := range 4 {
		got := apptest.Pages(t, []int{1, 4, 29, 50}[limit], func(p domain.Page) (app.List[app.ListedChat], error) {
			return l.queries.ChatListPage(t.Context(), "ben", p)
		})
		if want == nil {
			want = got
		}
		if len(got) != chats-1 || !slices.IsSortedFunc(got, func(a, b app.ListedChat) int {
			return cmp.Or(b.LastAt.Compare(a.LastAt), cmp.Compare(a.ID, b.ID))
		}) {
			t.Fatalf("%d chats: %+v", len(got), got)
		}
		for i, c := range got {
			if c.ID != want[i].ID {
				t.Errorf("place %d is %s, and %s by another limit", i, c.ID, want[i].ID)
			}
			history, err := l.queries.History(t.Context(), c.ID, domain.Span{Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			unread, err := l.queries.Unread(t.Context(), c.ID, "ben")
			if err != nil {
				t.Fatal(err)
			}
			title := domain.Title("Title of " + string(c.ID))
			if c.ID == "c5" || c.ID == "c6" {
				title = "renamed"
			}
			if c.Title != title || c.Role != domain.RoleMember || c.Unread != unread || (c.Last != nil) != (len(history) > 0) {
				t.Errorf("%+v; want the title %q, %d unread and %d messages", c, title, unread, len(history))
			}
			if c.Last != nil && (c.Last.Content != history[0].Content || len(c.Last.Reactions) != len(history[0].Reactions) || !c.LastAt.Equal(c.Last.SentAt)) {
				t.Errorf("%s ends with %+v, want %+v", c.ID, c.Last, history[0])
			}
		}
	}
}

// TestChatList_HasWhatThePageHas compares the whole list with a page of it. Some chats have no message, some last messages have reactions or are deleted.
func TestChatList_HasWhatThePageHas(t *testing.T) {
	l := newListed(t)
	for i := range 30 {
		chat := domain.ChatID(fmt.Sprint("c", i))
		if l.create(chat, "ben"); i%4 == 0 {
			continue
		}
		sent, err := l.chats.Send(t.Context(), domain.Send{Chat: chat, Actor: "ada", Content: "hello"})
		if err == nil && i%3 == 0 {
			_, err = l.chats.React(t.Context(), domain.React{Chat: chat, Actor: "ben", MessageID: sent.MessageID, Emoji: "👍"})
		}
		if err == nil && i%5 == 0 {
			_, err = l.chats.Delete(t.Context(), domain.Delete{Chat: chat, Actor: "ada", MessageID: sent.MessageID})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	page, err := l.queries.ChatListPage(t.Context(), "ben", domain.Page{})
	whole, wholeErr := l.queries.ChatList(t.Context(), "ben")
	if err != nil || wholeErr != nil || len(whole) != 30 || len(page.Items) != 30 {
		t.Fatalf("%d chats and %d, errors %v and %v", len(whole), len(page.Items), wholeErr, err)
	}
	for i, want := range page.Items {
		if !reflect.DeepEqual(whole[i], want) {
			t.Errorf("place %d has\n%+v %+v, want\n%+v %+v", i, whole[i], whole[i].Last, want, want.Last)
		}
	}
}

func TestListsInPages(t *testing.T) {
	l := newListed(t)
	var members []domain.UserID
	for i := range 60 {
		members = append(members, domain.UserID(fmt.Sprint("user-", i)))
	}
	l.create("c", members...)
	for i := range 20 {
		l.create(domain.ChatID(fmt.Sprint("d", i)), members[i%3:20+i%3]...)
	}
	for _, user := range members[:30] {
		if _, err := l.chats.Leave(t.Context(), domain.Leave{Chat: "c", Actor: user}); err != nil {
			t.Fatal(err)
		}
	}
	q, ctx := l.queries, t.Context()
	all, err := q.Members(ctx, "c")
	if err != nil {
		t.Fatal(err)
	}
	contacts, err := q.Contacts(ctx, "ada")
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{1, 7, app.MaxList} {
		got := apptest.Pages(t, limit, func(p domain.Page) (app.List[domain.Member], error) { return q.MemberPage(ctx, "c", p) })
		slices.SortFunc(got, func(a, b domain.Member) int {
			return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.User, b.User))
		})
		if !slices.Equal(got, all) {
			t.Errorf("by %d: %d members, want %d", limit, len(got), len(all))
		}
		if chats := apptest.Pages(t, limit, func(p domain.Page) (app.List[domain.ChatID], error) { return q.ChatPage(ctx, p) }); len(chats) != 21 {
			t.Errorf("by %d: %d chats", limit, len(chats))
		}
		if chats := apptest.Pages(t, limit, func(p domain.Page) (app.List[domain.ChatID], error) { return q.ChatsOfPage(ctx, "ada", p) }); len(chats) != 21 {
			t.Errorf("by %d: %d chats of a user", limit, len(chats))
		}
		if some := apptest.Pages(t, limit, func(p domain.Page) (app.List[app.Contact], error) { return q.ContactPage(ctx, "ada", p) }); !slices.Equal(some, contacts) {
			t.Errorf("by %d: %+v, want %+v", limit, some, contacts)
		}
	}
	if m, err := q.Member(ctx, "c", "user-40"); err != nil || m.User != "user-40" {
		t.Errorf("%+v, error %v", m, err)
	}
	if _, err := q.Member(ctx, "c", "user-4"); !errors.Is(err, domain.ErrNotMember) {
		t.Errorf("a former member: error %v", err)
	}
	if _, err := q.MemberPage(ctx, "none", domain.Page{}); !errors.Is(err, domain.ErrChatNotFound) {
		t.Errorf("no chat: error %v", err)
	}
	for name, call := range map[string]func(p domain.Page) error{
		"members":   func(p domain.Page) error { _, err := q.MemberPage(ctx, "c", p); return err },
		"chats":     func(p domain.Page) error { _, err := q.ChatPage(ctx, p); return err },
		"chats of":  func(p domain.Page) error { _, err := q.ChatsOfPage(ctx, "ada", p); return err },
		"contacts":  func(p domain.Page) error { _, err := q.ContactPage(ctx, "ada", p); return err },
		"chat list": func(p domain.Page) error { _, err := q.ChatListPage(ctx, "ada", p); return err },
		"own":       func(p domain.Page) error { _, err := q.CustomPage(ctx, "c", "poll", p); return err },
	} {
		for _, p := range []domain.Page{{Limit: -1}, {Limit: app.MaxList + 1}, {Cursor: "no cursor"}} {
			var invalid *domain.InvalidError
			if err := call(p); !errors.As(err, &invalid) {
				t.Errorf("%s %+v gave the error %v, want an InvalidError", name, p, err)
			}
		}
	}
}

func TestOwnPage_NewestFirst(t *testing.T) {
	l := newListed(t)
	l.create("c")
	for i := range 25 {
		for _, entity := range []domain.CustomID{"poll", "other"} {
			if _, err := l.chats.Record(t.Context(), domain.Record{Chat: "c", Actor: "ada", Event: custom{fmt.Sprintf(`{"n":%d}`, i)}, Entity: entity}); err != nil {
				t.Fatal(err)
			}
		}
	}
	whole, err := l.queries.Custom(t.Context(), "c", "poll")
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(whole.Events)
	for _, limit := range []int{1, 10, 25, 26} {
		got := apptest.Pages(t, limit, func(p domain.Page) (app.List[ports.Record], error) {
			return l.queries.CustomPage(t.Context(), "c", "poll", p)
		})
		if fmt.Sprint(got) != fmt.Sprint(whole.Events) {
			t.Errorf("by %d: %d events, want %d", limit, len(got), len(whole.Events))
		}
	}
}
