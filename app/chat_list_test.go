package app_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/cache"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// listing is a log with the read models of chats and unread counts, which answers from the log and from caches.
type listing struct {
	t             *testing.T
	log           *memory.Log
	chats         *app.Chats
	plain, cached *app.Queries
	stale         *projection.StaleCaches
	views         []func(ports.Delivery) error
	seen          map[domain.ChatID]domain.Seq
}

func newListing(t *testing.T) *listing {
	t.Helper()
	clock := &stepping{At: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}
	log := memory.New(wireformat.New(), clock, nil)
	entities := entity.NewLoader(log, log, 1<<20)
	l := &listing{t: t, log: log, seen: map[domain.ChatID]domain.Seq{}}
	l.chats = app.NewChats(log, entities, silent{}, log.Typing(), clock, ids{}, nil, app.Policy{}, nil)
	views := projection.Views{Log: log.ID(), Chats: memory.NewUserView(), Unread: memory.NewUserView(), Favourites: memory.NewUserView(), Hidden: memory.NewUserView(), Preview: 4}
	l.plain, l.cached = app.NewQueries(log, entity.NewLoader(log, nil, 0), views), app.NewQueries(log, entities, views)
	day := func(prefix string) cache.Config {
		return cache.Config{Prefix: prefix, TTL: 24 * time.Hour}
	}
	caches, err := app.NewCaches(memory.NewCache(clock), clock, app.CacheKinds{Message: day("m:"), ChatList: day("l:"), ContactList: day("c:")}, l.cached)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(caches.Close)
	l.cached.UseCaches(caches)
	l.stale = projection.NewStaleCaches(projection.NewModels(log, entities, views), caches)
	plain := projection.NewModels(log, entity.NewLoader(log, nil, 0), views)
	builtins := projection.NewBuiltins(plain, nil, false)
	l.views = []func(ports.Delivery) error{
		func(d ports.Delivery) error { return builtins.Handle(t.Context(), d) },
		func(d ports.Delivery) error { return l.stale.Handle(t.Context(), d) },
	}
	return l
}

func (l *listing) did(_ any, err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// deliver has the events of chats handled that were not.
func (l *listing) deliver(chats ...domain.ChatID) {
	l.t.Helper()
	for _, chat := range chats {
		page, err := l.log.Read(l.t.Context(), chat, ports.Range{From: l.seen[chat] + 1, Limit: ports.MaxPage})
		l.did(nil, err)
		for _, r := range page.Records {
			for _, handle := range l.views {
				l.did(nil, handle(ports.Delivery{ID: ports.DeliveryID{Log: l.log.ID(), Chat: chat, Seq: r.Seq, Event: r.ID}, Event: r.Event}))
			}
			l.seen[chat] = r.Seq
		}
	}
}

// both compares an answer from the caches with one from the log, twice: the second is in the caches.
func both[T any](l *listing, ask func(q *app.Queries) (T, error)) T {
	l.t.Helper()
	want, wantErr := ask(l.plain)
	for range 2 {
		got, err := ask(l.cached)
		if !reflect.DeepEqual(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			l.t.Errorf("the cache says\n%+v, %v, the log\n%+v, %v", got, err, want, wantErr)
		}
	}
	return want
}

// TestMessage_FromTheCache compares a cached message with the log's after each change. This process sees its own changes at once.
func TestMessage_FromTheCache(t *testing.T) {
	l, ctx := newListing(t), t.Context()
	l.did(l.chats.Create(ctx, domain.Create{Chat: "c", Actor: "ann", Members: []domain.UserID{"bob"}}))
	l.did(l.chats.Create(ctx, domain.Create{Chat: "d", Actor: "ann"}))
	message := func() app.MessageView {
		t.Helper()
		return both(l, func(q *app.Queries) (app.MessageView, error) { return q.Message(ctx, "c", "m") })
	}
	message() // there is none
	l.did(l.chats.Send(ctx, domain.Send{Chat: "c", Actor: "bob", MessageID: "r", Content: "?"}))
	l.did(l.chats.Send(ctx, domain.Send{
		Chat: "c", Actor: "ann", MessageID: "m", Content: "x", ReplyTo: "r", Mentions: []domain.UserID{"bob"}, ClientMeta: `{"k":1}`,
		Attachments: []domain.Attachment{{Name: "n", Type: "t/x", Size: 5, URL: "u"}, {Name: "o", URL: "v"}},
	}))
	if m := message(); len(m.Attachments) != 2 || m.Content != "x" {
		t.Errorf("the message is %+v", m)
	}
	for i, change := range []func() (app.Done, error){
		func() (app.Done, error) {
			return l.chats.Pin(ctx, domain.Pin{Chat: "c", Actor: "ann", MessageID: "m"})
		},
		func() (app.Done, error) {
			return l.chats.React(ctx, domain.React{Chat: "c", Actor: "bob", MessageID: "m", Emoji: "👍"})
		},
		func() (app.Done, error) {
			return l.chats.React(ctx, domain.React{Chat: "c", Actor: "ann", MessageID: "m", Emoji: "🍅"})
		},
		func() (app.Done, error) {
			return l.chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "ann", MessageID: "m", Content: "y"})
		},
		func() (app.Done, error) {
			return l.chats.Delete(ctx, domain.Delete{Chat: "c", Actor: "ann", MessageID: "m", Reason: "spam"})
		},
	} {
		l.did(change())
		if m := message(); i == 2 && (len(m.Reactions) != 2 || m.PinnedBy != "ann") || i == 4 && !m.Deleted() {
			t.Errorf("after change %d the message is %+v", i, m)
		}
		l.deliver("c")
		message()
	}
	for _, chat := range []domain.ChatID{"d", "none"} { // the message is under the same id there
		both(l, func(q *app.Queries) (app.MessageView, error) { return q.Message(ctx, chat, "m") })
	}
}

