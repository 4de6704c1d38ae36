package chatcoretest_test

import (
	"context"
	"fmt"

	"chatcore"
	"chatcore/chatcoretest"
	"chatcore/domain"
)

// A handler that greets the creator of a chat, and its test.
func Example() {
	greet := func(core *chatcoretest.Core) func(context.Context, chatcore.Delivery[domain.ChatUpdate]) error {
		return func(ctx context.Context, d chatcore.Delivery[domain.ChatUpdate]) error {
			_, err := core.Chats.Send(ctx, domain.Send{Chat: d.Event.Chat, Actor: d.Event.Actor, MessageID: "greeting", Content: "Welcome!"})
			return err
		}
	}

	core := chatcoretest.New(t)
	_ = core.Subscribe("greeter", chatcore.On(greet(core)))
	core.Start()
	_, _ = core.Chats.Create(context.Background(), domain.Create{Chat: "garden", Actor: "ada", Title: "Garden"})
	core.WaitIdle()
	messages, _ := core.Queries.History(context.Background(), "garden", domain.Span{})
	fmt.Println(messages[0].Content, messages[0].SentAt.Format("15:04"))
	// Output: Welcome! 07:08
}
