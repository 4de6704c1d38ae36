package view_test

import (
	"fmt"
	"slices"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/adapters/redis/view"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

func TestMemberships(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) { testMemberships(t, client, rig.NewKeys(t, 1)) })
}

func TestMemberships_Cluster(t *testing.T) {
	testMemberships(t, rig.Connect(t, redistest.StartCluster(t, 3).URL()), rig.ClusterKeys(t))
}

// testMemberships puts the chats of users, and compares the published users with those that have gained or lost a chat.
func testMemberships(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) {
	ctx := t.Context()
	heard := client.Subscribe(ctx, keys.Views().Memberships())
	t.Cleanup(func() { _ = heard.Close() })
	if _, err := heard.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	nodes, err := rediscmd.Masters(ctx, client)
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	expect := func(what string, want ...string) {
		t.Helper()
		last++
		end := fmt.Sprint("end ", last)
		for _, node := range nodes { // messages of different nodes are in no order
			if err := node.Publish(ctx, keys.Views().Memberships(), end).Err(); err != nil {
				t.Fatal(err)
			}
		}
		var users []string
		for ended := 0; ended < len(nodes); {
			m, err := heard.ReceiveMessage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if m.Payload == end {
				ended++
			} else {
				users = append(users, m.Payload)
			}
		}
		slices.Sort(users)
		if !slices.Equal(users, want) {
			t.Errorf("%s publishes %q, want %q", what, users, want)
		}
	}
	chats, unread := view.NewUserChats(client, keys.Views()), view.NewUnreadCounts(client, keys.Views())
	put := func(v *view.View, entries ...ports.UserEntry) {
		t.Helper()
		if err := v.Put(ctx, "log", ports.ChatEntries{Chat: "c", Entries: entries}); err != nil {
			t.Fatal(err)
		}
	}
	put(chats, ports.UserEntry{User: "ada", Version: 1, Number: 1}, ports.UserEntry{User: "bob:{x}", Version: 1, Number: 1}, ports.UserEntry{User: "cem", Version: 1, Gone: true})
	expect("a creation", "ada", "bob:{x}")
	put(chats, ports.UserEntry{User: "ada", Version: 1, Number: 1})
	expect("a repetition")
	put(chats, ports.UserEntry{User: "ada", Version: 2, Number: 1})
	expect("a later version of the same number")
	put(chats, ports.UserEntry{User: "ada", Version: 3, Gone: true}, ports.UserEntry{User: "cem", Version: 3, Number: 3})
	expect("a removal and a join", "ada", "cem")
	put(chats, ports.UserEntry{User: "cem", Version: 9, Number: 9})
	expect("a removal and a join at once", "cem")
	put(unread, ports.UserEntry{User: "ada", Version: 1, Number: 1}, ports.UserEntry{User: "bob:{x}", Version: 1, Number: 1})
	expect("an unread count")

	many := make([]ports.UserEntry, 450) // several calls
	var names []string
	for i := range many {
		many[i] = ports.UserEntry{User: domain.UserID(fmt.Sprintf("user-%03d", i)), Version: 1, Number: 1}
		names = append(names, string(many[i].User))
	}
	put(chats, many...)
	expect("a creation with many members", names...)

	// A repair publishes the user as well.
	entries, err := chats.Look(ctx, "log", "c", "cem")
	if err != nil {
		t.Fatal(err)
	}
	if replaced, err := chats.Replace(ctx, "log", "c", entries[0], ports.UserEntry{User: "cem", Version: 10, Gone: true}); err != nil || !replaced {
		t.Fatalf("replaced %t, error %v", replaced, err)
	}
	expect("a repair", "cem")
	if err := chats.Recount(ctx, "log", "cem"); err != nil {
		t.Fatal(err)
	}
	expect("a recount")
	entries, err = unread.Look(ctx, "log", "c", "ada")
	if err != nil {
		t.Fatal(err)
	}
	if replaced, err := unread.Replace(ctx, "log", "c", entries[0], ports.UserEntry{User: "ada", Version: 10, Number: 7}); err != nil || !replaced {
		t.Fatalf("replaced %t, error %v", replaced, err)
	}
	expect("a repair of an unread count")
}
