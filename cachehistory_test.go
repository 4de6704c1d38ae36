package chatcore_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// answers are the results of a core's queries that may come from caches.
type answers struct {
	message  string
	deleted  bool
	title    string // of ada's chat
	contacts []domain.UserID
}

func (a answers) equal(b answers) bool {
	return a.message == b.message && a.deleted == b.deleted && a.title == b.title && slices.Equal(a.contacts, b.contacts)
}

// ask reads the cached values of chat c, message m and user ada.
func ask(t *testing.T, core *chatcore.Core) (a answers, err error) {
	t.Helper()
	m, err := core.Queries.Message(t.Context(), "c", "m")
	if err != nil {
		return a, err
	}
	chats, err := core.Queries.ChatList(t.Context(), "ada")
	if err != nil {
		return a, err
	}
	contacts, err := core.Queries.Contacts(t.Context(), "ada")
	if err != nil {
		return a, err
	}
	a.message, a.deleted = string(m.Content), m.Deleted()
	for _, c := range chats {
		a.title += string(c.Title)
	}
	for _, c := range contacts {
		a.contacts = append(a.contacts, c.User)
	}
	return a, nil
}

// says waits until a core answers so.
func says(t *testing.T, what string, core *chatcore.Core, want answers) {
	t.Helper()
	eventually(t, what, func() bool {
		got, err := ask(t, core)
		return err == nil && got.equal(want)
	})
}

// cachedAll waits until the cache holds a core's answers.
func cachedAll(t *testing.T, core *chatcore.Core, cache *goredis.Client, want answers) {
	t.Helper()
	says(t, "the answers are right", core, want)
	eventually(t, "the cache has them", func() bool {
		if got, err := ask(t, core); err != nil || !got.equal(want) {
			return false
		}
		values := make([]string, 3)
		for i, key := range []string{"message:m", "chat:list:ada", "contact:list:ada"} {
			values[i] = cache.Get(t.Context(), key).Val()
		}
		return strings.Contains(values[0], want.message) && strings.Contains(values[1], want.title) &&
			strings.Contains(values[2], string(want.contacts[len(want.contacts)-1]))
	})
}

// TestCachedValues_OfALostHistoryAreMisses has the log's server come back without its last writes, while the cache has values made from them, under
// versions that the log has not reached: for a process that goes on and for one that is new.
func TestCachedValues_OfALostHistoryAreMisses(t *testing.T) {
	for _, apart := range []bool{true, false} {
		t.Run(map[bool]string{true: "on another server", false: "on the same server"}[apart], func(t *testing.T) {
			server := redistest.Start(t)
			config, cache := chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 2}}, server.Client(t)
			if apart {
				other := redistest.Start(t)
				config.Redis.CacheURL, cache = other.URL(), other.Client(t)
			}
			ctx := t.Context()
			core := withBuiltins(t, config)
			must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Title: "Garden", Members: []domain.UserID{"ben"}}))
			must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "m", Content: "first"}))
			kept := answers{message: "first", title: "Garden", contacts: []domain.UserID{"ben"}}
			cachedAll(t, core, cache, kept)
			if err := server.Client(t).Save(ctx).Err(); err != nil {
				t.Fatal(err)
			}
			must[app.Done](t)(core.Chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "ada", MessageID: "m", Content: "lost"}))
			must[app.Done](t)(core.Chats.Rename(ctx, domain.Rename{Chat: "c", Actor: "ada", Title: "Lost"}))
			must[app.Done](t)(core.Chats.Add(ctx, domain.Add{Chat: "c", Actor: "ada", User: "cem"}))
			cachedAll(t, core, cache, answers{message: "lost", title: "Lost", contacts: []domain.UserID{"ben", "cem"}})

			server.Kill()
			server.Restart(t)
			fresh := withBuiltins(t, config)
			if got, err := ask(t, fresh); err != nil || !got.equal(kept) {
				t.Errorf("a new process answers %+v, error %v, want %+v", got, err, kept)
			}
			says(t, "a process that goes on", core, kept)
			// Another event takes the seq of a lost one, or a lower one.
			must[app.Done](t)(fresh.Chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "ada", MessageID: "m", Content: "second"}))
			kept.message = "second"
			says(t, "with another event", core, kept)
			cachedAll(t, fresh, cache, kept)
		})
	}
}

