package chatcore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestChatListPage_FollowsTheBuiltinGroup has the order follow new messages, and the group's rebuild mend an index that is beyond the log.
func TestChatListPage_FollowsTheBuiltinGroup(t *testing.T) {
	server := redistest.Start(t)
	config, ctx := chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 1}, Delivery: chatcore.DeliveryConfig{BuiltinPace: 50 * time.Millisecond}}, t.Context()
	client := server.Client(t)
	const index = "cc:{message-delivery-stream}:last"
	ranBuiltins(t, config, func(core *chatcore.Core) {
		latest := func() domain.ChatID {
			page := must[app.List[app.ListedChat]](t)(core.Queries.ChatListPage(ctx, "ada", domain.Page{Limit: 1}))
			if len(page.Items) == 0 {
				return ""
			}
			return page.Items[0].ID
		}
		for i := range 3 {
			must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: domain.ChatID(fmt.Sprint("c", i)), Actor: "ada"}))
		}
		wait.Until(t, "every chat is indexed", func() bool { return client.HLen(ctx, index).Val() == 3 })
		for _, chat := range []domain.ChatID{"c0", "c2", "c1", "c0"} {
			sent := must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: chat, Actor: "ada", Content: "x"}))
			wait.Until(t, "the message is indexed", func() bool {
				return strings.HasPrefix(client.HGet(ctx, index, string(chat)).Val(), fmt.Sprint(sent.Seq, ":"))
			})
			wait.Until(t, "its chat comes first", func() bool { return latest() == chat })
		}
		right := client.HGetAll(ctx, index).Val()
		client.HSet(ctx, index, "c2", "99:9999999999999", "c1", "0:x")
		client.HDel(ctx, index, "c0")
		if err := core.Groups().Rebuild(ctx, chatcore.BuiltinGroup); err != nil {
			t.Fatal(err)
		}
		wait.Until(t, "the index is as before", func() bool { return fmt.Sprint(client.HGetAll(ctx, index).Val()) == fmt.Sprint(right) })
	})
}
