package app_test

import (
	"slices"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/cache"
	"chatcore/domain"
	"chatcore/ports"
)

// TestAChangeOfMembershipIsInTheViewBeforeListsAreForgotten handles events for the caches alone: the view's own subscriber has not run yet, and
// values loaded between the two would be stored.
func TestAChangeOfMembershipIsInTheViewBeforeListsAreForgotten(t *testing.T) {
	clock := &stepping{at: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}
	log := memory.New(wireformat.New(), clock, nil)
	entities := app.NewEntities(log, log, 1<<20)
	chats := app.NewChats(log, entities, silent{}, log.Typing(), clock, ids{}, nil, app.Policy{}, nil)
	queries := app.NewQueries(log, entities, app.Views{Log: log.ID(), Chats: memory.NewUserView(), Unread: memory.NewUserView()})
	caches, err := app.NewCaches(memory.NewCache(clock), clock, app.CacheKinds{
		Message: cache.Config{Prefix: "m:", TTL: 24 * time.Hour}, ChatList: cache.Config{Prefix: "l:", TTL: 24 * time.Hour}, ContactList: cache.Config{Prefix: "c:", TTL: 24 * time.Hour},
	}, queries)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(caches.Close)
	caches.Answer(queries)
	stale, ctx := app.NewStaleCaches(caches), t.Context()
	expect := func(user domain.UserID, lists []domain.ChatID, contacts ...domain.UserID) {
		t.Helper()
		list, err1 := queries.ChatList(ctx, user)
		known, err2 := queries.Contacts(ctx, user)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		var gotLists []domain.ChatID
		for _, c := range list {
			gotLists = append(gotLists, c.ID)
		}
		var gotContacts []domain.UserID
		for _, c := range known {
			gotContacts = append(gotContacts, c.User)
		}
		if !slices.Equal(gotLists, lists) || !slices.Equal(gotContacts, contacts) {
			t.Errorf("%s has %v and knows %v, want %v and %v", user, gotLists, gotContacts, lists, contacts)
		}
	}
	seen := domain.Seq(0)
	handle := func(_ app.Done, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		records, err := queries.Events(ctx, "c", domain.Span{After: seen, First: seen == 0})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			seen = r.Seq
			for range 2 { // again does no harm
				if err := stale.Handle(ctx, ports.Delivery{ID: ports.DeliveryID{Log: log.ID(), Chat: "c", Seq: r.Seq}, Event: r.Event}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	expect("ada", nil)
	expect("ben", nil)
	handle(chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
	expect("ada", []domain.ChatID{"c"})
	handle(chats.Add(ctx, domain.Add{Chat: "c", Actor: "ada", User: "ben"}))
	expect("ada", []domain.ChatID{"c"}, "ben")
	expect("ben", []domain.ChatID{"c"}, "ada")
	handle(chats.Leave(ctx, domain.Leave{Chat: "c", Actor: "ben"}))
	expect("ada", []domain.ChatID{"c"})
	expect("ben", nil)
}
