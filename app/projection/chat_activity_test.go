package projection_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/app"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/apptest"
)

// indexed is a log with an index of last messages, which a test can damage.
type indexed struct {
	app.Log
	entries map[domain.ChatID]ports.LastMessage
	failing error
	writes  int
	asked   int // chats that the log was asked for
}

func (x *indexed) LastMessages(ctx context.Context, chats ...domain.ChatID) ([]ports.LastMessage, error) {
	x.asked += len(chats)
	return x.Log.LastMessages(ctx, chats...)
}

func (x *indexed) IndexLastMessages(_ context.Context, entries ...ports.ActivityEntry) error {
	if x.failing != nil {
		return x.failing
	}
	x.writes++
	for _, e := range entries {
		known := x.entries[e.Chat]
		switch {
		case e.Seq == 0:
			known.Behind = e.Behind
			x.entries[e.Chat] = known
		case e.Replace || e.Seq >= known.Seq:
			x.entries[e.Chat] = e.LastMessage
		}
	}
	return nil
}

func (x *indexed) IndexedLastMessages(_ context.Context, chats ...domain.ChatID) ([]ports.LastMessage, error) {
	found := make([]ports.LastMessage, len(chats))
	for i, chat := range chats {
		found[i] = x.entries[chat]
	}
	return found, nil
}

// activeChats is a log with an index and ten chats of ann's, whose events a test delivers.
type activeChats struct {
	*counting
	index    *indexed
	models   *projection.Models
	queries  *app.Queries
	builtins *projection.Builtins
	chats    []domain.ChatID
	next     map[domain.ChatID]domain.Seq
}

func newActiveChats(t *testing.T) *activeChats {
	t.Helper()
	c := newCounting(t)
	a := &activeChats{counting: c, index: &indexed{Log: c.log, entries: map[domain.ChatID]ports.LastMessage{}}, next: map[domain.ChatID]domain.Seq{}}
	views := projection.Views{Log: "log", Chats: c.view}
	a.models, a.queries = projection.NewModels(a.index, c.entities, views), app.NewQueries(a.index, c.entities, views)
	a.builtins = projection.NewBuiltins(a.models, nil, true)
	for i := range 10 {
		chat := domain.ChatID(fmt.Sprint("c", i))
		c.did(c.chats.Create(t.Context(), domain.Create{Chat: chat, Actor: "ann"}))
		a.chats, a.next[chat] = append(a.chats, chat), 1
	}
	a.deliver(a.chats...)
	return a
}

// deliver hands the events of chats that were not delivered to the handler, in one batch.
func (a *activeChats) deliver(chats ...domain.ChatID) {
	a.t.Helper()
	var batches []*ports.ChatBatch
	for _, chat := range chats {
		b := a.batch(chat, a.next[chat])
		a.next[chat] += domain.Seq(len(b.Deliveries))
		batches = append(batches, b)
	}
	a.builtins.HandleBatch(a.t.Context(), batches)
	done(a.t, batches...)
}

func (a *activeChats) sendIn(chat domain.ChatID) {
	a.t.Helper()
	a.did(a.counting.chats.Send(a.t.Context(), domain.Send{Chat: chat, Actor: "ann", Content: "x"}))
}

// order is the chats of ann's list, in pages of a size.
func (a *activeChats) order(limit int) (chats []domain.ChatID) {
	a.t.Helper()
	for _, chat := range apptest.Pages(a.t, limit, func(p domain.Page) (app.List[app.ListedChat], error) {
		return a.queries.ChatListPage(a.t.Context(), "ann", p)
	}) {
		chats = append(chats, chat.ID)
	}
	return chats
}

