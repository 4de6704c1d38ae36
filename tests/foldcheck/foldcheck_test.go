package foldcheck_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/chatcoretest"
	"chatcore/domain"
	"chatcore/tests/foldcheck"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// busy sends commands to a few chats from several goroutines at once. Some are refused; other errors fail the test.
func busy(t *testing.T, core *chatcore.Core, chats, commands int) {
	t.Helper()
	users := []domain.UserID{"ada", "ben", "cem", "dan", "eve", "|odd|[]{}^`-:%*?"}
	var sides sync.WaitGroup
	for side := range 4 {
		sides.Go(func() {
			r := rand.New(rand.NewPCG(uint64(side), 1)) //nolint:gosec // commands of a test
			var mine []domain.MessageID
			for i := range commands {
				ctx := t.Context()
				chat := domain.ChatID(fmt.Sprint("chat:", r.IntN(chats)))
				by, about := users[r.IntN(len(users))], users[r.IntN(len(users))]
				message := domain.MessageID(fmt.Sprint("m-", side, "-", i))
				if len(mine) > 0 && r.IntN(2) == 0 {
					message = mine[r.IntN(len(mine))]
				}
				var err error
				switch r.IntN(12) {
				case 0, 1, 2, 3, 4:
					_, err = core.Chats.Send(ctx, domain.Send{Chat: chat, Actor: by, MessageID: message, Content: "x"})
					mine = append(mine, message)
				case 5:
					_, err = core.Chats.Delete(ctx, domain.Delete{Chat: chat, Actor: by, MessageID: message})
				case 6:
					_, err = core.Chats.Add(ctx, domain.Add{Chat: chat, Actor: "ada", User: about})
				case 7:
					_, err = core.Chats.Remove(ctx, domain.Remove{Chat: chat, Actor: by, User: about})
				case 8:
					_, err = core.Chats.React(ctx, domain.React{Chat: chat, Actor: by, MessageID: message, Emoji: "👍"})
				case 9:
					_, err = core.Chats.Edit(ctx, domain.Edit{Chat: chat, Actor: by, MessageID: message, Content: fmt.Sprint("x", i)})
				default:
					soon, cancel := context.WithTimeout(ctx, 20*time.Millisecond) // marks are a second apart; the test does not wait for that
					_, err = core.Chats.MarkRead(soon, domain.MarkRead{Chat: chat, Actor: by, MessageID: message, AwaitRecorded: true})
					cancel()
				}
				var refusal *domain.Refusal
				if err != nil && !errors.As(err, &refusal) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, domain.ErrInvalid) {
					t.Errorf("%T %v", err, err)
				}
			}
		})
	}
	sides.Wait()
}

func create(t *testing.T, core *chatcore.Core, chats int) {
	t.Helper()
	for i := range chats {
		_, err := core.Chats.Create(t.Context(), domain.Create{
			Chat: domain.ChatID(fmt.Sprint("chat:", i)), Actor: "ada", Members: []domain.UserID{"ben", "cem"}, Command: "create",
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func none(t *testing.T, core *chatcore.Core) {
	t.Helper()
	differences, err := foldcheck.Differences(t.Context(), core)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		t.Error(d)
	}
}

func TestInMemory(t *testing.T) {
	core := chatcoretest.New(t)
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	create(t, core.Core, 3)
	core.Start()
	busy(t, core.Core, 3, 200)
	core.WaitIdle()
	none(t, core.Core)
	chats, err := core.Queries.ChatsOf(t.Context(), "ada")
	if err != nil || len(chats) != 3 || chats[0] != "chat:0" {
		t.Errorf("ada is in %q, error %v", chats, err)
	}
	unread, err := core.Queries.UnreadOf(t.Context(), "ada")
	if err != nil || len(unread) != 3 {
		t.Errorf("ada has unread %v, error %v", unread, err)
	}
}

// onRedis opens a core in a namespace, with the built-in subscribers running until stop is called.
func onRedis(t *testing.T, namespace string) (core *chatcore.Core, stop func()) {
	t.Helper()
	core, err := chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: namespace}, Log: chatcore.LogConfig{Partitions: 2}})
	if err != nil {
		t.Fatal(err)
	}
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := core.Start(ctx); err != nil {
		cancel()
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := core.Wait(); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return core, stop
}

func awaitNone(t *testing.T, core *chatcore.Core) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait.Limit)
	defer cancel()
	differences, err := foldcheck.Await(ctx, core)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		t.Error(d)
	}
}

// TestOnRedisWithAnotherProcessEachTime continues with another process each time, and once with two. Each remembers what it has written.
func TestOnRedisWithAnotherProcessEachTime(t *testing.T) {
	namespace := "fold-" + uuid.NewString()
	for range 2 {
		core, stop := onRedis(t, namespace)
		create(t, core, 2)
		busy(t, core, 2, 60)
		stop()
	}
	core, _ := onRedis(t, namespace)
	other, _ := onRedis(t, namespace)
	busy(t, core, 2, 60)
	busy(t, other, 2, 60)
	awaitNone(t, core)
	awaitNone(t, other)
}

