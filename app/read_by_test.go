package app_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"

	"chatcore/app"
)

func TestReadBy(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		log := open()
		full, _ := log.(projection.Log)
		chats := process(log, clock{})
		queries := app.NewQueries(full, entity.NewLoader(log, log, 1<<20), projection.Views{})
		furnish(t.Context(), t, chats) // m1 to m5 of own
		if _, err := chats.AddMembers(t.Context(), domain.AddMembers{Chat: "c", Actor: "own", Users: []domain.UserID{"bob", "cem", "dan"}}); err != nil {
			t.Fatal(err)
		}
		for user, m := range map[domain.UserID]domain.MessageID{"ann": "m3", "bob": "m2", "cem": "m5"} {
			if _, err := chats.MarkRead(t.Context(), domain.MarkRead{Chat: "c", Actor: user, MessageID: m, AwaitRecorded: true}); err != nil {
				t.Fatal(err)
			}
		}
		settled(t, chats, unreadFrom("m1"))
		sent, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "dan", MessageID: "late", Content: "x"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := chats.Leave(t.Context(), domain.Leave{Chat: "c", Actor: "cem"}); err != nil {
			t.Fatal(err)
		}
		for m, want := range map[domain.MessageID][]domain.UserID{"m2": {"ann", "bob", "dan"}, "m3": {"ann", "dan"}, "m5": {"dan"}, "late": nil} {
			if got, err := queries.ReadBy(t.Context(), "c", m); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s is read by %v, error %v, want %v", m, got, err, want)
			}
		}
		reply := func(by domain.UserID, id domain.MessageID, inChat bool) {
			t.Helper()
			if _, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: by, MessageID: id, Thread: "m1", InChat: inChat, Content: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		reply("own", "r1", false)
		reply("bob", "r2", false)
		reply("own", "r3", false)
		reply("own", "r4", true)
		if _, err := chats.MarkThread(t.Context(), domain.MarkThread{Chat: "c", Actor: "ann", Thread: "m1", MessageID: "r3"}); err != nil {
			t.Fatal(err)
		}
		if _, err := chats.MarkRead(t.Context(), domain.MarkRead{Chat: "c", Actor: "dan", MessageID: "r4", AwaitRecorded: true}); err != nil {
			t.Fatal(err)
		}
		for m, want := range map[domain.MessageID][]domain.UserID{"r1": {"ann", "bob"}, "r2": {"ann", "own"}, "r3": {"ann"}, "r4": {"dan"}} {
			if got, err := queries.ReadBy(t.Context(), "c", m); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s is read by %v, error %v, want %v", m, got, err, want)
			}
		}
		if got, err := queries.At(sent.Seq-1).ReadBy(t.Context(), "c", "m3"); err != nil || !slices.Equal(got, []domain.UserID{"ann", "cem"}) {
			t.Errorf("as of before, m3 is read by %v, error %v", got, err)
		}
		if _, err := queries.ReadBy(t.Context(), "c", "none"); !errors.Is(err, domain.ErrMessageNotFound) {
			t.Errorf("no message: %v", err)
		}
		if _, err := queries.ReadBy(t.Context(), "none", "m1"); !errors.Is(err, domain.ErrChatNotFound) {
			t.Errorf("no chat: %v", err)
		}
		if _, err := queries.ReadBy(t.Context(), "c", "a b"); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("no id: %v", err)
		}
	})
}

// TestReadBy_OfALargeChat has 256 members, and then one more.
func TestReadBy_OfALargeChat(t *testing.T) {
	r := newRoom(t)
	queries := app.NewQueries(r.log.Log, entity.NewLoader(r.log, r.log, 1<<20), projection.Views{})
	var users []domain.UserID
	for i := range app.MaxReadBy - 2 {
		users = append(users, domain.UserID(fmt.Sprint("u", i)))
	}
	for some := range slices.Chunk(users, 200) {
		if _, err := r.chats.AddMembers(t.Context(), domain.AddMembers{Chat: "c", Actor: "own", Users: some}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := queries.ReadBy(t.Context(), "c", "m1"); err != nil || len(got) != 0 {
		t.Errorf("256 members: %v, error %v", got, err)
	}
	if _, err := r.chats.Add(t.Context(), domain.Add{Chat: "c", Actor: "own", User: "more"}); err != nil {
		t.Fatal(err)
	}
	var refusal *domain.Refusal
	if got, err := queries.ReadBy(t.Context(), "c", "m1"); !errors.Is(err, domain.ErrTooManyMembers) || !errors.As(err, &refusal) || got != nil {
		t.Errorf("257 members: %v, error %v", got, err)
	}
}
