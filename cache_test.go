package chatcore_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub/live"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/adapters/redis/cache"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/chatcoretest"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

type cachedProfile struct {
	Name string `json:"name"`
}

func TestACacheOfOnesOwn(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core := open(chatcore.Config{})
		loads := 0
		load := func(_ context.Context, id string) (cachedProfile, error) {
			if loads++; id == "nobody" {
				return cachedProfile{}, chatcore.ErrNoValue
			}
			return cachedProfile{Name: "<" + id + ">"}, nil
		}
		profiles, err := chatcore.NewCache(core, chatcore.CacheConfig{Prefix: "profile:", Negative: time.Minute}, load)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if p := must[cachedProfile](t)(profiles.Get(t.Context(), "*{ada}:")); p.Name != "<*{ada}:>" {
				t.Errorf("got %v", p)
			}
			if _, err := profiles.Get(t.Context(), "nobody"); !errors.Is(err, chatcore.ErrNoValue) {
				t.Errorf("nobody: %v", err)
			}
		}
		if loads != 2 {
			t.Errorf("%d loads", loads)
		}
		if err := profiles.Invalidate(t.Context(), "*{ada}:"); err != nil {
			t.Error(err)
		}
		must[cachedProfile](t)(profiles.Get(t.Context(), "*{ada}:"))
		if s := core.Stats().Caches["profile:"]; s.Loads != 3 || s.Hits != 1 || s.Negative != 1 {
			t.Errorf("counts %+v", s)
		}
		if _, err := chatcore.NewCache(core, chatcore.CacheConfig{Prefix: "profile:"}, load); !errors.Is(err, chatcore.ErrDuplicateName) {
			t.Errorf("a second one: %v", err)
		}
		for _, prefix := range []string{"", "profile", "cc:x:", "message:", "chat:", "message:count:", "a b:", "{a}:", "a*:", strings.Repeat("a", 64) + ":"} {
			var invalid *domain.InvalidError
			if _, err := chatcore.NewCache(core, chatcore.CacheConfig{Prefix: prefix}, load); !errors.As(err, &invalid) || invalid.Field != "CacheConfig.Prefix" || invalid.Allowed == "" {
				t.Errorf("prefix %q: %v", prefix, err)
			}
		}
		if _, err := chatcore.NewCache(core, chatcore.CacheConfig{Prefix: "b:", TTL: -1}, load); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("a negative time: %v", err)
		}
	})
}

