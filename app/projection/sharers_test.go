package projection_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"chatcore/adapters/memory"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// TestSharers_OfRandomChats compares the users that share a chat with those that a comparison of each pair of chats finds. There are more users than
// are read in one step.
func TestSharers_OfRandomChats(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		view, in := memory.NewUserView(), map[domain.UserID]map[domain.ChatID]bool{}
		var users []domain.UserID
		for i := range 130 {
			user := domain.UserID(fmt.Sprint("user-", i))
			users, in[user] = append(users, user), map[domain.ChatID]bool{}
			for _, n := range rapid.SliceOfN(rapid.IntRange(0, 60), 0, 3).Draw(t, string(user)) {
				chat := domain.ChatID(fmt.Sprint("chat-", n))
				in[user][chat] = true
				entry := ports.ChatEntries{Chat: chat, Entries: []ports.UserEntry{{User: user, Version: 1}}}
				if err := view.Put(t.Context(), "log", entry); err != nil {
					t.Fatal(err)
				}
			}
		}
		user := users[rapid.IntRange(0, len(users)-1).Draw(t, "user")]
		want := map[domain.UserID]struct{}{user: {}}
		for _, other := range users {
			for chat := range in[user] {
				if in[other][chat] {
					want[other] = struct{}{}
				}
			}
		}
		asked := slices.Concat(users, users[:3])
		models := projection.NewModels(nil, nil, projection.Views{Log: "log", Chats: view})
		got, err := models.Sharers(t.Context(), user, asked)
		if err != nil || !maps.Equal(got, want) {
			t.Fatalf("%s shares a chat with %v, error %v, want %v", user, got, err, want)
		}
		if !slices.Equal(asked, slices.Concat(users, users[:3])) {
			t.Fatal("the question was changed")
		}
	})
}

// TestSharers_WithoutAView returns the user alone, and an error for others.
func TestSharers_WithoutAView(t *testing.T) {
	models := projection.NewModels(nil, nil, projection.Views{})
	if got, err := models.Sharers(t.Context(), "ann", []domain.UserID{"ann", "ann"}); err != nil || len(got) != 1 {
		t.Errorf("of the user alone: %v, %v", got, err)
	}
	if _, err := models.Sharers(t.Context(), "ann", []domain.UserID{"bob"}); !errors.Is(err, projection.ErrNoViews) {
		t.Errorf("of another user: %v", err)
	}
}
