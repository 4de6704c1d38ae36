package app_test

import (
	"errors"
	"strings"
	"testing"

	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// TestCreate_ReservedIDs refuses ids that the core may give to chats itself. A chat that has such an id already goes on.
func TestCreate_ReservedIDs(t *testing.T) {
	chats, log := newChats(t)
	id := domain.ChatID("dm-" + strings.Repeat("0a", 32))
	var invalid *domain.InvalidError
	if _, err := chats.Create(t.Context(), domain.Create{Chat: id, Actor: "ann"}); !errors.As(err, &invalid) || invalid.Field != "chatId" {
		t.Fatalf("%v", err)
	}
	created := domain.ChatUpdate{Chat: id, Actor: "ann", Change: domain.Created, At: clock{}.Now()}
	if _, err := log.Append(t.Context(), ports.Append{Chat: id, Events: []ports.NewEvent{{ID: "e", Event: created, Moves: domain.Moves(created)}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := chats.Send(t.Context(), domain.Send{Chat: id, Actor: "ann", MessageID: "m", Content: "x"}); err != nil {
		t.Error(err)
	}
	queries := app.NewQueries(log, entitiesOf(log), app.Views{})
	if history, err := queries.History(t.Context(), id, domain.Span{}); err != nil || len(history) != 1 {
		t.Errorf("%+v, %v", history, err)
	}
}