func TestACacheGoesByTheTestsClock(t *testing.T) {
	core := chatcoretest.New(t)
	loads := 0
	badges, err := chatcore.NewCache(core.Core, chatcore.CacheConfig{Prefix: "badge:", TTL: time.Hour, Jitter: -1}, func(context.Context, string) (int, error) {
		loads++
		return loads, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	must[int](t)(badges.Get(t.Context(), "a"))
	core.Clock.Advance(time.Hour - time.Millisecond)
	if n := must[int](t)(badges.Get(t.Context(), "a")); n != 1 {
		t.Errorf("a moment before: %d", n)
	}
	core.Clock.Advance(time.Millisecond)
	if n := must[int](t)(badges.Get(t.Context(), "a")); n != 2 {
		t.Errorf("then: %d", n)
	}
}

// withBuiltins opens a core that runs the built-in subscribers.
func withBuiltins(t *testing.T, config chatcore.Config, options ...chatcore.Option) *chatcore.Core {
	t.Helper()
	core := opened(t)(chatcore.New(t.Context(), config, options...))
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	start(t, core)
	return core
}

// TestMessagesAreReadFromTheCache that other programs read, too.
func TestMessagesAreReadFromTheCache(t *testing.T) {
	server := redistest.Start(t)
	client, config := server.Client(t), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 1}}
	here, there := withBuiltins(t, config), withBuiltins(t, config)
	bare := opened(t)(chatcore.New(t.Context(), config)) // answers from the log
	ctx := t.Context()
	must[app.Done](t)(here.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Members: []domain.UserID{"ben"}}))
	must[app.Done](t)(here.Chats.Create(ctx, domain.Create{Chat: "d", Actor: "ada"}))
	must[app.Sent](t)(here.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ben", MessageID: "r", Content: "x"}))
	must[app.Done](t)(here.Chats.Delete(ctx, domain.Delete{Chat: "c", Actor: "ben", MessageID: "r"}))
	sent := must[app.Sent](t)(here.Chats.Send(ctx, domain.Send{
		Chat: "c", Actor: "ada", MessageID: "m", Content: "<a> & b", ReplyTo: "r", Mentions: []domain.UserID{"ben"}, ClientMeta: `{"k":1}`,
		Attachments: []domain.Attachment{{Name: "n", Type: "t/x", Size: 5, URL: "u"}},
	}))
	same := func(core *chatcore.Core) app.MessageView {
		t.Helper()
		got, want := must[app.MessageView](t)(core.Queries.Message(ctx, "c", "m")), must[app.MessageView](t)(bare.Queries.Message(ctx, "c", "m"))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, the log says %+v", got, want)
		}
		return got
	}
	if got := same(here); !got.ReplyDeleted {
		t.Error("the reply does not show that its message was deleted")
	}
	same(here)
	hits := here.Stats().Caches["message"].Hits
	if hits == 0 {
		t.Error("nothing was read from the cache")
	}
	var seen map[string]any
	if err := json.Unmarshal([]byte(must[string](t)(client.Get(ctx, "message:m").Result())), &seen); err != nil {
		t.Fatal(err)
	}
	if seen["chatId"] != "c" || seen["content"] != "<a> & b" || seen["senderId"] != "ada" || seen["seq"] != float64(sent.Seq) {
		t.Errorf("other programs see %v", seen)
	}
	if ttl := client.PTTL(ctx, "message:m").Val(); ttl <= 29*time.Minute || ttl > 30*time.Minute {
		t.Errorf("it lives for %v", ttl)
	}
	// A process sees its own changes at once, others a moment later.
	same(there)
	for i, change := range []func() (app.Done, error){
		func() (app.Done, error) {
			return here.Chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "ada", MessageID: "m", Content: "new"})
		},
		func() (app.Done, error) {
			return here.Chats.React(ctx, domain.React{Chat: "c", Actor: "ben", MessageID: "m", Emoji: "👍"})
		},
		func() (app.Done, error) {
			return here.Chats.Delete(ctx, domain.Delete{Chat: "c", Actor: "ada", MessageID: "m"})
		},
	} {
		must[app.Done](t)(change())
		want := same(here)
		eventually(t, "the other process sees it", func() bool {
			return reflect.DeepEqual(must[app.MessageView](t)(there.Queries.Message(ctx, "c", "m")), want)
		})
		if i == 2 && !want.Deleted() {
			t.Error("it is not deleted")
		}
	}
	// The record of a chat is a miss in another.
	if _, err := here.Queries.Message(ctx, "d", "m"); !errors.Is(err, domain.ErrMessageNotFound) {
		t.Errorf("in another chat: %v", err)
	}
	must[app.Sent](t)(here.Chats.Send(ctx, domain.Send{Chat: "d", Actor: "ada", MessageID: "m", Content: "of d"}))
	for range 2 {
		if m := must[app.MessageView](t)(here.Queries.Message(ctx, "d", "m")); m.Content != "of d" || m.Chat != "d" {
			t.Errorf("in another chat: %+v", m)
		}
		same(here)
	}
	client.Set(ctx, "message:m", `{"chatId":"d","messageId":"m","content":"forged"}`, time.Hour) // of no version that we know
	if m := must[app.MessageView](t)(here.Queries.Message(ctx, "d", "m")); m.Content != "of d" {
		t.Errorf("another program's: %+v", m)
	}
	if _, err := here.Queries.Message(ctx, "nowhere", "m"); !errors.Is(err, domain.ErrChatNotFound) {
		t.Errorf("in no chat: %v", err)
	}
	// The past is never cached, and an id of no message has no value.
	before := here.Stats().Caches["message"]
	must[app.MessageView](t)(here.Queries.At(sent.Seq).Message(ctx, "c", "m"))
	if after := here.Stats().Caches["message"]; after != before {
		t.Errorf("the past: %+v, before %+v", after, before)
	}
	for _, foreign := range []string{`nonsense`, `null`, `[]`, `{"content":"forged"}`, `{"chatId":"c","messageId":"m","content":"forged"}`} {
		client.Set(ctx, "message:m", foreign, time.Hour)
		same(here)
	}
	client.Del(ctx, "message:m")
	client.HSet(ctx, "message:m", "a", "b")
	same(here)
}

