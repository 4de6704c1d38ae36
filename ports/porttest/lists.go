package porttest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"chatcore/domain"
	"chatcore/ports"
)

// testPages lists the members of a small chat, those of a large one that a store may represent in another form, and the log's chats.
func testPages(t *testing.T, log Log) {
	h := newHarness(t, log)
	for _, members := range []int{1, 70, 700} {
		c := NewChatID()
		h.append(then(created(c)))
		var events []ports.NewEvent
		for i := range members - 1 {
			events = append(events, added(c, domain.UserID(fmt.Sprint("user-", i))))
		}
		if len(events) > 0 {
			h.append(then(events...))
		}
		for _, limit := range []int{1, 7, 50, members, 1000} {
			if limit == 1 && members > 100 {
				continue
			}
			var all []domain.UserID
			pages := 0
			for cursor := ""; pages == 0 || cursor != ""; pages++ {
				users, next, err := log.MemberPage(t.Context(), c, cursor, limit)
				if err != nil || len(users) > limit {
					t.Fatalf("page %d of %d members by %d: %d users, error %v", pages, members, limit, len(users), err)
				}
				all, cursor = append(all, users...), next
			}
			slices.Sort(all)
			if want := h.history(c).members(); !slices.Equal(all, want) {
				t.Errorf("%d members by %d: %d in the pages", members, limit, len(all))
			}
			if most := members/limit + 2; pages > most {
				t.Errorf("%d members by %d took %d pages", members, limit, pages)
			}
		}
	}
	for _, limit := range []int{1, 2, 1000} {
		seen := make(map[domain.ChatID]bool)
		for cursor, first := "", true; first || cursor != ""; first = false {
			chats, next, err := log.ChatPage(t.Context(), cursor, limit)
			if err != nil || len(chats) > limit {
				t.Fatalf("%d chats by %d, error %v", len(chats), limit, err)
			}
			for _, c := range chats {
				seen[c] = true
			}
			cursor = next
		}
		for c := range h.chats {
			if !seen[c] {
				t.Errorf("by %d: chat %q is in no page", limit, c)
			}
		}
	}
	if users, next, err := log.MemberPage(t.Context(), NewChatID(), "", 5); len(users) > 0 || next != "" || err != nil {
		t.Errorf("a chat that does not exist has the page %q, %q, error %v", users, next, err)
	}
	var invalid *domain.InvalidError
	if _, _, err := log.MemberPage(t.Context(), NewChatID(), "no cursor", 5); !errors.As(err, &invalid) {
		t.Errorf("a wrong cursor gave the error %v, want an InvalidError", err)
	}
	if _, _, err := log.ChatPage(t.Context(), "no cursor", 5); !errors.As(err, &invalid) {
		t.Errorf("a wrong cursor gave the error %v, want an InvalidError", err)
	}
}

// testLastMessages has few and many other events after the last message.
func testLastMessages(t *testing.T, log Log) {
	h := newHarness(t, log)
	var chats []domain.ChatID
	for _, behind := range []int{-1, 0, 1, 2, 3, 100, 700, 2000} { // -1: no message
		c := NewChatID()
		chats = append(chats, c)
		h.append(then(created(c)))
		if behind >= 0 {
			h.append(then(sent(c, "m0", ann), sent(c, "m1", bob)))
		}
		var events []ports.NewEvent
		for i := range behind {
			if events = append(events, reacted(c, "m0", bob)); len(events) == 500 || i == behind-1 {
				h.append(then(events...))
				events = nil
			}
		}
	}
	chats = append(chats, NewChatID())
	ctx, cancel := h.bounded()
	defer cancel()
	found, err := log.LastMessages(ctx, chats...)
	if err != nil || len(found) != len(chats) {
		t.Fatalf("%d of %d, error %v", len(found), len(chats), err)
	}
	for i, c := range chats {
		var want ports.LastMessage
		for _, r := range slices.Backward(h.history(c).records) {
			if r.Ordinal < h.history(c).ordinal(h.history(c).head()) {
				break
			}
			want = ports.LastMessage{Seq: r.Seq, At: r.Event.OccurredAt()}
		}
		if got := found[i]; got.Seq != want.Seq || !got.At.Equal(want.At) {
			t.Errorf("chat %d: %+v, want %+v", i, got, want)
		}
	}
}

