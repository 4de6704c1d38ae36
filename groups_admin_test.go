package chatcore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/wait"
)

// groupTotals sums the partitions of a group, and reports whether there is a group of that name.
func groupTotals(t *testing.T, groups chatcore.Groups, name string) (sum chatcore.PartitionState, found bool) {
	t.Helper()
	for _, g := range must[[]chatcore.GroupState](t)(groups.List(t.Context())) {
		if g.Group != name {
			continue
		}
		found = true
		for _, p := range g.Partitions {
			sum.Lag, sum.Parked, sum.Letters = sum.Lag+p.Lag, sum.Parked+p.Parked, sum.Letters+p.Letters
		}
	}
	return sum, found
}

// letterIDs returns the ids of a group's dead letters.
func letterIDs(t *testing.T, groups chatcore.Groups, name string) (ids []string) {
	t.Helper()
	for d, err := range groups.DeadLetters(t.Context(), name) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, d.ID)
	}
	return ids
}

// TestGroups_Administration lists groups, retries and drops dead letters, rebuilds and deletes: on Redis, in memory and on a custom log alike.
func TestGroups_Administration(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core, ctx := open(quick(chatcore.Config{})), t.Context()
		var mended atomic.Bool
		var mu sync.Mutex
		handled := make(map[domain.MessageID]int)
		count := func(id domain.MessageID) int {
			mu.Lock()
			defer mu.Unlock()
			return handled[id]
		}
		err := core.Subscribe("g", chatcore.FromBeginning(), chatcore.OnPoison(chatcore.Park),
			chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
				if d.Event.Content == "bad" && !mended.Load() {
					return chatcore.Permanent(errors.New("bad"))
				}
				mu.Lock()
				defer mu.Unlock()
				handled[d.Event.Message]++
				return nil
			}))
		if err := errors.Join(err, core.Subscribe("stays")); err != nil {
			t.Fatal(err)
		}
		if err := core.Start(ctx); err != nil {
			t.Fatal(err)
		}
		groups := core.Groups()
		send := func(id domain.MessageID, content string) {
			must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: id, Content: content}))
		}
		state := func(want chatcore.PartitionState) func() bool {
			return func() bool {
				got, found := groupTotals(t, groups, "g")
				return found && got.Parked == want.Parked && got.Letters == want.Letters && (got.Lag == 0 || want.Parked > 0)
			}
		}
		must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
		send("m1", "x")
		send("m2", "bad")
		send("m3", "x")
		wait.Until(t, "the chat is parked", state(chatcore.PartitionState{Parked: 1, Letters: 1}))
		letter := letterIDs(t, groups, "g")[0]
		if d, err := groups.DeadLetter(ctx, "g", letter); err != nil || d.ID != letter || d.Chat != "c" || d.Reason != "bad" || !d.Parked {
			t.Errorf("the dead letter: %+v, error %v", d, err)
		}

		mended.Store(true)
		if err := groups.Retry(ctx, "g", letter); err != nil {
			t.Fatal(err)
		}
		wait.Until(t, "the retried event and the one after it are handled", func() bool { return count("m2") > 0 && count("m3") > 0 })
		wait.Until(t, "no dead letter is left", state(chatcore.PartitionState{}))

		mended.Store(false)
		send("m4", "bad")
		send("m5", "x")
		wait.Until(t, "the chat is parked again", state(chatcore.PartitionState{Parked: 1, Letters: 1}))
		if err := groups.Drop(ctx, "g", letterIDs(t, groups, "g")[0]); err != nil {
			t.Fatal(err)
		}
		wait.Until(t, "the event after the dropped one is handled", func() bool { return count("m5") > 0 })

		mended.Store(true)
		mu.Lock()
		clear(handled)
		mu.Unlock()
		if err := groups.Rebuild(ctx, "g"); err != nil {
			t.Fatal(err)
		}
		wait.Until(t, "every event is handled again, also the dropped one", func() bool {
			return count("m1") > 0 && count("m2") > 0 && count("m3") > 0 && count("m4") > 0 && count("m5") > 0
		})

		if err := groups.Delete(ctx, "g"); err != nil {
			t.Fatal(err)
		}
		if _, found := groupTotals(t, groups, "g"); found {
			t.Error("the deleted group is listed")
		}
		if _, found := groupTotals(t, groups, "stays"); !found {
			t.Error("the other group is not listed")
		}
		for call, err := range map[string]error{"Delete": groups.Delete(ctx, "g"), "Rebuild": groups.Rebuild(ctx, "g")} {
			if !errors.Is(err, chatcore.ErrGroupNotFound) {
				t.Errorf("%s of a deleted group: %v", call, err)
			}
		}
		for call, err := range map[string]error{
			"DeadLetter": failure(groups.DeadLetter(ctx, "stays", letter)), "Retry": groups.Retry(ctx, "stays", letter), "Drop": groups.Drop(ctx, "stays", letter),
		} {
			if !errors.Is(err, chatcore.ErrDeadLetterNotFound) {
				t.Errorf("%s of no dead letter: %v", call, err)
			}
		}
		wait.Until(t, "the core reports the end of the group", func() bool {
			h := core.Health(ctx)
			return len(h.Stopped) == 1 && h.Stopped[0].Group == "g"
		})
	})
}

