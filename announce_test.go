package chatcore_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/adapters/redis/keyspace"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// TestAnnounce_SelectsTheChannels counts the messages of one event of each kind on the channels of types and on those of partitions.
func TestAnnounce_SelectsTheChannels(t *testing.T) {
	server := redistest.Shared(t)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	type poll struct{}
	ephemeral := map[string]int{"typing:start": 1, "user:status": 1}
	durable := map[string]int{"chat:update": 4, "message:new": 2, "message:edit": 1, "message:delete": 1, "message:reaction": 1, "poll:created": 1}
	sum := func(counts ...map[string]int) map[string]int {
		all := make(map[string]int)
		for _, c := range counts {
			maps.Copy(all, c)
		}
		return all
	}
	announcements := map[string]int{"cc:live": 12}
	for setting, want := range map[chatcore.Announce]map[string]int{
		chatcore.AnnounceBoth:      sum(ephemeral, durable, announcements),
		chatcore.AnnouncePartition: sum(ephemeral, announcements),
		chatcore.AnnounceLegacy:    sum(ephemeral, durable),
	} {
		t.Run(setting.String(), func(t *testing.T) {
			prefix := uuid.NewString() + ":"
			heard := client.PSubscribe(t.Context(), prefix+"*")
			t.Cleanup(func() { _ = heard.Close() })
			if _, err := heard.Receive(t.Context()); err != nil {
				t.Fatal(err)
			}
			subscribePartitions(t, client, strings.TrimSuffix(prefix, ":"))
			core := opened(t)(chatcore.New(t.Context(), chatcore.Config{
				Redis: chatcore.RedisConfig{URL: server.URL(), Namespace: strings.TrimSuffix(prefix, ":")}, Log: chatcore.LogConfig{Announce: setting},
			}))
			ctx := t.Context()
			must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
			must[app.Done](t)(core.Chats.Add(ctx, domain.Add{Chat: "c", Actor: "ada", User: "bob"}))
			must[bool](t)(core.Chats.StartTyping(ctx, domain.Typing{Chat: "c", Actor: "ada"}))
			must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "m", Content: "x"}))
			must[app.Done](t)(core.Chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "ada", MessageID: "m", Content: "y"}))
			must[app.Done](t)(core.Chats.React(ctx, domain.React{Chat: "c", Actor: "bob", MessageID: "m", Emoji: "👍"}))
			must[app.Done](t)(core.Chats.Delete(ctx, domain.Delete{Chat: "c", Actor: "ada", MessageID: "m"}))
			must[app.Done](t)(core.Chats.Record(ctx, domain.Record{Chat: "c", Actor: "ada", Event: chatcore.Define[poll]("poll:created", 1).Of(poll{})}))
			if err := core.Presence.Heartbeat(ctx, "ada", "phone", "1"); err != nil {
				t.Fatal(err)
			}
			// Events for one user alone are on no channel of a type.
			must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "r", Thread: "m", Content: "z"}))
			must[app.Done](t)(core.Chats.SetSettings(ctx, domain.SetSettings{Chat: "c", Actor: "ada", Settings: domain.SettingsChange{Favourite: new(true)}}))
			must[app.Marked](t)(core.Chats.MarkThread(ctx, domain.MarkThread{Chat: "c", Actor: "bob", Thread: "m", Following: domain.Follow}))
			must[app.OpenedDirect](t)(core.Chats.OpenDirect(ctx, domain.OpenDirect{Actor: "ada", With: "eve"}))
			must[app.Done](t)(core.Chats.Block(ctx, domain.BlockUser{Actor: "eve", User: "ada"}))
			if err := client.Publish(ctx, prefix+"end", "").Err(); err != nil {
				t.Fatal(err)
			}
			counts := make(map[string]int)
			for {
				m, err := heard.ReceiveMessage(ctx)
				if err != nil {
					t.Fatal(err)
				}
				channel := strings.TrimPrefix(m.Channel, prefix)
				if channel == "end" {
					break
				}
				if strings.HasPrefix(channel, "cc:{") && strings.HasSuffix(channel, "}:live") {
					channel = "cc:live"
				}
				if channel != "typing:stop" { // comes when the effects of the send are applied
					counts[channel]++
				}
			}
			if fmt.Sprint(counts) != fmt.Sprint(want) {
				t.Errorf("heard %v, want %v", counts, want)
			}
		})
	}
}

// subscribePartitions subscribes to the channels of all partitions of a log under the default settings, so that its events are announced there.
func subscribePartitions(t *testing.T, client goredis.UniversalClient, namespace string) {
	t.Helper()
	keys, err := keyspace.New(namespace, 16, false)
	if err != nil {
		t.Fatal(err)
	}
	channels := make([]string, keys.PartitionCount())
	for p := range channels {
		channels[p] = keys.Log().Live(p)
	}
	subscription := client.Subscribe(t.Context(), channels...)
	t.Cleanup(func() { _ = subscription.Close() })
	for range channels {
		if _, err := subscription.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
