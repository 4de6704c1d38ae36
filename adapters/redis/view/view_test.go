package view_test

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/view"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
)

func TestUserViews(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		for name, open := range map[string]func(goredis.UniversalClient, keyspace.Views) *view.View{
			"unread counts": view.NewUnreadCounts, "users' chats": view.NewUserChats,
		} {
			t.Run(name, func(t *testing.T) {
				porttest.UserView(t, func(t *testing.T) ports.UserView { return open(client, rig.NewKeys(t, 1).Views()) })
			})
		}
	})
}

// TestUnreadCountsAreAsTheWireContractSays reads the keys as other programs do.
func TestUnreadCountsAreAsTheWireContractSays(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	v := view.NewUnreadCounts(client, rig.PlainKeys(t).Views())
	const key = "chat:unread:user-789"
	expect := func(want map[string]string) {
		t.Helper()
		got := client.HGetAll(t.Context(), key).Val()
		if !maps.Equal(got, want) {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
		if ttl := client.TTL(t.Context(), key).Val(); ttl > 0 {
			t.Errorf("it expires in %v", ttl)
		}
	}
	put := func(log string, chat domain.ChatID, e ports.UserEntry) {
		t.Helper()
		e.User = "user-789"
		if err := v.Put(t.Context(), log, ports.ChatEntries{Chat: chat, Entries: []ports.UserEntry{e}}); err != nil {
			t.Error(err)
		}
	}
	client.HSet(t.Context(), key, "from before", "12") // written earlier by another program, without a version
	put("log", "room-1", ports.UserEntry{Version: 3, Number: 2})
	put("log", "日本", ports.UserEntry{Version: 1, Number: 0})
	expect(map[string]string{"room-1": "2", "日本": "0"})
	client.HSet(t.Context(), key, "room-1", "someone's")
	if got, err := v.Of(t.Context(), "log", "user-789"); err != nil || !maps.Equal(got, map[domain.ChatID]uint64{"日本": 0}) {
		t.Errorf("with something else in it: %v, error %v", got, err)
	}
	put("log", "room-1", ports.UserEntry{Version: 4, Number: 3})
	put("log", "日本", ports.UserEntry{Version: 2, Gone: true})
	expect(map[string]string{"room-1": "3"})
	put("log", "room-1", ports.UserEntry{Version: 5, Gone: true})
	expect(map[string]string{})
	put("other", "room-2", ports.UserEntry{Version: 1, Number: 1})
	expect(map[string]string{"room-2": "1"})
}

// TestAForgottenScriptIsSentAgain removes the script from Redis before each call: a pipeline does not repeat it by itself.
func TestAForgottenScriptIsSentAgain(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	v := view.NewUserChats(client, rig.PlainKeys(t).Views())
	for version := range domain.Seq(3) {
		client.ScriptFlush(t.Context())
		var entries []ports.UserEntry
		for _, user := range []domain.UserID{"a", "b", "c"} {
			entries = append(entries, ports.UserEntry{User: user, Version: version + 1, Number: uint64(version)})
		}
		if err := v.Put(t.Context(), "log", ports.ChatEntries{Chat: "c", Entries: entries}); err != nil {
			t.Error(err)
		}
		for _, e := range entries {
			if got, err := v.Of(t.Context(), "log", e.User); err != nil || got["c"] != uint64(version) {
				t.Errorf("%s has %v, error %v, want %d", e.User, got, err, version)
			}
		}
	}
}

func TestAForeignValueWhereAUsersNumbersWouldBe(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	v := view.NewUnreadCounts(client, rig.PlainKeys(t).Views())
	for _, key := range []string{"chat:unread:a", "cc:{chat:unread:a}:v"} {
		client.FlushAll(t.Context())
		client.Set(t.Context(), key, "foreign", 0)
		before := rig.Dump(t, client)
		err := v.Put(t.Context(), "log", ports.ChatEntries{Chat: "c", Entries: []ports.UserEntry{{User: "a", Version: 1, Number: 1}}})
		if !errors.Is(err, ports.ErrForeignValue) || !maps.Equal(before, rig.Dump(t, client)) {
			t.Errorf("%s: %v", key, err)
		}
		if _, err := v.Of(t.Context(), "log", "a"); err == nil {
			t.Errorf("%s: it was read", key)
		}
	}
}

// TestUsersWhoseServerIsGoneAreToldOf stops the server: Put must return an error.
func TestUsersWhoseServerIsGoneAreToldOf(t *testing.T) {
	server := redistest.Start(t)
	client := rig.Connect(t, server.URL())
	v := view.NewUnreadCounts(client, rig.PlainKeys(t).Views())
	server.Kill()
	if err := v.Put(t.Context(), "log", ports.ChatEntries{Chat: "c", Entries: []ports.UserEntry{{User: "a", Version: 1}}}); !errors.Is(err, ports.ErrUnavailable) {
		t.Errorf("put: %v", err)
	}
	if _, err := v.Of(t.Context(), "log", "a"); !errors.Is(err, ports.ErrUnavailable) {
		t.Errorf("of: %v", err)
	}
	if _, err := v.OfUsers(t.Context(), "log", "a", "b"); !errors.Is(err, ports.ErrUnavailable) {
		t.Errorf("of users: %v", err)
	}
}

func TestUserViews_Cluster(t *testing.T) {
	client := rig.Connect(t, redistest.StartCluster(t, 3).URL())
	porttest.UserView(t, func(t *testing.T) ports.UserView { return view.NewUnreadCounts(client, rig.ClusterKeys(t).Views()) })
	porttest.UserView(t, func(t *testing.T) ports.UserView { return view.NewUserChats(client, rig.ClusterKeys(t).Views()) })
}

func TestUnderTheLeastRights(t *testing.T) {
	rig.RunUnderLeastRights(t, "TestUserViews", "TestMemberships")
}

// TestOfUsers reads many users in one pipeline: those of another log, those without numbers, and one whose numbers were damaged.
func TestOfUsers(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	keys := rig.PlainKeys(t).Views()
	v := view.NewUserChats(client, keys)
	var users []domain.UserID
	for i := range 100 {
		user := domain.UserID(fmt.Sprint("user-", i))
		users = append(users, user)
		log := "log"
		if i%10 == 0 {
			log = "other"
		}
		if i%10 == 1 {
			continue
		}
		entry := ports.UserEntry{User: user, Version: 1, Number: uint64(i)} //nolint:gosec // an index
		if err := v.Put(t.Context(), log, ports.ChatEntries{Chat: "c", Entries: []ports.UserEntry{entry}}); err != nil {
			t.Fatal(err)
		}
	}
	before := redistest.AllCommands(t, client)
	all, err := v.OfUsers(t.Context(), "log", users...)
	calls := redistest.AllCommands(t, client).Since(before)
	if n := calls["hmget"] + calls["hgetall"]; err != nil || len(all) != len(users) || n != 2*len(users) {
		t.Fatalf("%d users, error %v, %d commands", len(all), err, n)
	}
	for i, user := range users {
		if want, err := v.Of(t.Context(), "log", user); err != nil || !maps.Equal(all[i], want) {
			t.Errorf("%s has %v, want %v, error %v", user, all[i], want, err)
		}
	}
	client.HDel(t.Context(), keys.UserChats("user-7"), "c")
	if _, err := v.OfUsers(t.Context(), "log", "user-6", "user-7"); !errors.Is(err, ports.ErrCorrupt) {
		t.Errorf("a user with a lost chat: %v", err)
	}
	client.Del(t.Context(), keys.UserChats("user-7"))
	client.Set(t.Context(), keys.UserChats("user-7"), "foreign", 0)
	if _, err := v.OfUsers(t.Context(), "log", "user-6", "user-7"); !errors.Is(err, ports.ErrForeignValue) {
		t.Errorf("a user with a foreign value: %v", err)
	}
}