// TestRebuild_RestoresDeletedViews deletes keys of the views under two running processes, which remember what they have written, while one
// writes. It deletes all keys, or only the numbers, whose versions then say that everything was put, or only the versions.
func TestRebuild_RestoresDeletedViews(t *testing.T) {
	for name, patterns := range map[string][]string{
		"all keys": {":cc:user-chats:*", ":chat:unread:*", ":cc:{*:cc:user-chats:*}:v", ":cc:{*:chat:unread:*}:v"},
		"numbers":  {":cc:user-chats:*", ":chat:unread:*"},
		"versions": {":cc:{*:cc:user-chats:*}:v", ":cc:{*:chat:unread:*}:v"},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := "fold-" + uuid.NewString()
			core, _ := onRedis(t, namespace)
			other, _ := onRedis(t, namespace)
			create(t, core, 12)
			busy(t, core, 12, 60)
			awaitNone(t, other)

			client := goredis.NewClient(&goredis.Options{Addr: redistest.Shared(t).Addr()})
			t.Cleanup(func() { _ = client.Close() })
			var writing sync.WaitGroup
			defer writing.Wait()
			writing.Go(func() { busy(t, other, 2, 100) })
			for _, pattern := range patterns {
				keys, err := client.Keys(t.Context(), namespace+pattern).Result()
				if err != nil || len(keys) == 0 {
					t.Fatalf("%s: keys %q, error %v", pattern, keys, err)
				}
				if err := client.Del(t.Context(), keys...).Err(); err != nil {
					t.Fatal(err)
				}
			}
			groups := core.Groups()
			for _, group := range []string{chatcore.BuiltinGroup} {
				if err := groups.Rebuild(t.Context(), group); err != nil {
					t.Fatal(err)
				}
			}
			writing.Wait()
			awaitNone(t, core)
			awaitNone(t, other)
		})
	}
}

// TestAPlantedDifferenceIsFound changes the stored read models behind the core's back.
func TestAPlantedDifferenceIsFound(t *testing.T) {
	namespace := "fold-" + uuid.NewString()
	core, stop := onRedis(t, namespace)
	create(t, core, 2)
	for _, by := range []domain.UserID{"ada", "ben"} {
		if _, err := core.Chats.Send(t.Context(), domain.Send{Chat: "chat:0", Actor: by, Content: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	awaitNone(t, core)
	stop()

	core, err := chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: namespace}, Log: chatcore.LogConfig{Partitions: 2}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = core.Close() })
	none(t, core)
	client := goredis.NewClient(&goredis.Options{Addr: redistest.Shared(t).Addr()})
	t.Cleanup(func() { _ = client.Close() })
	unread, chats := namespace+":chat:unread:cem", namespace+":cc:user-chats:cem"
	before := map[string]map[string]string{unread: client.HGetAll(t.Context(), unread).Val(), chats: client.HGetAll(t.Context(), chats).Val()}
	if before[unread]["chat:0"] != "2" || len(before[unread]) != 2 || len(before[chats]) != 2 {
		t.Fatalf("kept are %v", before)
	}
	for what, plant := range map[string]func() error{
		"another count":      func() error { return client.HIncrBy(t.Context(), unread, "chat:0", 1).Err() },
		"a missing count":    func() error { return client.HDel(t.Context(), unread, "chat:1").Err() },
		"a count too many":   func() error { return client.HSet(t.Context(), unread, "chat:9", "0").Err() },
		"no number":          func() error { return client.HSet(t.Context(), unread, "chat:0", "x").Err() },
		"a missing chat":     func() error { return client.HDel(t.Context(), chats, "chat:1").Err() },
		"a chat too many":    func() error { return client.HSet(t.Context(), chats, "chat:9", "1").Err() },
		"nothing kept":       func() error { return client.Del(t.Context(), unread, chats).Err() },
		"kept for other log": func() error { return client.HSet(t.Context(), namespace+":cc:{"+unread+"}:v", " ", "x").Err() },
	} {
		versions := client.HGet(t.Context(), namespace+":cc:{"+unread+"}:v", " ").Val()
		if err := plant(); err != nil {
			t.Fatal(err)
		}
		differences, err := foldcheck.Differences(t.Context(), core)
		if err != nil || len(differences) == 0 || !strings.Contains(differences[0], `user "cem"`) {
			t.Errorf("%s: found %q, error %v", what, differences, err)
		}
		client.Del(t.Context(), unread, chats)
		for key, fields := range before {
			client.HSet(t.Context(), key, fields)
		}
		client.HSet(t.Context(), namespace+":cc:{"+unread+"}:v", " ", versions)
		none(t, core)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	client.HIncrBy(t.Context(), unread, "chat:0", 1)
	if differences, err := foldcheck.Await(ctx, core); err != nil || len(differences) == 0 {
		t.Errorf("waiting for what does not come gave %q, error %v", differences, err)
	}
}
