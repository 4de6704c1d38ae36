package eventlog_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/view"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestAPageOfAListCostsWhatItShows counts commands and bytes for pages of long lists.
func TestAPageOfAListCostsWhatItShows(t *testing.T) {
	const many, limit = 20_000, 50
	m := newMetered(t)
	keys, client := m.keys, m.client
	events := []domain.Durable{domain.ChatUpdate{Chat: "c", Actor: "ada", Change: domain.Created, Title: "t", At: time.Now()}}
	for i := range many {
		events = append(events, domain.ChatUpdate{
			Chat: "c", Actor: "ada", Change: domain.MemberAdded, User: domain.UserID(fmt.Sprint("user-", i)), Role: domain.RoleMember, At: time.Now(),
		})
	}
	m.fill("c", events...)
	filling, chats := view.NewUserChats(m.direct, keys.Views()), view.NewUserChats(client, keys.Views())
	var workers sync.WaitGroup
	for w := range 16 {
		workers.Go(func() {
			for i := w; i < many; i += 16 {
				if err := filling.Put(t.Context(), m.log.ID(), ports.ChatEntries{Chat: domain.ChatID(fmt.Sprint("chat-", i)), Entries: []ports.UserEntry{{User: "ada", Version: 1, Number: 1}}}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
	views := projection.Views{Log: m.log.ID(), Chats: chats}
	queries := func() *app.Queries { return app.NewQueries(m.log, entity.NewLoader(m.log, nil, 0), views) }
	for _, test := range []struct {
		name                  string
		query                 func(q *app.Queries, page domain.Page) (items int, next string, err error)
		scripts, scans, bytes int
	}{
		{"chats of a user", func(q *app.Queries, page domain.Page) (int, string, error) {
			list, err := q.ChatsOfPage(t.Context(), "ada", page)
			return len(list.Items), list.Next, err
		}, 0, 1, 50 * limit},
		{"members", func(q *app.Queries, page domain.Page) (int, string, error) {
			list, err := q.MemberPage(t.Context(), "c", page)
			return len(list.Items), list.Next, err
		}, 1, 1, 600 * limit},
		{"a member", func(q *app.Queries, _ domain.Page) (int, string, error) {
			_, err := q.Member(t.Context(), "c", "user-777")
			return limit, "more", err
		}, 1, 0, 800},
	} {
		page := domain.Page{Limit: limit}
		for range 3 {
			before, bytes := redistest.AllCommands(t, m.direct), m.bytes.Load()
			items, next, err := test.query(queries(), page)
			if err != nil || items != limit || next == "" {
				t.Fatalf("%s: %d items, cursor %q, error %v", test.name, items, next, err)
			}
			page.Cursor = next
			calls := redistest.AllCommands(t, m.direct).Since(before)
			if bytes = m.bytes.Load() - bytes; calls["evalsha"] > test.scripts || calls["hscan"] > test.scans || int(bytes) > test.bytes {
				t.Errorf("%s: %v, %d bytes; want at most %d scripts, %d scans, %d bytes", test.name, calls, bytes, test.scripts, test.scans, test.bytes)
			}
		}
	}
	seen, cursor, pages := make(map[domain.ChatID]bool), "", 0
	for first := true; first || cursor != ""; first = false {
		list, err := queries().ChatsOfPage(t.Context(), "ada", domain.Page{Limit: app.MaxList, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list.Items {
			seen[c] = true
		}
		cursor = list.Next
		pages++
	}
	if len(seen) != many || pages > many/app.MaxList+2 {
		t.Errorf("%d chats in %d pages", len(seen), pages)
	}
}

// TestOwnPage_CursorOfAnotherEntity passes a cursor that no page of the entity has returned.
func TestOwnPage_CursorOfAnotherEntity(t *testing.T) {
	log := rig.Open(t, rig.Connect(t, redistest.Shared(t).URL()), rig.NewKeys(t, 1))
	rig.Appended(t, log, rig.Created("c"))
	for i, entity := range []domain.CustomID{"poll", "other", "poll"} {
		e := domain.Custom{Chat: "c", Type: "team:x", Version: 1, Actor: "ada", Entity: entity, Data: "{}", At: time.Now()}
		rig.Appended(t, log, ports.Append{Chat: "c", Events: []ports.NewEvent{{ID: domain.EventID(fmt.Sprint("own-", i)), Event: e, Moves: domain.Moves(e)}}})
	}
	queries := app.NewQueries(log, entity.NewLoader(log, nil, 0), projection.Views{})
	for cursor, want := range map[string]error{"1": domain.ErrInvalid, "2": nil, "3": domain.ErrInvalid, "4": nil, "5": domain.ErrInvalid, "0": domain.ErrInvalid} {
		if _, err := queries.CustomPage(t.Context(), "c", "poll", domain.Page{Cursor: cursor}); !errors.Is(err, want) {
			t.Errorf("cursor %s gave the error %v, want %v", cursor, err, want)
		}
	}
}