// TestCachedValues_OfALostLogAreMisses begins a new log under the same names, beside a cache with values made from the one before.
func TestCachedValues_OfALostLogAreMisses(t *testing.T) {
	server, other := redistest.Start(t), redistest.Start(t)
	ctx, cache := t.Context(), other.Client(t)
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL(), CacheURL: other.URL()}, Log: chatcore.LogConfig{Partitions: 2}}
	before := opened(t)(chatcore.New(ctx, config))
	if err := before.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	stop := start(t, before)
	must[app.Done](t)(before.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Title: "Before", Members: []domain.UserID{"ben"}}))
	must[app.Sent](t)(before.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "m", Content: "before"}))
	for _, text := range []string{"before 1", "before 2", "before 3"} { // a version that the new log does not reach
		must[app.Done](t)(before.Chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "ada", MessageID: "m", Content: text}))
	}
	cachedAll(t, before, cache, answers{message: "before 3", title: "Before", contacts: []domain.UserID{"ben"}})
	stop()

	server.Client(t).FlushAll(ctx)
	core := withBuiltins(t, config)
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Title: "Now", Members: []domain.UserID{"cem"}}))
	must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "cem", MessageID: "m", Content: "now"}))
	if m := must[app.MessageView](t)(core.Queries.Message(ctx, "c", "m")); m.Content != "now" || m.Sender != "cem" {
		t.Errorf("the message is %+v", m)
	}
	cachedAll(t, core, cache, answers{message: "now", title: "Now", contacts: []domain.UserID{"cem"}})
	hits := core.Stats().Caches["message"].Hits
	must[app.MessageView](t)(core.Queries.Message(ctx, "c", "m"))
	if core.Stats().Caches["message"].Hits != hits+1 {
		t.Error("what the new log says is not kept")
	}
}

// TestAFrozenCacheServer_SkipsNoInvalidation lasts for more tries than an event has that fails for other reasons.
func TestAFrozenCacheServer_SkipsNoInvalidation(t *testing.T) {
	server, other := redistest.Start(t), redistest.Start(t)
	ctx, cache := t.Context(), other.Client(t)
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL(), CacheURL: other.URL(), CommandTimeout: 500 * time.Millisecond}, Log: chatcore.LogConfig{Partitions: 2}}
	config.Delivery.Retry.First, config.Delivery.Retry.Max = 5*time.Millisecond, 20*time.Millisecond
	here, there := withBuiltins(t, config), withBuiltins(t, config)
	must[app.Done](t)(here.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Title: "Before", Members: []domain.UserID{"ben", "cem"}}))
	must[app.Sent](t)(here.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "m", Content: "before"}))
	cachedAll(t, here, cache, answers{message: "before", title: "Before", contacts: []domain.UserID{"ben", "cem"}})

	errors := func() uint64 {
		n := uint64(0)
		for _, core := range []*chatcore.Core{here, there} {
			for _, s := range core.Stats().Caches {
				n += s.StoreErrors
			}
		}
		return n
	}
	other.Freeze()
	t.Cleanup(other.Thaw)
	must[app.Done](t)(here.Chats.Delete(ctx, domain.Delete{Chat: "c", Actor: "ada", MessageID: "m"}))
	must[app.Done](t)(here.Chats.Rename(ctx, domain.Rename{Chat: "c", Actor: "ada", Title: "After"}))
	must[app.Done](t)(here.Chats.Remove(ctx, domain.Remove{Chat: "c", Actor: "ada", User: "cem"}))
	seen := errors()
	eventually(t, "the invalidation was tried again and again", func() bool { return errors() >= seen+10 })
	after := answers{deleted: true, title: "After", contacts: []domain.UserID{"ben"}}
	other.Thaw()

	groups := here.Groups()
	eventually(t, "the group of the caches has caught up", func() bool {
		for _, g := range must[[]chatcore.GroupState](t)(groups.List(ctx)) {
			for _, l := range g.Partitions {
				if l.Letters > 0 {
					t.Fatalf("group %s has set %d deliveries aside", g.Group, l.Letters)
				}
				if l.Lag > 0 || l.Behind > 0 || l.Failing > 0 {
					return false
				}
			}
		}
		return true
	})
	for range 20 {
		for name, core := range map[string]*chatcore.Core{"the process that changed it": here, "another": there} {
			if got, err := ask(t, core); err != nil || !got.equal(after) {
				t.Fatalf("%s answers %+v, error %v, want %+v", name, got, err, after)
			}
		}
	}
}