// TestChatActivity_OrdersLists has the order follow batches of new messages, with one write for a batch and no look into the log.
func TestChatActivity_OrdersLists(t *testing.T) {
	a := newActiveChats(t)
	want := slices.Clone(a.chats)
	slices.Reverse(want)
	a.index.asked = 0
	for _, chat := range []domain.ChatID{"c3", "c0", "c9", "c3"} {
		a.sendIn(chat)
		a.sendIn(chat)
		want = append([]domain.ChatID{chat}, slices.DeleteFunc(want, func(c domain.ChatID) bool { return c == chat })...)
	}
	a.index.writes = 0
	if a.deliver("c0", "c3", "c9"); a.index.writes != 1 {
		t.Errorf("%d writes for a batch", a.index.writes)
	}
	for _, limit := range []int{1, 3, 10} {
		if got := a.order(limit); !slices.Equal(got, want) {
			t.Errorf("by %d the order is %v, want %v", limit, got, want)
		}
	}
	list, err := a.queries.ChatList(t.Context(), "ann")
	if err != nil || len(list) != len(want) {
		t.Fatalf("%d chats, error %v", len(list), err)
	}
	for i, chat := range list {
		if chat.ID != want[i] || chat.LastAt.IsZero() {
			t.Errorf("place %d of the whole list is %+v, want %s", i, chat, want[i])
		}
	}
	if a.index.asked > 0 {
		t.Errorf("the log was asked for %d last messages", a.index.asked)
	}
	a.did(a.counting.chats.Rename(t.Context(), domain.Rename{Chat: "c5", Actor: "ann", Title: "x"}))
	a.index.writes = 0
	if a.deliver("c5"); a.index.writes > 0 {
		t.Errorf("%d writes for an event that is no message", a.index.writes)
	}
}

// TestChatActivity_LateBatch delivers events that were delivered before, and chats from the first event on where the index is wrong.
func TestChatActivity_LateBatch(t *testing.T) {
	a := newActiveChats(t)
	for range 3 {
		a.sendIn("c4")
	}
	a.deliver("c4")
	right := a.index.entries["c4"]
	if a.next["c4"] = 2; right.Seq != 4 {
		t.Fatalf("the index has %+v", right)
	}
	late := a.batch("c4", 2)
	late.Deliveries = late.Deliveries[:2]
	a.builtins.HandleBatch(t.Context(), []*ports.ChatBatch{late})
	done(t, late)
	if got := a.index.entries["c4"]; got != right {
		t.Errorf("after a late batch the index has %+v, want %+v", got, right)
	}
	for name, wrong := range map[string]ports.LastMessage{"beyond the log": {Seq: 99, At: right.At.AddDate(1, 0, 0)}, "behind": {Seq: 1}, "missing": {}} {
		for _, events := range []int{1, 4} { // in the first batch
			a.index.entries["c4"] = wrong
			first := a.batch("c4", 1)
			first.Deliveries = first.Deliveries[:events]
			a.builtins.HandleBatch(t.Context(), []*ports.ChatBatch{first})
			done(t, first)
			if got := a.index.entries["c4"]; got != right {
				t.Errorf("%s, rebuilt from %d events: the index has %+v, want %+v", name, events, got, right)
			}
		}
	}
	if err := a.builtins.Handle(t.Context(), late.Deliveries[0]); err != nil || a.index.entries["c4"] != right {
		t.Errorf("an event alone left %+v, error %v", a.index.entries["c4"], err)
	}
}

