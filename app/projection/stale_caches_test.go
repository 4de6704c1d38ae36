package projection_test

import (
	"context"
	"errors"
	"fmt"
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

// countedStore counts invalidations, and fails those beyond an allowance.
type countedStore struct {
	ports.CacheStore
	calls, largest int
	keys           map[string]int
	allowed        int // calls that succeed from now on
}

func (s *countedStore) Invalidate(ctx context.Context, version uint64, remember time.Duration, keys ...ports.CacheKey) error {
	if s.allowed == 0 {
		return ports.ErrUnavailable
	}
	s.allowed--
	s.calls++
	s.largest = max(s.largest, len(keys))
	for _, key := range keys {
		s.keys[key.ID]++
	}
	return s.CacheStore.Invalidate(ctx, version, remember, keys...)
}

// countedLoads counts the loads of a log.
type countedLoads struct {
	*memory.Log
	loads int
}

func (l *countedLoads) Load(ctx context.Context, chat domain.ChatID, wants ...ports.LoadRequest) (ports.Loaded, error) {
	l.loads++
	return l.Log.Load(ctx, chat, wants...)
}

// TestStaleCaches_LargeChat renames a chat of 20,000 members, with a store that becomes unavailable now and then. Its cost does not grow with the
// chat.
func TestStaleCaches_LargeChat(t *testing.T) {
	const members, page, most = 20_000, 256, 1024
	clock, ctx := &stepping{At: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}, t.Context()
	log := &countedLoads{Log: memory.New(wireformat.New(), clock, nil)}
	loader := entity.NewLoader(log, nil, 1<<20)
	chats := app.NewChats(log, loader, silent{}, log.Typing(), clock, ids{}, nil, app.Policy{}, nil)
	views := projection.Views{Log: log.ID(), Chats: memory.NewUserView(), Unread: memory.NewUserView()}
	queries := app.NewQueries(log, loader, views)
	store := &countedStore{CacheStore: memory.NewCache(clock), keys: make(map[string]int), allowed: 1 << 30}
	caches, err := app.NewCaches(store, clock, app.CacheKinds{
		Message: cache.Config{Prefix: "m:", TTL: 24 * time.Hour}, ChatList: cache.Config{Prefix: "l:", TTL: 24 * time.Hour}, ContactList: cache.Config{Prefix: "c:", TTL: 24 * time.Hour},
	}, queries)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(caches.Close)
	must := func(done app.Done, err error) app.Done {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	must(chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
	for i := range members - 1 {
		must(chats.Add(ctx, domain.Add{Chat: "c", Actor: "ada", User: domain.UserID(fmt.Sprint("user-", i))}))
	}
	stale := projection.NewStaleCaches(projection.NewModels(log, loader, views), caches)
	for _, change := range []struct {
		do       func() (app.Done, error)
		event    domain.Change
		attempts []int // pages that the store takes in each attempt before it fails
	}{
		{func() (app.Done, error) { return chats.Rename(ctx, domain.Rename{Chat: "c", Actor: "ada", Title: "T"}) }, domain.Renamed, nil},
		{func() (app.Done, error) { return chats.Archive(ctx, domain.Archive{Chat: "c", Actor: "ada"}) }, domain.Archived, []int{2, 0, 1}},
	} {
		done := must(change.do())
		d := ports.Delivery{
			ID: ports.DeliveryID{Log: log.ID(), Chat: "c", Seq: done.Seq, Event: "e"}, Event: domain.ChatUpdate{Chat: "c", Actor: "ada", Change: change.event},
		}
		log.loads, store.calls, store.largest = 0, 0, 0
		clear(store.keys)
		for _, store.allowed = range change.attempts {
			if err := stale.Handle(ctx, d); !errors.Is(err, ports.ErrUnavailable) {
				t.Fatalf("%v: %v", change.event, err)
			}
		}
		store.allowed = 1 << 30
		if err := stale.Handle(ctx, d); err != nil {
			t.Fatal(err)
		}
		if log.loads > 0 || store.largest > page || store.calls != most/page || len(store.keys) != most {
			t.Errorf("%v: %d loads, %d invalidations of up to %d lists, %d lists in all", change.event, log.loads, store.calls, store.largest, len(store.keys))
		}
		for user, n := range store.keys {
			if n != 1 {
				t.Fatalf("%v: the list of %s was invalidated %d times", change.event, user, n)
			}
		}
	}
}

// TestAChangeOfMembershipIsInTheViewBeforeListsAreForgotten handles events for the caches alone: the view's own subscriber has not run yet, and
// values loaded between the two would be stored.
func TestAChangeOfMembershipIsInTheViewBeforeListsAreForgotten(t *testing.T) {
	clock := &stepping{At: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}
	log := memory.New(wireformat.New(), clock, nil)
	loader := entity.NewLoader(log, log, 1<<20)
	chats := app.NewChats(log, loader, silent{}, log.Typing(), clock, ids{}, nil, app.Policy{}, nil)
	views := projection.Views{Log: log.ID(), Chats: memory.NewUserView(), Unread: memory.NewUserView()}
	queries := app.NewQueries(log, loader, views)
	caches, err := app.NewCaches(memory.NewCache(clock), clock, app.CacheKinds{
		Message: cache.Config{Prefix: "m:", TTL: 24 * time.Hour}, ChatList: cache.Config{Prefix: "l:", TTL: 24 * time.Hour}, ContactList: cache.Config{Prefix: "c:", TTL: 24 * time.Hour},
	}, queries)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(caches.Close)
	queries.UseCaches(caches)
	stale, ctx := projection.NewStaleCaches(projection.NewModels(log, loader, views), caches), t.Context()
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
