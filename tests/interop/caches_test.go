//go:build interop

package interop

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

// TestThePeerReadsWhatQueriesHaveCached reads as the guide's get does. An edit, a join or a leave on this side deletes the cached value.
func TestThePeerReadsWhatQueriesHaveCached(t *testing.T) {
	core, p := both(t)
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	run(t, core)
	ctx := t.Context()
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "room", Actor: "ada", Title: "Room & co", Members: []domain.UserID{"ben"}}))
	must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "room", Actor: "ada", MessageID: "m-1", Content: "<hello> & “hi”"}))

	must[app.MessageView](t)(core.Queries.Message(ctx, "room", "m-1"))
	m := does[map[string]any](p, "get", "message:m-1")
	if m["chatId"] != "room" || m["messageId"] != "m-1" || m["senderId"] != "ada" || m["content"] != "<hello> & “hi”" {
		t.Errorf("they read the message %v", m)
	}
	if ttl := does[int](p, "ttl", "message:m-1"); ttl < 1790 || ttl > 1800 {
		t.Errorf("it lives for %d s", ttl)
	}
	must[app.Done](t)(core.Chats.Edit(ctx, domain.Edit{Chat: "room", Actor: "ada", MessageID: "m-1", Content: "new"}))
	eventually(t, func() bool {
		m := does[map[string]any](p, "get", "message:m-1")
		return m == nil || m["content"] == "new"
	})

	type chat struct{ ChatID, Title, Role string }
	type contact struct {
		UserID string
		Chats  int
	}
	listed := func(user domain.UserID) []chat {
		must[[]app.ListedChat](t)(core.Queries.ChatList(ctx, user))
		return does[[]chat](p, "get", "chat:list:"+string(user))
	}
	known := func(user domain.UserID) []contact {
		must[[]app.Contact](t)(core.Queries.Contacts(ctx, user))
		return does[[]contact](p, "get", "contact:list:"+string(user))
	}
	is := func(got any, want string) bool { return fmt.Sprint(got) == want }
	eventually(t, func() bool { return is(listed("ben"), "[{room Room & co member}]") && is(known("ben"), "[{ada 1}]") })
	for _, key := range []string{"chat:list:ben", "contact:list:ben"} {
		if ttl := does[int](p, "ttl", key); ttl < 590 || ttl > 600 {
			t.Errorf("%s lives for %d s", key, ttl)
		}
	}
	must[app.Done](t)(core.Chats.Rename(ctx, domain.Rename{Chat: "room", Actor: "ada", Title: "Hall"}))
	eventually(t, func() bool { // no reader on this side loads it meanwhile, so it is gone
		return does[any](p, "get", "chat:list:ben") == nil
	})
	must[app.Done](t)(core.Chats.Remove(ctx, domain.Remove{Chat: "room", Actor: "ada", User: "ben"}))
	eventually(t, func() bool { return is(listed("ben"), "[]") && is(known("ben"), "[]") })
}

// TestThePeersValueOfAMessageIsServed has the peer set a message of the chat, which is served, set invalid ones, which are not, and remove it, which
// loads it anew.
func TestThePeersValueOfAMessageIsServed(t *testing.T) {
	core, p := both(t)
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	run(t, core)
	ctx := t.Context()
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "room", Actor: "ada"}))
	must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "room", Actor: "ada", MessageID: "m-1", Content: "ours"}))
	content := func() string {
		t.Helper()
		return string(must[app.MessageView](t)(core.Queries.Message(ctx, "room", "m-1")).Content)
	}
	content()
	theirs := does[map[string]any](p, "get", "message:m-1") // with all fields of this side; the peer's own value may have fewer
	theirs["content"] = "as they see it"
	does[any](p, "set", "message:m-1", theirs, 1800)
	if got := content(); got != "as they see it" {
		t.Errorf("we serve %q", got)
	}
	for _, foreign := range []any{map[string]any{"content": "forged"}, "a string", []int{1}} {
		does[any](p, "set", "message:m-1", foreign, 1800)
		if got := content(); got != "ours" {
			t.Errorf("of %v we serve %q", foreign, got)
		}
	}
	for op, key := range map[string]string{"del": "message:m-1", "delPattern": "message:*"} {
		does[any](p, op, key)
		loads := core.Stats().Caches["message"].Loads
		if got := content(); got != "ours" || core.Stats().Caches["message"].Loads != loads+1 {
			t.Errorf("after their %s we serve %q", op, got)
		}
	}
	// A value that the peer set before an edit is gone after it.
	does[any](p, "set", "message:m-1", theirs, 1800)
	must[app.Done](t)(core.Chats.Edit(ctx, domain.Edit{Chat: "room", Actor: "ada", MessageID: "m-1", Content: "edited"}))
	eventually(t, func() bool {
		m := does[map[string]any](p, "get", "message:m-1")
		return m == nil || m["content"] == "edited"
	})
	if got := content(); got != "edited" {
		t.Errorf("after the edit we serve %q", got)
	}
}

