package chatcore_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// TestACoreUnderOtherNames sends, announces and delivers under the names that were asked for, and under no others.
func TestACoreUnderOtherNames(t *testing.T) {
	server := redistest.Shared(t)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL(), Namespace: uuid.NewString()}, Log: chatcore.LogConfig{Partitions: 1}}
	config.Redis.Names.Stream, config.Redis.Names.Typing = "deliveries", "types:"
	config.Redis.Names.Channels = map[string]string{"message:new": "new-message"}
	core := opened(t)(chatcore.New(t.Context(), config))

	announced := client.Subscribe(t.Context(), config.Redis.Namespace+":new-message")
	t.Cleanup(func() { _ = announced.Close() })
	if _, err := announced.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	delivered, heard := make(chan domain.Seq, 1), make(chan domain.UserID, 1)
	if err := core.Subscribe("g", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
		delivered <- d.ID.Seq
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	if err := core.Listen(chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.MessageNew]) { heard <- l.Event.Sender })); err != nil {
		t.Fatal(err)
	}
	start(t, core)
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	must[bool](t)(core.Chats.StartTyping(t.Context(), domain.Typing{Chat: "c", Actor: "ada"}))
	typing := client.Exists(t.Context(), config.Redis.Namespace+":types:c:ada").Val()
	must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
	if seq, user := receive(t, delivered), receive(t, heard); seq != 2 || user != "ada" || typing != 1 {
		t.Errorf("delivered %d, heard of %q, typing keys %d", seq, user, typing)
	}
	if _, err := announced.ReceiveMessage(t.Context()); err != nil {
		t.Error(err)
	}
	if n := client.XLen(t.Context(), config.Redis.Namespace+":deliveries").Val(); n == 0 {
		t.Error("nothing is on the stream of that name")
	}
	if n := client.Exists(t.Context(), config.Redis.Namespace+":message-delivery-stream").Val(); n != 0 {
		t.Error("there is a stream of the default name")
	}
}
