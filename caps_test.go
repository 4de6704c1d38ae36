package chatcore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/wait"
)

// TestCaps_HoldUnderConcurrency has many calls react at once, through two cores where two share a log: with different emojis, and one user with all
// emojis that are there.
func TestCaps_HoldUnderConcurrency(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		config := chatcore.Config{Limits: chatcore.LimitsConfig{Caps: app.Caps{EmojisPerMessage: 8, ReactionsPerUser: 5}}}
		cores := []*chatcore.Core{open(config), open(config)}
		if cores[0].LogID() != cores[1].LogID() { // in memory each core has a log of its own
			cores[1] = cores[0]
		}
		ctx := t.Context()
		members := make([]domain.UserID, 40)
		for i := range members {
			members[i] = domain.UserID(fmt.Sprint("user", i))
		}
		must[app.Done](t)(cores[0].Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Members: members}))
		must[app.Sent](t)(cores[0].Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "m", Content: "x"}))
		react := func(i int, by domain.UserID, emoji string) error {
			_, err := cores[i%2].Chats.React(ctx, domain.React{Chat: "c", Actor: by, MessageID: "m", Emoji: emoji})
			if err != nil && !errors.Is(err, domain.ErrCapReached) && !errors.Is(err, ports.ErrConflict) {
				t.Error(err)
			}
			return err
		}
		together := func(n int, one func(i int)) {
			var all sync.WaitGroup
			for i := range n {
				all.Go(func() { one(i) })
			}
			all.Wait()
		}
		together(len(members), func(i int) { _ = react(i, members[i], fmt.Sprintf(":e%d:", i)) })
		found := must[app.MessageView](t)(cores[0].Queries.Message(ctx, "c", "m"))
		if len(found.Reactions) != 8 {
			t.Fatalf("the message has %d emojis, want 8", len(found.Reactions))
		}
		together(len(members), func(i int) { _ = react(i, "ada", string(found.Reactions[i%8].Emoji)) })
		found = must[app.MessageView](t)(cores[0].Queries.Message(ctx, "c", "m"))
		own := 0
		for _, group := range found.Reactions {
			for _, user := range group.Users {
				if user == "ada" {
					own++
				}
			}
		}
		if own != 5 || len(found.Reactions) != 8 {
			t.Errorf("the user has %d reactions with %d emojis, want 5 and 8", own, len(found.Reactions))
		}
		// A hot message: each user's first reaction, with an emoji that is there, finds its way in. A caller repeats a command that lost every race.
		together(len(members), func(i int) {
			wait.Until(t, "the reaction of "+string(members[i]), func() bool {
				return !errors.Is(react(i, members[i], string(found.Reactions[0].Emoji)), ports.ErrConflict)
			})
		})
		found = must[app.MessageView](t)(cores[0].Queries.Message(ctx, "c", "m"))
		for _, member := range members {
			if users := found.Reactions[0].Users; !slices.Contains(users, member) {
				t.Errorf("%s is not among the %d users of the emoji", member, len(users))
			}
		}
	})
}

// TestCaps_OfOneUserHold has many users react to a message at once, each with all of its emojis, which outnumber the cap of a user, while others add and
// remove reactions. Calls conflict with each other all the time, through two cores where two share a log.
func TestCaps_OfOneUserHold(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		const perUser, emojis, users = 3, 12, 8
		config := chatcore.Config{Limits: chatcore.LimitsConfig{Caps: app.Caps{EmojisPerMessage: emojis, ReactionsPerUser: perUser}}}
		cores := []*chatcore.Core{open(config), open(config)}
		if cores[0].LogID() != cores[1].LogID() {
			cores[1] = cores[0]
		}
		ctx := t.Context()
		members := make([]domain.UserID, users+emojis)
		for i := range members {
			members[i] = domain.UserID(fmt.Sprint("user", i))
		}
		must[app.Done](t)(cores[0].Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Members: members}))
		must[app.Sent](t)(cores[0].Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "m", Content: "x"}))
		command := func(by domain.UserID, emoji int) domain.React {
			return domain.React{Chat: "c", Actor: by, MessageID: "m", Emoji: fmt.Sprintf(":e%d:", emoji)}
		}
		for i := range emojis {
			must[app.Done](t)(cores[0].Chats.React(ctx, command(members[users+i], i)))
		}
		check := func(_ app.Done, err error) {
			if err != nil && !errors.Is(err, domain.ErrCapReached) && !errors.Is(err, ports.ErrConflict) {
				t.Error(err)
			}
		}
		var all sync.WaitGroup
		for i := range emojis {
			for _, by := range members[:users] {
				all.Go(func() { check(cores[i%2].Chats.React(ctx, command(by, i))) })
			}
			all.Go(func() { // an emoji vanishes, and comes back if there is room
				check(cores[i%2].Chats.Unreact(ctx, command(members[users+i], i)))
				check(cores[i%2].Chats.React(ctx, command(members[users+i], i)))
				check(cores[i%2].Chats.React(ctx, command(members[users+i], emojis+i)))
			})
		}
		all.Wait()
		found := must[app.MessageView](t)(cores[0].Queries.Message(ctx, "c", "m"))
		own := make(map[domain.UserID]int)
		for _, group := range found.Reactions {
			for _, user := range group.Users {
				own[user]++
			}
		}
		if len(found.Reactions) > emojis {
			t.Errorf("the message has %d emojis, want at most %d", len(found.Reactions), emojis)
		}
		for user, n := range own {
			if n > perUser {
				t.Errorf("%s has %d reactions, want at most %d", user, n, perUser)
			}
		}
	})
}

// TestCaps_OfChatsAreCountedInTheUsersView, which the built-in subscribers keep.
func TestCaps_OfChatsAreCountedInTheUsersView(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core := open(chatcore.Config{Limits: chatcore.LimitsConfig{Caps: app.Caps{ChatsPerUser: 2}}})
		if err := core.SubscribeBuiltins(); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- core.Run(ctx) }()
		for _, chat := range []domain.ChatID{"one", "two"} {
			must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: chat, Actor: "ada"}))
		}
		wait.Until(t, "both chats", func() bool {
			chats, err := core.Queries.ChatsOf(ctx, "ada")
			return err == nil && len(chats) == 2
		})
		_, err := core.Chats.Create(ctx, domain.Create{Chat: "three", Actor: "ada"})
		var reached *domain.CapError
		if !errors.As(err, &reached) || reached.Cap != domain.CapChats || reached.Max != 2 {
			t.Errorf("a third chat: %v", err)
		}
		stop()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestGate(t *testing.T) {
	core := opened(t)(chatcore.NewInMemory(chatcore.Config{}, chatcore.WithGate(func(_ context.Context, q app.GateQuestion) error {
		if q.Kind == app.GateSend && q.Actor == "bob" {
			return app.Refuse("bob is too new")
		}
		return nil
	})))
	ctx := t.Context()
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Members: []domain.UserID{"bob"}}))
	must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
	_, err := core.Chats.Correlated("request").Send(ctx, domain.Send{Chat: "c", Actor: "bob", Content: "x"})
	var refused *app.GateError
	if !errors.Is(err, domain.ErrRefused) || !errors.As(err, &refused) || refused.Reason != "bob is too new" {
		t.Errorf("%v", err)
	}
}
