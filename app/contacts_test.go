package app_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"chatcore/adapters/memory"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// bulkCounter counts the entities that are loaded from many chats.
type bulkCounter struct {
	*memory.Log
	entities int
}

func (c *bulkCounter) LoadChats(ctx context.Context, loads ...ports.ChatLoad) ([]ports.Loaded, error) {
	for _, load := range loads {
		c.entities += len(load.Wants)
	}
	return c.Log.LoadChats(ctx, loads...)
}

// TestContacts_OfManyChats has a user in chats with 20,000 memberships. The contacts come from the chats with the latest messages, and a page costs no more
// than these.
func TestContacts_OfManyChats(t *testing.T) {
	const chats, members, looked = 80, 250, 10_000
	l := newListed(t)
	for i := range chats {
		c := domain.ChatID(fmt.Sprint("c", i))
		users := []domain.UserID{domain.UserID("only-" + c)}
		for n := range members - 2 {
			users = append(users, domain.UserID(fmt.Sprint("user-", n)))
		}
		l.create(c, users...)
	}
	l.send("c3", "ada", "the latest")
	counter := &bulkCounter{Log: l.log}
	q := app.NewQueries(counter, entity.NewLoader(l.log, nil, 0), projection.Views{Log: l.log.ID(), Chats: l.view})
	page, err := q.ContactPage(t.Context(), "ada", domain.Page{Limit: app.MaxList})
	if err != nil || len(page.Items) != app.MaxList || page.Next == "" {
		t.Fatalf("%d contacts, next %q, error %v", len(page.Items), page.Next, err)
	}
	if most := looked + 32*members; counter.entities < looked || counter.entities > most {
		t.Errorf("%d memberships were loaded, want %d to %d", counter.entities, looked, most)
	}
	more, err := q.ContactPage(t.Context(), "ada", domain.Page{Limit: app.MaxList, Cursor: page.Next})
	if err != nil || more.Next != "" {
		t.Fatalf("the second page ends with %q, error %v", more.Next, err)
	}
	all := append(page.Items, more.Items...)
	knows := func(c domain.ChatID) bool {
		return slices.ContainsFunc(all, func(contact app.Contact) bool { return contact.User == domain.UserID("only-"+c) })
	}
	for c, want := range map[domain.ChatID]bool{"c3": true, "c79": true, "c50": true, "c0": false, "c2": false} {
		if knows(c) != want {
			t.Errorf("the contact of %s alone is known: %t, want %t", c, !want, want)
		}
	}
	if all[0].Chats >= chats || all[0].Chats < looked/members {
		t.Errorf("the first contact shares %d of the chats that were looked at", all[0].Chats)
	}
}

// TestContacts_LargeChats leaves out chats of more than 256 present members, and of more than 1,024 present and former ones.
func TestContacts_LargeChats(t *testing.T) {
	l := newListed(t)
	users := func(prefix string, n int) (all []domain.UserID) {
		for i := range n {
			all = append(all, domain.UserID(fmt.Sprint(prefix, i)))
		}
		return all
	}
	leave := func(c domain.ChatID, users []domain.UserID) {
		for _, user := range users {
			if _, err := l.chats.Leave(t.Context(), domain.Leave{Chat: c, Actor: user}); err != nil {
				t.Fatal(err)
			}
		}
	}
	join := func(c domain.ChatID, users []domain.UserID) {
		l.create(c)
		for _, user := range users {
			if _, err := l.chats.Add(t.Context(), domain.Add{Chat: c, Actor: "ada", User: user}); err != nil {
				t.Fatal(err)
			}
		}
	}
	join("256", users("a", 255))
	join("257", users("b", 256))
	join("1024", users("c", 1023))
	leave("1024", users("c", 1022))
	join("1025", users("d", 1024))
	leave("1025", users("d", 1023))
	contacts, err := l.queries.Contacts(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]int)
	for _, c := range contacts {
		counts[string(c.User[:1])]++
	}
	if fmt.Sprint(counts) != "map[a:255 c:1]" {
		t.Errorf("contacts by chat: %v", counts)
	}
}