// TestChatListsAndContactsFollowTheLog through joins, roles, titles and leaves.
func TestChatListsAndContactsFollowTheLog(t *testing.T) {
	server, namespace := redistest.Shared(t), uuid.NewString()
	core := withBuiltins(t, chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL(), Namespace: namespace}, Log: chatcore.LogConfig{Partitions: 1}})
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	ctx := t.Context()
	list := func(user domain.UserID) []app.ListedChat {
		chats := must[[]app.ListedChat](t)(core.Queries.ChatList(ctx, user))
		for i := range chats {
			chats[i].JoinedAt, chats[i].LastAt, chats[i].Last, chats[i].Preview = time.Time{}, time.Time{}, nil, ports.LastPreview{}
		}
		return chats
	}
	contacts := func(user domain.UserID) []app.Contact {
		return must[[]app.Contact](t)(core.Queries.Contacts(ctx, user))
	}
	is := func(what string, user domain.UserID, chats []app.ListedChat, known ...app.Contact) {
		t.Helper()
		eventually(t, what, func() bool {
			return slices.EqualFunc(list(user), chats, func(a, b app.ListedChat) bool { return reflect.DeepEqual(a, b) }) && slices.Equal(contacts(user), known)
		})
	}
	is("at first", "ada", nil)
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Title: "C", Members: []domain.UserID{"ben"}}))
	c := app.ListedChat{ID: "c", Title: "C", Role: domain.RoleOwner}
	is("created", "ada", []app.ListedChat{c}, app.Contact{User: "ben", Chats: 1})
	of := c
	of.Role = domain.RoleMember
	is("created, to a member", "ben", []app.ListedChat{of}, app.Contact{User: "ada", Chats: 1})
	must[app.Done](t)(core.Chats.Rename(ctx, domain.Rename{Chat: "c", Actor: "ada", Title: "D"}))
	must[app.Done](t)(core.Chats.Promote(ctx, domain.Promote{Chat: "c", Actor: "ada", User: "ben", Role: domain.RoleAdmin}))
	must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
	c.Title, of.Title, of.Role, of.Unread = "D", "D", domain.RoleAdmin, 1
	is("renamed", "ada", []app.ListedChat{c}, app.Contact{User: "ben", Chats: 1})
	if last := must[[]app.ListedChat](t)(core.Queries.ChatList(ctx, "ada"))[0].Last; last == nil || last.Content != "x" {
		t.Errorf("the last message is %+v", last)
	}
	is("promoted", "ben", []app.ListedChat{of}, app.Contact{User: "ada", Chats: 1})
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "d", Actor: "cyd", Members: []domain.UserID{"ada", "ben"}}))
	d := app.ListedChat{ID: "d", Role: domain.RoleMember}
	is("another", "ada", []app.ListedChat{d, c}, app.Contact{User: "ben", Chats: 2}, app.Contact{User: "cyd", Chats: 1})
	must[app.Done](t)(core.Chats.Leave(ctx, domain.Leave{Chat: "d", Actor: "ben"}))
	is("one left", "ada", []app.ListedChat{d, c}, app.Contact{User: "ben", Chats: 1}, app.Contact{User: "cyd", Chats: 1})
	is("who left", "ben", []app.ListedChat{of}, app.Contact{User: "ada", Chats: 1})
	for key, want := range map[string]string{
		"chat:list:ben":    `[{"chatId":"c","title":"D","archived":false,"role":"admin","joinedAt":"`,
		"contact:list:ben": `[{"userId":"ada","chats":1}]`,
	} {
		if got := client.Get(ctx, namespace+":"+key).Val(); !strings.HasPrefix(got, want) {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
		if got := client.Get(ctx, namespace+":"+key).Val(); strings.Contains(got, "last") || strings.Contains(got, "content") {
			t.Errorf("%s has last messages: %s", key, got)
		}
		if ttl := client.PTTL(ctx, namespace+":"+key).Val(); ttl <= 9*time.Minute || ttl > 10*time.Minute {
			t.Errorf("%s lives for %v", key, ttl)
		}
	}
	if s := core.Stats().Caches; s["chat_list"].Hits == 0 || s["contact_list"].Hits == 0 {
		t.Errorf("counts %+v", s)
	}
}

