// Package greeter is a handler with tests: it greets the creator of a chat. Its tests use chatcoretest, a core in memory with a clock that the test
// moves.
package greeter

import (
	"context"

	"chatcore"
	"chatcore/domain"
)

// Bot is the user that greets.
const Bot domain.UserID = "greeter"

// Subscribe adds the group "greeter" to a core. The message id makes the greeting idempotent: a redelivered event sends it once.
func Subscribe(core *chatcore.Core) error {
	return core.Subscribe("greeter", chatcore.On(func(ctx context.Context, d chatcore.Delivery[domain.ChatUpdate]) error {
		if d.Event.Change != domain.Created {
			return nil
		}
		add := domain.Add{Chat: d.Event.Chat, Actor: d.Event.Actor, User: Bot}
		if _, err := core.Chats.Add(ctx, add); err != nil {
			return err
		}
		_, err := core.Chats.Send(ctx, domain.Send{Chat: d.Event.Chat, Actor: Bot, MessageID: "greeting", Content: "Welcome!"})
		return err
	}))
}
