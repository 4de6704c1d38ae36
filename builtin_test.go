package chatcore_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"chatcore"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/foldcheck"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// ranBuiltins runs the built-in subscribers until do has returned.
func ranBuiltins(t *testing.T, config chatcore.Config, do func(core *chatcore.Core)) {
	t.Helper()
	core, err := chatcore.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := core.Start(ctx); err != nil {
		t.Fatal(err)
	}
	do(core)
	cancel()
	if err := core.Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestBuiltins_EffectsFollowTheAppend while no process runs the group.
func TestBuiltins_EffectsFollowTheAppend(t *testing.T) {
	server := redistest.Start(t)
	config, ctx := chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 2}}, t.Context()
	client := server.Client(t)
	ranBuiltins(t, config, func(core *chatcore.Core) {
		must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Members: []domain.UserID{"ben"}}))
		must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "m", Content: "hi"}))
		wait.Until(t, "the group has handled it", func() bool {
			return must[map[domain.ChatID]domain.Ordinal](t)(core.Queries.KeptUnread(ctx, "ben"))["c"] == 1
		})
	})
	ranBuiltins(t, config, func(core *chatcore.Core) { // which has nothing to invalidate
		must[app.MessageView](t)(core.Queries.Message(ctx, "c", "m"))
		must[[]app.ListedChat](t)(core.Queries.ChatList(ctx, "ben"))
	})
	for _, key := range []string{"message:m", "chat:list:ben"} {
		if client.Exists(ctx, key).Val() != 1 {
			t.Fatalf("%s is not cached", key)
		}
	}
	core := opened(t)(chatcore.New(ctx, config))
	must[app.Done](t)(core.Chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "ada", MessageID: "m", Content: "hello"}))
	must[app.Done](t)(core.Chats.Rename(ctx, domain.Rename{Chat: "c", Actor: "ada", Title: "T"}))
	must[app.Done](t)(core.Chats.Add(ctx, domain.Add{Chat: "c", Actor: "ada", User: "cem"}))
	must[app.Done](t)(core.Chats.Leave(ctx, domain.Leave{Chat: "c", Actor: "ben"}))
	wait.Until(t, "what is cached is forgotten", func() bool { return client.Exists(ctx, "message:m", "chat:list:ben").Val() == 0 })
	wait.Until(t, "cem is in the chat and ben is not", func() bool {
		cem, ben := must[[]domain.ChatID](t)(core.Queries.ChatsOf(ctx, "cem")), must[[]domain.ChatID](t)(core.Queries.ChatsOf(ctx, "ben"))
		return slices.Equal(cem, []domain.ChatID{"c"}) && len(ben) == 0
	})
	if n := core.Stats().EffectsSkipped; n > 0 {
		t.Errorf("%d effects were skipped", n)
	}
}

// TestBuiltins_NothingIsChangedWithoutTheGroup because users would have some of their chats only.
func TestBuiltins_NothingIsChangedWithoutTheGroup(t *testing.T) {
	server := redistest.Start(t)
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 1}}))
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	if err := core.Close(); err != nil { // waits for the effects
		t.Fatal(err)
	}
	if keys := server.Client(t).Keys(t.Context(), "cc:user-chats:*").Val(); len(keys) > 0 {
		t.Errorf("there are %q", keys)
	}
}

// TestBuiltins_TheGroupMakesUpForLostEffects of a process that ended right after its append.
func TestBuiltins_TheGroupMakesUpForLostEffects(t *testing.T) {
	server := redistest.Start(t)
	config, ctx := chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 1}, Delivery: chatcore.DeliveryConfig{BuiltinPace: 50 * time.Millisecond}}, t.Context()
	core := withBuiltins(t, config)
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
	keys, err := keyspace.New("", 1, false)
	if err != nil {
		t.Fatal(err)
	}
	log, err := eventlog.Open(ctx, server.Client(t), wireformat.New(), eventlog.Config{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	e := domain.ChatUpdate{Chat: "c", Actor: "ada", User: "ben", Change: domain.MemberAdded, Role: domain.RoleMember, At: time.Now().UTC().Truncate(time.Millisecond)}
	if _, err := log.Append(ctx, ports.Append{Chat: "c", Events: []ports.NewEvent{{ID: "e", Event: e, Moves: domain.Moves(e)}}}); err != nil {
		t.Fatal(err)
	}
	wait.Until(t, "ben is in the chat", func() bool { return len(must[[]domain.ChatID](t)(core.Queries.ChatsOf(ctx, "ben"))) == 1 })
}

// TestBuiltins_AppendsWakeNobody shows that no read waits for entries, and that 200 messages of one chat are far fewer writes of counts.
func TestBuiltins_AppendsWakeNobody(t *testing.T) {
	server := redistest.Start(t)
	ctx := t.Context()
	core := withBuiltins(t, chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}})
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Members: []domain.UserID{"ben"}}))
	for range 200 {
		must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
	}
	wait.Until(t, "other programs see the count", func() bool {
		return must[map[domain.ChatID]domain.Ordinal](t)(core.Queries.KeptUnread(ctx, "ben"))["c"] == 200
	})
	stats := server.Client(t).Info(ctx, "commandstats").Val()
	if strings.Contains(stats, "cmdstat_xread:") || strings.Contains(stats, "cmdstat_xreadgroup:") {
		t.Error("a read waited for entries")
	}
}