// cacheBothWays has each side read, set and remove a value of a cache.
func cacheBothWays[T comparable](t *testing.T, prefix string, ours, theirs T) {
	core, p := both(t)
	ctx, loads := t.Context(), 0
	cached := must[*chatcore.Cache[T]](t)(chatcore.NewCache(core, chatcore.CacheConfig{Prefix: prefix, TTL: time.Hour, Stale: time.Hour}, func(context.Context, string) (T, error) {
		loads++
		return ours, nil
	}))
	is := func(what string, want T, after int) {
		t.Helper()
		if got, err := cached.Get(ctx, "a"); err != nil || got != want || loads != after {
			t.Errorf("%s: got %v, error %v, after %d loads; want %v after %d", what, got, err, loads, want, after)
		}
	}
	key := prefix + "a"
	is("at first", ours, 1)
	if got := does[T](p, "get", key); got != ours {
		t.Errorf("they read %v", got)
	}
	does[any](p, "set", key, theirs, 60)
	is("what they set", theirs, 1)
	does[any](p, "del", key)
	is("after their del", ours, 2)
	does[any](p, "setPermanent", key, theirs)
	is("what they set for good", theirs, 2)
	does[any](p, "delPattern", prefix+"*")
	is("after their delPattern", ours, 3)
	does[any](p, "set", key, theirs, 60)
	if err := cached.Invalidate(ctx, "a"); err != nil {
		t.Error(err)
	}
	if got := does[any](p, "get", key); got != nil {
		t.Errorf("after our Invalidate they read %v", got)
	}
	is("after our Invalidate", ours, 4)
	does[any](p, "set", key, map[string]any{"name": 5}, 60)
	is("what is none of the type", ours, 5)
	does[any](p, "set", key, nil, 60)
	is("null", ours, 6)
}

// TestCachesGoBothWays checks caches of objects, which contain their metadata, and of other values, which have it in a second key.
func TestCachesGoBothWays(t *testing.T) {
	type badge struct {
		Name string `json:"name"`
		N    int    `json:"n"`
	}
	t.Run("objects", func(t *testing.T) { cacheBothWays(t, "badge:", badge{"<ours> & “co”", 1}, badge{"theirs", 2}) })
	t.Run("strings", func(t *testing.T) { cacheBothWays(t, "motto:", "<ours> & “co”", "theirs") })
}

// TestTheirSetDuringOurLoadStays checks that the peer's value wins: the load may have begun before the change that the peer knows.
func TestTheirSetDuringOurLoadStays(t *testing.T) {
	core, p := both(t)
	cached := must[*chatcore.Cache[string]](t)(chatcore.NewCache(core, chatcore.CacheConfig{Prefix: "motto:"}, func(_ context.Context, id string) (string, error) {
		if id == "none" {
			return "", chatcore.ErrNoValue
		}
		does[any](p, "set", "motto:a", "theirs", 60)
		return "ours", nil
	}))
	if got := must[string](t)(cached.Get(t.Context(), "a")); got != "theirs" {
		t.Errorf("we serve %q", got)
	}
	if got := does[string](p, "get", "motto:a"); got != "theirs" {
		t.Errorf("they read %q", got)
	}
	if _, err := cached.Get(t.Context(), "none"); !errors.Is(err, chatcore.ErrNoValue) {
		t.Errorf("of none: %v", err)
	}
	if got := does[any](p, "get", "motto:none"); got != nil {
		t.Errorf("they read %v of none", got)
	}
}