// testManyChats reads many chats at once, some of which have long histories, and compares each with a read of its own.
func testManyChats(t *testing.T, log Log) {
	h := newHarness(t, log)
	loads := []ports.ChatLoad{{Chat: NewChatID(), Wants: []ports.LoadRequest{{Entity: domain.ChatEntity()}}}} // does not exist
	for i := range 150 {
		c := NewChatID()
		h.append(then(created(c)))
		if i%5 > 0 {
			h.append(then(sent(c, "m0", ann), sent(c, "m1", bob)))
		}
		for range i % 5 / 2 * (i % 3) { // up to 1000 events after the last message
			var events []ports.NewEvent
			for range 250 {
				events = append(events, reacted(c, "m1", bob))
			}
			h.append(then(events...))
		}
		load := ports.ChatLoad{Chat: c, Wants: []ports.LoadRequest{{Entity: domain.ChatEntity()}, {Entity: domain.MemberEntity(ann)}, {Entity: domain.MessageEntity("m1")}}}
		if i%2 == 0 {
			load.Wants = append(load.Wants, ports.LoadRequest{Entity: domain.ReactionsEntity("m1")}, ports.LoadRequest{Entity: domain.ReadEntity(bob), Latest: true})
		}
		if i%7 == 0 {
			load.Wants = nil
		}
		loads = append(loads, load)
	}
	chats := make([]domain.ChatID, len(loads))
	for i, load := range loads {
		chats[i] = load.Chat
	}
	ctx, cancel := h.bounded()
	defer cancel()
	loaded, err := log.LoadChats(ctx, loads...)
	if err != nil || len(loaded) != len(loads) {
		t.Fatalf("%d of %d, error %v", len(loaded), len(loads), err)
	}
	last, err := log.LastRecords(ctx, chats...)
	if err != nil || len(last) != len(chats) {
		t.Fatalf("%d of %d, error %v", len(last), len(chats), err)
	}
	for i, load := range loads {
		if want := h.load(load.Chat, load.Wants...); !reflect.DeepEqual(loaded[i], want) {
			t.Errorf("chat %d with %d events: loaded\n%+v, want\n%+v", i, want.Head, loaded[i], want)
		}
		want := h.history(load.Chat).search(ports.Filter{Messages: true}, ports.Range{Backward: true, Limit: 1}).Records
		if len(want) == 0 {
			want = []ports.Record{{}}
		}
		if !reflect.DeepEqual(last[i], want[0]) {
			t.Errorf("chat %d ends with\n%+v, want\n%+v", i, last[i], want[0])
		}
	}
	const limit = 3
	for i := range chats[:5] {
		for n := range i {
			h.append(then(added(chats[i+1], domain.UserID(fmt.Sprint("user-", n)))))
		}
	}
	members, err := log.MembersOfChats(ctx, limit, chats...)
	if err != nil || len(members) != len(chats) {
		t.Fatalf("%d of %d, error %v", len(members), len(chats), err)
	}
	for i, c := range chats {
		want := h.history(c).members()
		if len(want) > limit {
			want = nil
		}
		if slices.Sort(members[i]); !slices.Equal(members[i], want) {
			t.Errorf("chat %d has the members %v, want %v", i, members[i], want)
		}
	}
	if loaded, err := log.LoadChats(ctx); len(loaded) > 0 || err != nil {
		t.Errorf("no chats: %d, error %v", len(loaded), err)
	}
	cancel()
	if _, err := log.LoadChats(ctx, loads...); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context gave the error %v", err)
	}
	if _, err := log.MembersOfChats(ctx, limit, chats...); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context gave the error %v", err)
	}
	if _, err := log.LastRecords(ctx, chats...); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context gave the error %v", err)
	}
}

// testEntityPages reads the events of a custom entity in pages.
func testEntityPages(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c)))
	poll := domain.CustomEntity("poll")
	own := func(of domain.CustomID) ports.NewEvent {
		return NewEvent(domain.Custom{Chat: c, Type: "team:x", Version: 1, Actor: ann, Entity: of, Data: "{}", At: now()})
	}
	var events []ports.NewEvent
	for range 300 {
		events = append(events, own("poll"), own("other"))
	}
	h.append(then(events...))
	want := h.history(c).entity(ports.LoadRequest{Entity: poll}).Events
	for _, limit := range []int{1, 50, 299, 300, 301} {
		var all []ports.Record
		for from, first := domain.Seq(0), true; first || from > 0; first = false {
			page := h.load(c, ports.LoadRequest{Entity: poll, Last: limit, From: from}).Entities[0]
			if len(page.Events) == 0 || len(page.Events) > limit {
				t.Fatalf("a page has %d events, the limit is %d", len(page.Events), limit)
			}
			all, from = append(page.Events, all...), page.Older
		}
		h.checkRecords(all, want)
	}
}