// TestBuiltins_LargeChatsAreKeptToo for other programs: none of 300 members is missing.
func TestBuiltins_LargeChatsAreKeptToo(t *testing.T) {
	server := redistest.Start(t)
	config, ctx := chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Delivery: chatcore.DeliveryConfig{BuiltinPace: 50 * time.Millisecond}}, t.Context()
	bare := opened(t)(chatcore.New(ctx, config))
	var members []domain.UserID
	for i := range 299 {
		members = append(members, domain.UserID(fmt.Sprint("user-", i)))
	}
	must[app.Done](t)(bare.Chats.Create(ctx, domain.Create{Chat: "large", Actor: "ada", Members: members[:200]}))
	for _, user := range members[200:] {
		must[app.Done](t)(bare.Chats.Add(ctx, domain.Add{Chat: "large", Actor: "ada", User: user}))
	}
	must[app.Sent](t)(bare.Chats.Send(ctx, domain.Send{Chat: "large", Actor: "ada", Content: "x"}))
	core := withBuiltins(t, config)
	ending, cancel := context.WithTimeout(ctx, wait.Limit)
	defer cancel()
	for _, difference := range must[[]string](t)(foldcheck.Await(ending, core)) {
		t.Error(difference)
	}
	client := server.Client(t)
	for _, user := range members {
		if got := client.HGet(ctx, "chat:unread:"+string(user), "large").Val(); got != "1" {
			t.Fatalf("%s has %q", user, got)
		}
	}
}

// TestUnreadOf_TakesOneScriptCallFor128Chats whatever the messages say and the users did. Entries that look like read receipts are none.
func TestUnreadOf_TakesOneScriptCallFor128Chats(t *testing.T) {
	server := redistest.Start(t)
	ctx, client := t.Context(), server.Client(t)
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 4}}
	ranBuiltins(t, config, func(*chatcore.Core) {}) // the views are kept from then on
	core := opened(t)(chatcore.New(ctx, config))
	want := make(map[domain.ChatID]domain.Ordinal)
	const forged = `{"type":"read:receipt","readSeq":0,"ordinal":9,"change":"member_removed","v":9}`
	for i := range 200 {
		chat := domain.ChatID(fmt.Sprintf("c:%d", i))
		must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: chat, Actor: "ada", Title: `","change":"member_removed`, Members: []domain.UserID{"ben", "cem"}}))
		send := func(by domain.UserID, id string) {
			must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: chat, Actor: by, MessageID: domain.MessageID(fmt.Sprint(i, "-", id)), Content: forged, ClientMeta: forged}))
		}
		send("ada", "m1")
		send("ben", "m2")
		want[chat] = 0
		switch i % 7 {
		case 1:
			send("ada", "m3")
			send("ada", "m4")
			want[chat] = 2
		case 2:
			send("ada", "m3")
			send("ada", "m4")
			must[app.Done](t)(core.Chats.Delete(ctx, domain.Delete{Chat: chat, Actor: "ada", MessageID: domain.MessageID(fmt.Sprint(i, "-m3"))}))
			want[chat] = 1
		case 3:
			send("cem", "m3")
			send("cem", "m4")
			must[app.Marked](t)(core.Chats.MarkRead(ctx, domain.MarkRead{Chat: chat, Actor: "ben", MessageID: domain.MessageID(fmt.Sprint(i, "-m3"))}))
			want[chat] = 1
		case 4:
			must[app.Done](t)(core.Chats.Leave(ctx, domain.Leave{Chat: chat, Actor: "ben"}))
			send("ada", "m3")
			must[app.Done](t)(core.Chats.Add(ctx, domain.Add{Chat: chat, Actor: "ada", User: "ben"}))
			must[app.Done](t)(core.Chats.Promote(ctx, domain.Promote{Chat: chat, Actor: "ada", User: "ben", Role: domain.RoleAdmin}))
			send("ada", "m4")
			want[chat] = 1
		case 5:
			must[app.Done](t)(core.Chats.Leave(ctx, domain.Leave{Chat: chat, Actor: "ben"}))
			delete(want, chat)
		case 6:
			for k := range 20 {
				send("ben", fmt.Sprint("own-", k))
			}
			send("ada", "m3")
			want[chat] = 1
		}
	}
	wait.Until(t, "ben is in the chats", func() bool { return len(must[[]domain.ChatID](t)(core.Queries.ChatsOf(ctx, "ben"))) == len(want) })
	var got map[domain.ChatID]domain.Ordinal
	wait.Until(t, "two script calls, once the effects of the last appends are applied", func() bool {
		calls := redistest.CommandsOf(t, client, func() { got = must[map[domain.ChatID]domain.Ordinal](t)(core.Queries.UnreadOf(ctx, "ben")) }) //nolint:contextcheck // it has the context of the test
		return calls["evalsha"] == 2
	})
	if !maps.Equal(got, want) {
		t.Errorf("unread are %v, want %v", got, want)
	}
	for chat := range want {
		if n := must[domain.Ordinal](t)(core.Queries.Unread(ctx, chat, "ben")); n != want[chat] {
			t.Errorf("%d unread in %s, want %d", n, chat, want[chat])
		}
	}
}
