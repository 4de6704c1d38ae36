package chatcore_test

import (
	"errors"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// TestWhatRedisLostAuthorisesNothing has Redis lose what it acknowledged, and write something else under the same seq: what a process had
// cached of the lost history must not count for the new one.
func TestWhatRedisLostAuthorisesNothing(t *testing.T) {
	server := redistest.Start(t)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	ctx := t.Context()
	open := func() *chatcore.Core { return opened(t)(chatcore.New(ctx, chatcore.Config{RedisURL: server.URL()})) }

	one := open()
	must[app.Done](t)(one.Chats.Create(ctx, app.Create{Chat: "c", By: "ada", Members: []domain.UserID{"bob"}}))
	if err := client.Save(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	promoted := must[app.Done](t)(one.Chats.Promote(ctx, app.Promote{Chat: "c", By: "ada", User: "bob", Role: domain.RoleAdmin}))
	must[app.Sent](t)(one.Chats.Send(ctx, app.Send{Chat: "c", By: "bob", Content: "I am an admin"})) // cached: bob at that version

	server.Kill()
	server.Restart(t)
	other := open()
	removed := must[app.Done](t)(other.Chats.Remove(ctx, app.Remove{Chat: "c", By: "ada", User: "bob"}))
	if removed.Seq != promoted.Seq {
		t.Fatalf("bob was promoted at %d and removed at %d; the test wants the same", promoted.Seq, removed.Seq)
	}
	for {
		_, err := one.Chats.Send(ctx, app.Send{Chat: "c", By: "bob", Content: "am I still here?"})
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
