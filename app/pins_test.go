package app_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

func pinsIn(t *testing.T, q *app.Queries) []domain.MessageID {
	t.Helper()
	views, err := q.Pins(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	var ids []domain.MessageID
	for _, v := range views {
		if v.Deleted() || !v.Pinned() {
			t.Errorf("the pins have message %q, deleted %t", v.ID, v.Deleted())
		}
		ids = append(ids, v.ID)
	}
	return ids
}

func TestPins(t *testing.T) {
	log := memory.New(wireformat.New(), clock{}, nil)
	chats, queries := openChats(log, app.Policy{Caps: app.Caps{PinsPerChat: 3}})
	furnish(t.Context(), t, chats)
	did := func(done app.Done, err error) app.Done {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	pin := func(m domain.MessageID) (app.Done, error) {
		return chats.Pin(t.Context(), domain.Pin{Chat: "c", Actor: "own", MessageID: m, Command: domain.CommandID("pin-" + m)})
	}
	if ids := pinsIn(t, queries); ids != nil {
		t.Errorf("the pins of a chat without any are %v", ids)
	}
	for _, m := range []domain.MessageID{"m3", "m1", "m2"} {
		did(pin(m))
	}
	third := did(pin("m2"))
	if !third.Duplicate || !third.Changed {
		t.Errorf("the same command again: %+v", third)
	}
	if _, err := pin("m4"); !capped(err, domain.CapPins, 3) {
		t.Errorf("one too many: %v", err)
	}
	did(chats.Delete(t.Context(), domain.Delete{Chat: "c", Actor: "own", MessageID: "m1"}))
	did(chats.Edit(t.Context(), domain.Edit{Chat: "c", Actor: "own", MessageID: "m2", Content: "new"}))
	did(pin("m4"))
	if ids, want := pinsIn(t, queries), []domain.MessageID{"m3", "m2", "m4"}; !slices.Equal(ids, want) {
		t.Errorf("the pins are %v, want %v", ids, want)
	}
	if views, _ := queries.Pins(t.Context(), "c"); views[1].Content != "new" || views[1].PinnedBy != "own" {
		t.Errorf("an edited pin is %+v", views[1])
	}
	if ids, want := pinsIn(t, queries.At(third.Seq)), []domain.MessageID{"m3", "m1", "m2"}; !slices.Equal(ids, want) {
		t.Errorf("as of seq %d the pins are %v, want %v", third.Seq, ids, want)
	}
	did(chats.Unpin(t.Context(), domain.Pin{Chat: "c", Actor: "own", MessageID: "m3"}))
	did(app.Done{}, erased(chats.Erase(t.Context(), domain.Erase{Chat: "c", Actor: "own", MessageID: "m4"})))
	if ids, want := pinsIn(t, queries), []domain.MessageID{"m2"}; !slices.Equal(ids, want) {
		t.Errorf("after an erasure the pins are %v, want %v", ids, want)
	}
	if _, err := queries.Pins(t.Context(), "none"); !errors.Is(err, domain.ErrChatNotFound) {
		t.Errorf("no chat: %v", err)
	}
	if _, err := queries.Pins(t.Context(), "a b"); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("no id: %v", err)
	}
	if _, err := chats.Pin(t.Context(), domain.Pin{Chat: "c", Actor: "own"}); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("no message: %v", err)
	}
}

func erased(_ app.Erased, err error) error { return err }

// TestPins_OfReplies shows whether the message that a pinned one replies to was deleted.
func TestPins_OfReplies(t *testing.T) {
	log := memory.New(wireformat.New(), clock{}, nil)
	chats, queries := openChats(log, app.Policy{})
	furnish(t.Context(), t, chats)
	for _, m := range []domain.MessageID{"m1", "m2"} {
		id := "to-" + m
		if _, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "own", MessageID: id, Content: "x", ReplyTo: m}); err != nil {
			t.Fatal(err)
		}
		if _, err := chats.Pin(t.Context(), domain.Pin{Chat: "c", Actor: "own", MessageID: id}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := chats.Delete(t.Context(), domain.Delete{Chat: "c", Actor: "own", MessageID: "m2"}); err != nil {
		t.Fatal(err)
	}
	views, err := queries.Pins(t.Context(), "c")
	if err != nil || len(views) != 2 || views[0].ReplyDeleted || !views[1].ReplyDeleted {
		t.Errorf("the pins are %+v, error %v", views, err)
	}
}

// TestPins_AndDeletions pins and deletes a message at once, from two processes: there is never a pinned tombstone, and the slot is free.
func TestPins_AndDeletions(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		here, there := process(open(), clock{}), process(open(), clock{})
		log := open()
		full, ok := log.(projection.Log)
		if !ok {
			t.Fatalf("%T answers no queries", log)
		}
		queries := app.NewQueries(full, entity.NewLoader(log, log, 1<<20), projection.Views{})
		furnish(t.Context(), t, here)
		for i := range 60 {
			m := domain.MessageID(fmt.Sprint("p", i))
			if _, err := here.Send(t.Context(), domain.Send{Chat: "c", Actor: "own", MessageID: m, Content: "x"}); err != nil {
				t.Fatal(err)
			}
			var both sync.WaitGroup
			both.Go(func() {
				if _, err := here.Pin(t.Context(), domain.Pin{Chat: "c", Actor: "own", MessageID: m}); err != nil && !errors.Is(err, domain.ErrMessageDeleted) {
					t.Errorf("pin: %v", err)
				}
			})
			both.Go(func() {
				if _, err := there.Delete(t.Context(), domain.Delete{Chat: "c", Actor: "own", MessageID: m}); err != nil {
					t.Errorf("delete: %v", err)
				}
			})
			both.Wait()
		}
		if ids := pinsIn(t, queries); len(ids) > 0 {
			t.Errorf("the pins are %v", ids)
		}
		m, err := log.Load(t.Context(), "c", ports.LoadRequest{Entity: domain.PinsEntity()})
		if err != nil {
			t.Fatal(err)
		}
		var pins domain.Pins
		for _, r := range m.Entities[0].Events {
			pins.Apply(r.Seq, r.Event)
		}
		if len(pins.List) > 0 {
			t.Errorf("the log folds to the pins %v", pins.List)
		}
	})
}