func TestContactsOfATeamsOwn(t *testing.T) {
	asked := 0
	core := chatcoretest.New(t, chatcore.WithContacts(func(_ context.Context, user domain.UserID) ([]app.Contact, error) {
		asked++
		return []app.Contact{{User: user + "'s friend", Name: "Friend"}}, nil
	}))
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	core.Start()
	for range 2 {
		if got := must[[]app.Contact](t)(core.Queries.Contacts(t.Context(), "ada")); len(got) != 1 || got[0].User != "ada's friend" || got[0].Name != "Friend" {
			t.Errorf("got %+v", got)
		}
	}
	if err := core.Queries.ForgetContacts(t.Context(), "ada"); err != nil {
		t.Error(err)
	}
	must[[]app.Contact](t)(core.Queries.Contacts(t.Context(), "ada"))
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
}

// TestWithoutTheCacheQueriesAreAnswered from the log: caches are never needed.
func TestWithoutTheCacheQueriesAreAnswered(t *testing.T) {
	cacheServer := redistest.Start(t)
	keys, err := keyspace.New("", 1, false)
	if err != nil {
		t.Fatal(err)
	}
	store := cache.New(cacheServer.Client(t), keys.Caches())
	core := withBuiltins(t, chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: uuid.NewString()}, Log: chatcore.LogConfig{Partitions: 1}}, chatcore.WithCacheStore(store))
	ctx := t.Context()
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
	must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "m", Content: "x"}))
	must[app.MessageView](t)(core.Queries.Message(ctx, "c", "m"))
	cacheServer.Kill()
	if m := must[app.MessageView](t)(core.Queries.Message(ctx, "c", "m")); m.Content != "x" {
		t.Errorf("got %+v", m)
	}
	eventually(t, "the list is there", func() bool {
		return len(must[[]app.ListedChat](t)(core.Queries.ChatList(ctx, "ada"))) == 1
	})
	if s := core.Stats().Caches["message"]; s.StoreErrors == 0 {
		t.Errorf("counts %+v", s)
	}
}

// customLog is a custom event log.
func customLog(clock *chatcoretest.Clock) chatcore.Option {
	codec, live := wireformat.New(), live.NewLocal(0)
	log := memory.New(codec, clock, live.Announce)
	groups := memgroup.New(memgroup.Config{Log: log, Codec: codec, Clock: clock})
	return chatcore.WithEventLog(chatcore.EventLog{
		ID: log.ID(), Log: log, Groups: groups, Backlog: groups.Backlog(), Live: live,
	})
}

func TestACoreOnALogOfOnesOwnHasNoStore(t *testing.T) {
	load := func(context.Context, string) (int, error) { return 1, nil }
	clock := chatcoretest.NewClock(time.Now())
	for _, options := range [][]chatcore.Option{{}, {chatcore.WithCacheStore(memory.NewCache(clock))}} {
		core := opened(t)(chatcore.New(t.Context(), chatcore.Config{}, append(options, customLog(clock))...))
		if _, err := chatcore.NewCache(core, chatcore.CacheConfig{Prefix: "a:"}, load); (err == nil) != (len(options) > 0) || err != nil && !errors.Is(err, chatcore.ErrNoCacheStore) {
			t.Errorf("with %d options: %v", len(options), err)
		}
	}
}
