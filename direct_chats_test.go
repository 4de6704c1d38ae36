package chatcore_test

import (
	"context"
	"testing"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/foldcheck"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestDirectChats_AfterDeletion deletes direct chats, opens them again and has users depart, on Redis: the read models equal a fold of the log, and it has no contradiction.
func TestDirectChats_AfterDeletion(t *testing.T) {
	server := redistest.Start(t)
	config := quick(chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 2}, Limits: chatcore.LimitsConfig{CheckBlocks: true}})
	ranBuiltins(t, config, func(core *chatcore.Core) {
		ctx := t.Context()
		said := func(by, with domain.UserID, text string) domain.ChatID {
			t.Helper()
			opened := must[app.OpenedDirect](t)(core.Chats.OpenDirect(ctx, domain.OpenDirect{Actor: by, With: with}))
			must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: opened.Chat, Actor: by, Content: text}))
			return opened.Chat
		}
		for _, with := range []domain.UserID{"ben", "cem", "ada"} {
			chat := said("ada", with, "before")
			must[app.DeletedChat](t)(core.Chats.DeleteChat(ctx, domain.DeleteChat{Chat: chat, Actor: "service", Trusted: true}, nil))
			said("ada", with, "after")
		}
		must[app.Done](t)(core.Chats.Block(ctx, domain.BlockUser{Actor: "ben", User: "ada"}))
		must[app.DeletedChat](t)(core.Chats.DeleteChat(ctx, domain.DeleteChat{Chat: domain.DirectID("ada", "ben"), Actor: "service", Trusted: true}, nil))
		must[app.OpenedDirect](t)(core.Chats.OpenDirect(ctx, domain.OpenDirect{Actor: "ada", With: "ben"}))
		added := must[app.AddedMembers](t)(core.Chats.AddMembers(ctx, domain.AddMembers{Chat: describedGroup(t, core), Actor: "ada", Users: []domain.UserID{"ben", "cem"}}))
		if added.Users[0].Admission != domain.BlocksActor || added.Users[1].Admission != domain.Admitted {
			t.Errorf("%+v", added.Users)
		}
		blocked := func(user domain.UserID) []app.BlockedUser {
			return must[app.List[app.BlockedUser]](t)(core.Queries.Blocked(ctx, user, domain.Page{Limit: 9})).Items
		}
		wait.Until(t, "the blocked users of ben", func() bool { return len(blocked("ben")) == 1 && blocked("ben")[0].User == "ada" })
		if len(blocked("ada")) != 0 {
			t.Errorf("ada blocks %v", blocked("ada"))
		}
		wait.Until(t, "the chats of ada", func() bool { return len(must[[]domain.ChatID](t)(core.Queries.ChatsOf(ctx, "ada"))) == 4 })
		done := must[app.UserDeparture](t)(core.Users.Depart(ctx, app.DepartUser{User: "ada"}, nil))
		if want := (app.UserDeparture{Left: 4, Succeeded: 1}); done != want {
			t.Errorf("%+v, want %+v", done, want)
		}
		ending, cancel := context.WithTimeout(ctx, wait.Limit)
		defer cancel()
		for _, difference := range must[[]string](t)(foldcheck.Await(ending, core)) {
			t.Error(difference)
		}
		if found := checked(t, core, chatcore.FsckConfig{}); len(found) > 0 {
			t.Errorf("%+v", found)
		}
	})
}

// describedGroup creates a group of ada.
func describedGroup(t *testing.T, core *chatcore.Core) domain.ChatID {
	t.Helper()
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "group", Actor: "ada", Metadata: map[string]string{"topic": `"Garden"`}}))
	return "group"
}