// TestGroups_DeadLettersAfter reads dead letters in parts: after each of them, also after one that was dropped meanwhile.
func TestGroups_DeadLettersAfter(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core, ctx := open(quick(chatcore.Config{})), t.Context()
		err := core.Subscribe("g", chatcore.FromBeginning(), chatcore.On(func(context.Context, chatcore.Delivery[domain.MessageNew]) error {
			return chatcore.Permanent(errors.New("bad"))
		}))
		if err := errors.Join(err, core.Subscribe("empty")); err != nil {
			t.Fatal(err)
		}
		if err := core.Start(ctx); err != nil {
			t.Fatal(err)
		}
		const chats, each = 4, 3 // over both partitions
		for i := range chats {
			chat := domain.ChatID(fmt.Sprint("c", i))
			must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: chat, Actor: "ada"}))
			for range each {
				must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: chat, Actor: "ada", Content: "x"}))
			}
		}
		groups := core.Groups()
		wait.Until(t, "all dead letters", func() bool { return len(letterIDs(t, groups, "g")) == chats*each })
		all := letterIDs(t, groups, "g")
		after := func(group, id string) (ids []string, err error) {
			for d, err := range groups.DeadLettersAfter(ctx, group, id) {
				if err != nil {
					return ids, err
				}
				ids = append(ids, d.ID)
			}
			return ids, nil
		}
		check := func(id string, want []string) {
			t.Helper()
			if got, err := after("g", id); err != nil || !slices.Equal(got, want) {
				t.Errorf("after %q: %v, error %v, want %v", id, got, err, want)
			}
		}
		check("", all)
		for i, id := range all {
			check(id, all[i+1:])
		}
		for i, id := range all {
			if err := groups.Drop(ctx, "g", id); err != nil {
				t.Fatal(err)
			}
			check(id, all[i+1:])
		}
		if got, err := after("empty", all[0]); err != nil || len(got) > 0 {
			t.Errorf("of a group without dead letters: %v, error %v", got, err)
		}
		if got, err := after("none", all[0]); !errors.Is(err, chatcore.ErrGroupNotFound) || len(got) > 0 {
			t.Errorf("of no group: %v, error %v", got, err)
		}
		for _, id := range []string{"x", "-1", "1/x", "0", "99/1-1"} {
			for call, err := range map[string]error{
				"DeadLettersAfter": failure(after("g", id)), "DeadLetter": failure(groups.DeadLetter(ctx, "g", id)),
				"Retry": groups.Retry(ctx, "g", id), "Drop": groups.Drop(ctx, "g", id),
			} {
				var invalid *domain.InvalidError
				if !errors.As(err, &invalid) || invalid.Field != "letter" || invalid.Allowed == "" {
					t.Errorf("%s of %q: %v", call, id, err)
				}
			}
		}
	})
}
