package chatcore_test

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// TestAGroupsNameIsNobodyElsesKey guards against keys in which a group's name and a chat's, or two groups', could be taken for one another.
func TestAGroupsNameIsNobodyElsesKey(t *testing.T) {
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{RedisURL: redistest.Shared(t).URL(), Namespace: "names-" + uuid.NewString(), Partitions: 1}))
	groups := []string{"x", "x:chats", "0", "u", "chats", "members", "x:members", "{x}", "%"}
	chats := []domain.ChatID{"g", "x", "groups", "members", "g:x", "chats", "left"}
	arrived := make(chan string, len(groups)*len(chats)*2)
	for _, group := range groups {
		err := core.Subscribe(group, chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
			arrived <- group + " " + string(d.ID.Chat)
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
	}
	start(t, core)
	for _, chat := range chats {
		must[app.Done](t)(core.Chats.Create(t.Context(), app.Create{Chat: chat, By: "ada"}))
		must[app.Sent](t)(core.Chats.Send(t.Context(), app.Send{Chat: chat, By: "ada", Content: "hello"}))
	}
	seen := make(map[string]bool)
	for range len(groups) * len(chats) {
		seen[receive(t, arrived)] = true
	}
	if len(seen) != len(groups)*len(chats) {
		t.Errorf("delivered %v", seen)
	}
}