// TestChatActivity_LargeChat orders a chat whose unread counts are written once a minute, and whose messages reach the handler as late as that.
func TestChatActivity_LargeChat(t *testing.T) {
	a := newActiveChats(t)
	views := projection.Views{Log: "log", Chats: a.view, Unread: memory.NewUserView()}
	a.models, a.queries = projection.NewModels(a.index, a.entities, views), app.NewQueries(a.index, a.entities, views)
	a.builtins = projection.NewBuiltins(a.models, nil, true)
	members := make([]domain.UserID, 256)
	for i := range members {
		members[i] = domain.UserID(fmt.Sprint("member", i))
	}
	a.did(a.counting.chats.Create(t.Context(), domain.Create{Chat: "large", Actor: "ann", Members: members}))
	a.next["large"] = 1
	a.deliver("large")
	a.sendIn("large")
	from := a.next["large"]
	resting := a.batch("large", from)
	if a.builtins.HandleBatch(t.Context(), []*ports.ChatBatch{resting}); resting.Later <= 0 {
		t.Fatalf("the chat does not rest: %+v", resting)
	}
	first := func(asked int, want ...domain.ChatID) {
		t.Helper()
		a.index.asked = 0
		if got := a.order(10); !slices.Equal(got[:len(want)], want) || a.index.asked != asked {
			t.Errorf("the order is %v and the log was asked for %d chats, want %v first and %d", got, a.index.asked, want, asked)
		}
	}
	for _, chat := range []domain.ChatID{"c1", "large", "c2"} {
		a.sendIn(chat)
		if chat != "large" {
			a.deliver(chat)
		}
	}
	first(2, "c2", "large", "c1") // the list has two pages
	a.sendIn("large")
	first(2, "large", "c2", "c1")
	rested := a.batch("large", from)
	projection.NewBuiltins(a.models, nil, true).HandleBatch(t.Context(), []*ports.ChatBatch{rested})
	done(t, rested)
	first(0, "large", "c2", "c1")
}

// TestChatActivity_MarkBehind marks what rests, each time, and unmarks a chat once.
func TestChatActivity_MarkBehind(t *testing.T) {
	a := newActiveChats(t)
	active := projection.NewChatActivity(a.index)
	for i, step := range []struct {
		later  time.Duration
		writes int
	}{{0, 0}, {time.Second, 1}, {time.Second, 1}, {0, 1}, {0, 0}} {
		a.index.writes = 0
		before := a.index.entries["c1"]
		active.MarkBehind(t.Context(), []*ports.ChatBatch{{Later: step.later, Deliveries: []ports.Delivery{{ID: ports.DeliveryID{Chat: "c1", Seq: 9}}}}, {}})
		after := a.index.entries["c1"]
		if a.index.writes != step.writes || after.Seq != before.Seq || after.Behind != (step.later > 0) {
			t.Errorf("step %d: %d writes, %+v, want %d", i, a.index.writes, after, step.writes)
		}
	}
}

// TestChatActivity_MissingEntries are looked up in the log, and are in the index from then on. Chats that only the index has are not listed.
func TestChatActivity_MissingEntries(t *testing.T) {
	a := newActiveChats(t)
	want := a.order(10)
	for _, chat := range []domain.ChatID{"c2", "c7"} {
		delete(a.index.entries, chat)
	}
	a.index.asked = 0
	if got := a.order(10); !slices.Equal(got, want) || a.index.asked != 2 {
		t.Errorf("%v after the log was asked for %d chats, want %v", got, a.index.asked, want)
	}
	if a.order(10); a.index.asked != 2 {
		t.Errorf("the second time the log was asked for %d chats", a.index.asked-2)
	}
	a.did(nil, a.view.Put(t.Context(), "log", ports.ChatEntries{Chat: "gone", Entries: []ports.UserEntry{{User: "ann", Version: 1, Number: 1}}}))
	a.index.entries["gone"] = ports.LastMessage{Seq: 9, At: a.index.entries["c1"].At}
	if got := a.order(11); !slices.Equal(got, want) {
		t.Errorf("with a lost chat in the index: %v, want %v", got, want)
	}
}

// TestChatActivity_WriteFails hands the batch back.
func TestChatActivity_WriteFails(t *testing.T) {
	a := newActiveChats(t)
	a.sendIn("c1")
	a.did(a.counting.chats.Rename(t.Context(), domain.Rename{Chat: "c2", Actor: "ann", Title: "x"}))
	sent, renamed := a.batch("c1", 2), a.batch("c2", 2)
	a.index.failing = ports.ErrUnavailable
	a.builtins.HandleBatch(t.Context(), []*ports.ChatBatch{sent, renamed})
	done(t, renamed)
	if sent.Done > 0 || !errors.Is(sent.Err, ports.ErrUnavailable) {
		t.Errorf("%d done, error %v", sent.Done, sent.Err)
	}
}
