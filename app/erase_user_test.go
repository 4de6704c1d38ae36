package app_test

import (
	"errors"
	"fmt"
	"testing"

	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// TestEraseUser_FindsEverySend erases a user with messages in many chats, also one that the user has left, after an interruption.
func TestEraseUser_FindsEverySend(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		log, ctx := open(), t.Context()
		chats := process(log, clock{})
		must := func(_ any, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		const rooms, sends = 70, 3
		for room := range rooms {
			chat := domain.ChatID(fmt.Sprint("c", room))
			must(chats.Create(ctx, domain.Create{Chat: chat, Actor: "own", Members: []domain.UserID{"ann", "two"}}))
			if room%7 > 0 {
				continue
			}
			for i := range sends {
				id := domain.MessageID(fmt.Sprint("m", i))
				must(chats.Send(ctx, domain.Send{Chat: chat, Actor: "ann", MessageID: id, Content: "ann's"}))
				must(chats.Send(ctx, domain.Send{Chat: chat, Actor: "two", Content: "two's"}))
				must(chats.MarkRead(ctx, domain.MarkRead{Chat: chat, Actor: "ann", MessageID: id, AwaitRecorded: true}))
			}
			if room == 7 {
				must(chats.Leave(ctx, domain.Leave{Chat: chat, Actor: "ann"}))
			}
		}
		queries := app.NewQueries(log.(app.Log), entity.NewLoader(log, log, 1<<20), projection.Views{})
		erasures := app.NewErasures(app.NewUsers(chats, queries, nil))
		cmd, interrupted, n := app.EraseUser{User: "ann", Actor: "service"}, errors.New("interrupted"), 0
		first, err := erasures.EraseUser(ctx, cmd, func(app.UserErasure) error {
			if n++; n == 8 {
				return interrupted
			}
			return nil
		})
		if !errors.Is(err, interrupted) || first.Erased == 0 || first.Erased > 8 {
			t.Fatalf("%+v, error %v", first, err)
		}
		second, err := erasures.EraseUser(ctx, cmd, nil)
		if err != nil || second.Chats < rooms || second.Found != rooms/7*sends || second.Erased != rooms/7*sends-first.Erased {
			t.Errorf("%+v after %+v, error %v", second, first, err)
		}
		for room := range rooms {
			page, err := log.Read(ctx, domain.ChatID(fmt.Sprint("c", room)), ports.Range{Limit: 100})
			must(nil, err)
			for _, r := range page.Records {
				if m, ok := r.Event.(domain.MessageNew); ok && m.Erased != (m.Sender == "ann") {
					t.Errorf("room %d has %+v", room, m)
				}
			}
		}
		if first.Left+second.Left != rooms-1 {
			t.Errorf("ann has left %d and %d chats, want %d", first.Left, second.Left, rooms-1)
		}
		for room := range rooms {
			member, err := queries.Member(ctx, domain.ChatID(fmt.Sprint("c", room)), "ann")
			if err == nil && member.Current() || err != nil && !errors.Is(err, domain.ErrNotMember) {
				t.Errorf("ann is %+v of room %d: %v", member, room, err)
			}
		}
		if _, err := erasures.EraseUser(ctx, app.EraseUser{User: "ann"}, nil); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("an erasure without an actor gave %v", err)
		}
	})
}
