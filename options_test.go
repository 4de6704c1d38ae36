package chatcore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub/live"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/projection"
	"chatcore/chatcoretest"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// numbered makes ids that are numbers.
type numbered struct{ n atomic.Int64 }

func (n *numbered) NewID() string { return fmt.Sprint("id-", n.n.Add(1)) }

// invalidationLog is a cache store that reports invalidations.
type invalidationLog struct {
	ports.CacheStore
	keys chan ports.CacheKey
}

func (c invalidationLog) Invalidate(ctx context.Context, version uint64, remember time.Duration, keys ...ports.CacheKey) error {
	for _, key := range keys {
		if key.Prefix == "message:" {
			c.keys <- key
		}
	}
	return c.CacheStore.Invalidate(ctx, version, remember, keys...)
}

// nowhere hears nothing.
type nowhere struct{}

func (nowhere) Publish(context.Context, domain.Ephemeral, ports.Meta) error { return nil }

func TestEachOptionReplacesOnePart(t *testing.T) {
	server, prefix := redistest.Shared(t), "core-"+uuid.NewString()
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	clock := chatcoretest.NewClock(time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC))
	caches := invalidationLog{CacheStore: memory.NewCache(clock), keys: make(chan ports.CacheKey, 1)}
	presence := memory.NewPresence(clock, nowhere{}, ports.PresenceTTL{Heartbeat: time.Minute, Kept: time.Hour, Status: time.Hour})
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL(), Namespace: prefix}, Log: chatcore.LogConfig{Partitions: 1}},
		chatcore.WithClock(clock), chatcore.WithIDs(&numbered{}), chatcore.WithPresence(presence),
		chatcore.WithTypingMarks(memory.NewTyping(clock)), chatcore.WithCacheStore(caches),
		chatcore.WithUserViews(memory.NewUserView(), memory.NewUserView())))
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	start(t, core)
	ctx := t.Context()
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
	sent := must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
	if !strings.HasPrefix(string(sent.MessageID), "id-") {
		t.Errorf("the message's id is %s", sent.MessageID)
	}
	if m := must[app.MessageView](t)(core.Queries.Message(ctx, "c", sent.MessageID)); m.SentAt.Before(clock.Now().AddDate(20, 0, 0)) {
		t.Errorf("it was sent at %v, by a clock that is not the log's", m.SentAt)
	}
	must[bool](t)(core.Chats.StartTyping(ctx, domain.Typing{Chat: "c", Actor: "ada"}))
	if err := core.Presence.Heartbeat(ctx, "ada", "phone", ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is kept", func() bool {
		return len(must[[]domain.ChatID](t)(core.Queries.ChatsOf(ctx, "ada"))) == 1 &&
			len(must[map[domain.ChatID]domain.Ordinal](t)(core.Queries.KeptUnread(ctx, "ada"))) == 1
	})
	for _, key := range client.Keys(ctx, prefix+":*").Val() {
		if strings.Contains(key, "}:g:") { // of a consumer group, whose name may be anything
			continue
		}
		if strings.Contains(key, "typing:") || strings.Contains(key, "user:") || strings.Contains(key, "presence") || strings.Contains(key, "unread") || strings.Contains(key, "user-chats") {
			t.Errorf("Redis holds %s", key)
		}
	}
	must[app.Done](t)(core.Chats.Delete(ctx, domain.Delete{Chat: "c", Actor: "ada", MessageID: sent.MessageID}))
	if key := receive(t, caches.keys); key.ID != string(sent.MessageID) {
		t.Errorf("invalidated is %v", key)
	}
}

func TestAnEventLogOfOnesOwnIsWhole(t *testing.T) {
	codec, live := wireformat.New(), live.NewLocal(0)
	clock := chatcoretest.NewClock(time.Now())
	log := memory.New(codec, clock, live.Announce)
	groups := memgroup.New(memgroup.Config{Log: log, Codec: codec, Clock: clock})
	whole := chatcore.EventLog{
		ID: log.ID(), Log: log, Groups: groups, Backlog: groups.Backlog(), Live: live,
	}
	for field, without := range map[string]func(*chatcore.EventLog){
		"ID":      func(e *chatcore.EventLog) { e.ID = "" },
		"Log":     func(e *chatcore.EventLog) { e.Log = nil },
		"Groups":  func(e *chatcore.EventLog) { e.Groups = nil },
		"Backlog": func(e *chatcore.EventLog) { e.Log, e.Backlog = struct{ app.Log }{log}, nil },
		"Live":    func(e *chatcore.EventLog) { e.Live = nil },
	} {
		part := whole
		without(&part)
		_, err := chatcore.New(t.Context(), chatcore.Config{}, chatcore.WithEventLog(part))
		var invalid *domain.InvalidError
		if !errors.As(err, &invalid) || invalid.Field != "EventLog."+field {
			t.Errorf("without %s: %v", field, err)
		}
	}
	own := whole
	own.Backlog = nil // the log is one
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{}, chatcore.WithEventLog(own)))
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	must[bool](t)(core.Chats.StartTyping(t.Context(), domain.Typing{Chat: "c", Actor: "ada"}))
	if err := core.SubscribeBuiltins(); err != nil {
		t.Error(err)
	}
	if _, err := core.Queries.ChatsOf(t.Context(), "ada"); !errors.Is(err, projection.ErrNoViews) {
		t.Errorf("chats of a user: %v", err)
	}
	if err := core.WaitIdle(t.Context()); !errors.Is(err, chatcore.ErrNotInMemory) {
		t.Errorf("settle: %v", err)
	}
}
