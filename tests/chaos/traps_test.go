package chaos

import (
	"context"
	"fmt"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

// trap is a chat in which a version means one state before a restore and another one after it. The first process remembers a removed member at the
// version at which the second one has promoted the same member since. A decision on the remembered state adds a present member.
type trap struct {
	writers       *writers
	first, second *chatcore.Core
	chat          domain.ChatID
}

const rival = domain.UserID("rival")

// setTraps makes the chats, before a dump.
func setTraps(w *writers, first, second *chatcore.Core, name string) []trap {
	const enough = 8 // partitions, or nearly as many
	traps := make([]trap, enough)
	for i := range traps {
		t := trap{writers: w, first: first, second: second, chat: domain.ChatID(fmt.Sprintf("trap.%s.%d", name, i))}
		t.give(first, "create", func(ctx context.Context, chats *app.Chats, id domain.CommandID) (app.Done, error) {
			return chats.Create(ctx, domain.Create{Chat: t.chat, Actor: owner, Title: "trap", Members: []domain.UserID{rival}, Command: id})
		})
		traps[i] = t
	}
	return traps
}

// bait gives the first process, after the dump, a state that it must not rely on.
func (t trap) bait() {
	t.give(t.first, "remove", func(ctx context.Context, chats *app.Chats, id domain.CommandID) (app.Done, error) {
		return chats.Remove(ctx, domain.Remove{Chat: t.chat, Actor: owner, User: rival, Command: id})
	})
}

// spring has both decide after the restore.
func (t trap) spring() {
	t.give(t.second, "promote", func(ctx context.Context, chats *app.Chats, id domain.CommandID) (app.Done, error) {
		return chats.Promote(ctx, domain.Promote{Chat: t.chat, Actor: owner, User: rival, Role: domain.RoleAdmin, Command: id})
	})
	t.give(t.first, "add", func(ctx context.Context, chats *app.Chats, id domain.CommandID) (app.Done, error) {
		return chats.Add(ctx, domain.Add{Chat: t.chat, Actor: owner, User: rival, Command: id})
	})
}

func (t trap) give(core *chatcore.Core, what string, give func(context.Context, *app.Chats, domain.CommandID) (app.Done, error)) {
	id := domain.CommandID(what)
	_ = t.writers.answered(core, order{chat: t.chat, ref: what, mayBeRefused: true, give: func(ctx context.Context, chats *app.Chats) (app.Done, error) {
		return give(ctx, chats, id)
	}})
}