// TestChatList_FromTheCache compares cached lists and contacts with the log's: of users in several chats, with roles, titles and unread counts, of a
// chat that is archived, and of one that was left.
func TestChatList_FromTheCache(t *testing.T) {
	l, ctx := newListing(t), t.Context()
	l.did(l.chats.Create(ctx, domain.Create{Chat: "a", Actor: "ann", Title: "A", Members: []domain.UserID{"bob", "cem"}}))
	l.did(l.chats.Create(ctx, domain.Create{Chat: "b", Actor: "bob", Title: "B", Members: []domain.UserID{"ann", "dan"}}))
	l.did(l.chats.Create(ctx, domain.Create{Chat: "e", Actor: "ann", Members: []domain.UserID{"bob"}}))
	all := []domain.ChatID{"a", "b", "e"}
	l.deliver(all...)
	check := func() (lists map[domain.UserID][]app.ListedChat, contacts map[domain.UserID][]app.Contact) {
		t.Helper()
		lists, contacts = map[domain.UserID][]app.ListedChat{}, map[domain.UserID][]app.Contact{}
		for _, user := range []domain.UserID{"ann", "bob", "cem", "dan", "eve"} {
			lists[user] = both(l, func(q *app.Queries) ([]app.ListedChat, error) { return q.ChatList(ctx, user) })
			contacts[user] = both(l, func(q *app.Queries) ([]app.Contact, error) { return q.Contacts(ctx, user) })
		}
		return lists, contacts
	}
	_, contacts := check()
	if want := []app.Contact{{User: "bob", Chats: 3}, {User: "cem", Chats: 1}, {User: "dan", Chats: 1}}; !slices.Equal(contacts["ann"], want) {
		t.Errorf("ann knows %v, want %v", contacts["ann"], want)
	}
	l.did(l.chats.Send(ctx, domain.Send{Chat: "a", Actor: "bob", Content: "x"}))
	l.did(l.chats.Promote(ctx, domain.Promote{Chat: "a", Actor: "ann", User: "bob", Role: domain.RoleAdmin}))
	l.did(l.chats.Rename(ctx, domain.Rename{Chat: "b", Actor: "bob", Title: "C"}))
	l.did(l.chats.Archive(ctx, domain.Archive{Chat: "e", Actor: "ann"}))
	l.did(l.chats.Leave(ctx, domain.Leave{Chat: "b", Actor: "dan"}))
	l.deliver(all...)
	lists, contacts := check()
	bob := lists["bob"]
	if len(bob) != 3 || bob[0].Role != domain.RoleAdmin || bob[2].Role != domain.RoleOwner || bob[2].Title != "C" || !bob[1].Archived || bob[1].Role != domain.RoleMember || bob[0].JoinedAt.IsZero() {
		t.Errorf("bob's chats are %+v", bob)
	}
	if cem := lists["cem"]; len(cem) != 1 || cem[0].Unread != 1 || cem[0].Title != "A" {
		t.Errorf("cem's chats are %+v", cem)
	}
	if len(lists["dan"]) != 0 || len(contacts["dan"]) != 0 || contacts["dan"] == nil {
		t.Errorf("dan left, and has %+v and knows %v", lists["dan"], contacts["dan"])
	}
	for name, err := range map[string]error{
		"forgetting": l.cached.ForgetContacts(ctx, "ann"), "forgetting without caches": l.plain.ForgetContacts(ctx, "ann"),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := l.cached.ForgetContacts(ctx, "a b"); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("forgetting contacts of no user: %v", err)
	}
	if _, err := l.cached.Contacts(ctx, "a b"); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("contacts of no user: %v", err)
	}
}
