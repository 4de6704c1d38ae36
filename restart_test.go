package chatcore_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestWhatRedisLostAuthorisesNothing has Redis lose acknowledged events, and write others under the same seq: a process's cached state of the lost
// history must not count for the new one.
func TestWhatRedisLostAuthorisesNothing(t *testing.T) {
	server := redistest.Start(t)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	ctx := t.Context()
	open := func() *chatcore.Core {
		return opened(t)(chatcore.New(ctx, chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}}))
	}

	one := open()
	must[app.Done](t)(one.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Members: []domain.UserID{"bob"}}))
	if err := client.Save(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	promoted := must[app.Done](t)(one.Chats.Promote(ctx, domain.Promote{Chat: "c", Actor: "ada", User: "bob", Role: domain.RoleAdmin}))
	must[app.Sent](t)(one.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "bob", Content: "I am an admin"})) // cached: bob at that version

	server.Kill()
	server.Restart(t)
	other := open()
	removed := must[app.Done](t)(other.Chats.Remove(ctx, domain.Remove{Chat: "c", Actor: "ada", User: "bob"}))
	if removed.Seq != promoted.Seq {
		t.Fatalf("bob was promoted at %d and removed at %d; the test wants the same", promoted.Seq, removed.Seq)
	}
	for {
		_, err := one.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "bob", Content: "am I still here?"})
		if errors.Is(err, domain.ErrNotMember) {
			return
		}
		if err == nil {
			t.Fatal("bob was removed, and his message was taken")
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// TestAServerThatComesBackAuthorisesNothing has a shard go from one server to another and back, which loses the events that only the other one had: a
// process's cached state of those must not count, though it has seen both histories before.
func TestAServerThatComesBackAuthorisesNothing(t *testing.T) {
	cluster := redistest.StartReplicatedCluster(t, 3, 1)
	ctx := t.Context()
	open := func() *chatcore.Core {
		return opened(t)(chatcore.New(ctx, chatcore.Config{Redis: chatcore.RedisConfig{URL: cluster.URL()}}))
	}
	one := open()
	must[app.Done](t)(one.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Members: []domain.UserID{"bob"}}))
	shard := -1
	for i, s := range cluster.Masters {
		keys, err := s.Client(t).Keys(ctx, "cc:*:c:*").Result()
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) > 0 {
			shard = i
		}
	}
	bobSends := func(text string) error {
		for {
			_, err := one.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "bob", Content: text})
			if err == nil || errors.Is(err, domain.ErrNotMember) || ctx.Err() != nil {
				return err
			}
		}
	}
	first, second := cluster.Masters[shard], cluster.Replicas[shard][0]
	cluster.Failover(t, shard)
	if err := bobSends("on the second"); err != nil {
		t.Fatal(err)
	}
	if n := second.Client(t).Wait(ctx, 1, wait.Limit).Val(); n != 1 {
		t.Fatal("the first has not caught up")
	}

	first.Freeze()
	if err := second.Client(t).ClientKillByFilter(ctx, "TYPE", "replica").Err(); err != nil { // nothing waits for it in a buffer
		t.Fatal(err)
	}
	promoted := must[app.Done](t)(one.Chats.Promote(ctx, domain.Promote{Chat: "c", Actor: "ada", User: "bob", Role: domain.RoleAdmin}))
	if err := bobSends("I am an admin"); err != nil { // cached: bob at that version
		t.Fatal(err)
	}
	second.Kill()
	first.Thaw()
	cluster.AwaitPromotion(t, shard, second)

	removed := must[app.Done](t)(open().Chats.Remove(ctx, domain.Remove{Chat: "c", Actor: "ada", User: "bob"}))
	if removed.Seq != promoted.Seq {
		t.Fatalf("bob was promoted at %d and removed at %d; the test wants the same", promoted.Seq, removed.Seq)
	}
	if err := bobSends("am I still here?"); !errors.Is(err, domain.ErrNotMember) {
		t.Errorf("bob was removed, and his message: %v", err)
	}
}

// TestAServerThatFollowedAnotherMeanwhileAuthorisesNothing has a server follow another one for a while, which costs it its acknowledged events, and
// then lead again: it is the same process, and connections to it have lasted.
func TestAServerThatFollowedAnotherMeanwhileAuthorisesNothing(t *testing.T) {
	first, second := redistest.Start(t), redistest.Start(t)
	ctx := t.Context()
	follow := func(who, whom *redistest.Server) {
		t.Helper()
		host, port, _ := strings.Cut(whom.Addr(), ":")
		if err := who.Client(t).ReplicaOf(ctx, host, port).Err(); err != nil {
			t.Fatal(err)
		}
		poll := time.NewTicker(5 * time.Millisecond)
		defer poll.Stop()
		for !strings.Contains(who.Client(t).Info(ctx, "replication").Val(), "master_link_status:up") {
			select {
			case <-poll.C:
			case <-ctx.Done():
				t.Fatal("it does not catch up")
			}
		}
	}
	lead := func(who *redistest.Server) {
		t.Helper()
		if err := who.Client(t).ReplicaOf(ctx, "no", "one").Err(); err != nil {
			t.Fatal(err)
		}
	}
	open := func(s *redistest.Server) *chatcore.Core {
		return opened(t)(chatcore.New(ctx, chatcore.Config{Redis: chatcore.RedisConfig{URL: s.URL()}}))
	}
	for _, s := range []*redistest.Server{first, second} {
		if err := s.Client(t).ConfigSet(ctx, "repl-diskless-sync-delay", "0").Err(); err != nil {
			t.Fatal(err)
		}
	}

	one := open(first)
	must[app.Done](t)(one.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Members: []domain.UserID{"bob"}}))
	follow(second, first)
	lead(second)
	promoted := must[app.Done](t)(one.Chats.Promote(ctx, domain.Promote{Chat: "c", Actor: "ada", User: "bob", Role: domain.RoleAdmin}))
	must[app.Sent](t)(one.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "bob", Content: "I am an admin"})) // cached: bob at that version

	removed := must[app.Done](t)(open(second).Chats.Remove(ctx, domain.Remove{Chat: "c", Actor: "ada", User: "bob"}))
	if removed.Seq != promoted.Seq {
		t.Fatalf("bob was promoted at %d and removed at %d; the test wants the same", promoted.Seq, removed.Seq)
	}
	follow(first, second)
	lead(first)
	if _, err := one.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "bob", Content: "am I still here?"}); !errors.Is(err, domain.ErrNotMember) {
		t.Errorf("bob was removed, and his message: %v", err)
	}
}
