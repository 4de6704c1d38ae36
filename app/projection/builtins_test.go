package projection_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"chatcore/app"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/wait"
)

// batch returns the events of a chat from a seq on.
func (c *counting) batch(chat domain.ChatID, from domain.Seq) *ports.ChatBatch {
	c.t.Helper()
	page, err := c.log.Log.Read(c.t.Context(), chat, ports.Range{From: from, Limit: ports.MaxPage})
	if err != nil || len(page.Records) == 0 {
		c.t.Fatalf("%d events, error %v", len(page.Records), err)
	}
	b := &ports.ChatBatch{}
	for _, r := range page.Records {
		b.Deliveries = append(b.Deliveries, ports.Delivery{ID: ports.DeliveryID{Log: "log", Chat: chat, Seq: r.Seq, Event: r.ID}, Event: r.Event})
	}
	return b
}

func done(t *testing.T, batches ...*ports.ChatBatch) {
	t.Helper()
	for _, b := range batches {
		if b.Err != nil || b.Done != len(b.Deliveries) || b.Later > 0 {
			t.Errorf("chat %q: %d of %d done, later %v, error %v", b.Deliveries[0].ID.Chat, b.Done, len(b.Deliveries), b.Later, b.Err)
		}
	}
}

// TestBuiltins_OneWriteForABatch of many messages in many chats, and none where no count has changed.
func TestBuiltins_OneWriteForABatch(t *testing.T) {
	c := newCounting(t)
	builtins := projection.NewBuiltins(c.models, nil, true)
	var batches []*ports.ChatBatch
	all := []domain.ChatID{"c0", "c1", "c2"}
	for _, chat := range all {
		c.did(c.chats.Create(t.Context(), domain.Create{Chat: chat, Actor: "ann", Members: []domain.UserID{"bob", "cem"}}))
		batches = append(batches, c.batch(chat, 1))
	}
	builtins.HandleBatch(t.Context(), batches)
	done(t, batches...)
	c.view.calls, c.view.puts, c.log.calls, batches = 0, 0, 0, nil
	for _, chat := range all {
		for range 20 {
			c.did(c.chats.Send(t.Context(), domain.Send{Chat: chat, Actor: "ann", Content: "x"}))
		}
		batches = append(batches, c.batch(chat, 4))
	}
	builtins.HandleBatch(t.Context(), batches)
	done(t, batches...)
	if c.view.calls != 1 || c.view.puts != 9 || c.log.calls != 1 {
		t.Errorf("%d writes of %d counts and %d calls of the log for 60 messages in 3 chats", c.view.calls, c.view.puts, c.log.calls)
	}
	got, err := c.view.Of(t.Context(), "log", "bob")
	if err != nil || got["c0"] != 20 || got["c1"] != 20 || got["c2"] != 20 {
		t.Errorf("bob has %v, error %v", got, err)
	}
	c.view.calls, c.log.calls = 0, 0
	builtins.HandleBatch(t.Context(), batches)
	done(t, batches...)
	if c.view.calls > 0 || c.log.calls > 0 {
		t.Errorf("%d writes and %d calls of the log for what was counted before", c.view.calls, c.log.calls)
	}
}

// TestBuiltins_AUserWhoseNumbersCannotBeKept blocks the chats of that user, and no others.
func TestBuiltins_AUserWhoseNumbersCannotBeKept(t *testing.T) {
	c := newCounting(t)
	builtins := projection.NewBuiltins(c.models, nil, true)
	c.did(c.chats.Create(t.Context(), domain.Create{Chat: "bad", Actor: "ann"}))
	c.did(c.chats.Create(t.Context(), domain.Create{Chat: "good", Actor: "bob"}))
	oops := errors.New("something else is there")
	c.view.refuse = map[domain.ChatID]error{"bad": oops}
	bad, good := c.batch("bad", 1), c.batch("good", 1)
	builtins.HandleBatch(t.Context(), []*ports.ChatBatch{bad, good})
	done(t, good)
	if bad.Done > 0 || !errors.Is(bad.Err, oops) {
		t.Errorf("%d done, error %v", bad.Done, bad.Err)
	}
	c.view.refuse = nil
	bad.Err = nil
	builtins.HandleBatch(t.Context(), []*ports.ChatBatch{bad})
	done(t, bad)
	if got, err := c.view.Of(t.Context(), "log", "ann"); err != nil || len(got) != 1 {
		t.Errorf("ann has %v, error %v", got, err)
	}
}

// TestUnreadCounts_LargeChats are written at intervals, and lose nothing if the process ends between two.
func TestUnreadCounts_LargeChats(t *testing.T) {
	c := newCounting(t)
	now := time.Unix(0, 0)
	counts := func() *projection.UnreadCounts {
		return projection.NewUnreadCounts(c.models).Large(3, func() time.Time { return now })
	}
	handle := func(u *projection.UnreadCounts, b *ports.ChatBatch) *ports.ChatBatch {
		t.Helper()
		b.Done, b.Later = len(b.Deliveries), 0
		u.HandleBatch(t.Context(), []*ports.ChatBatch{b})
		return b
	}
	here := counts()
	c.create("bob", "cem", "dan")
	done(t, handle(here, c.batch("c", 1)))
	c.send("ann", "m1")
	now = now.Add(20 * time.Minute)
	if b := handle(here, c.batch("c", 5)); b.Done > 0 || b.Err != nil || b.Later != 40*time.Minute {
		t.Errorf("%d done, later %v, error %v", b.Done, b.Later, b.Err)
	}
	c.kept("bob", 0)
	c.send("ann", "m2")
	now = now.Add(40 * time.Minute)
	done(t, handle(here, c.batch("c", 5)))
	c.kept("bob", 2)
	c.send("ann", "m3")
	if b := handle(here, c.batch("c", 7)); b.Later == 0 {
		t.Error("it was written again at once")
	}
	done(t, handle(counts(), c.batch("c", 7))) // of another process
	c.kept("bob", 3)
	c.leave("dan") // then it is no large chat any more
	c.send("ann", "m4")
	done(t, handle(here, c.batch("c", 7)))
	c.kept("bob", 4)
	c.kept("dan")
}

// TestAppendEffects_ApplyWhatWasAppended in order, once a built-in group exists.
func TestAppendEffects_ApplyWhatWasAppended(t *testing.T) {
	c := newCounting(t)
	var mu sync.Mutex
	exists := false
	views := projection.Views{Log: "log", Chats: c.view.UserView, Kept: func(context.Context) (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		return exists, nil
	}}
	models, queries := projection.NewModels(c.log, c.entities, views), app.NewQueries(c.log, c.entities, views)
	effects := func() *projection.AppendEffects {
		a := projection.NewAppendEffects(projection.NewBuiltins(models, nil, true), nil, slog.New(slog.DiscardHandler))
		c.chats.ApplyAfterAppend(a)
		return a
	}
	in := func(user domain.UserID, want ...domain.ChatID) {
		t.Helper()
		got, err := queries.ChatsOf(t.Context(), user)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s is in %v, error %v, want %v", user, got, err, want)
		}
	}
	first := effects()
	c.create("bob")
	wait.Until(t, "the effects are done", first.Idle)
	mu.Lock()
	exists = true
	mu.Unlock()
	in("bob") // nobody keeps it
	effects()
	c.add("cem")
	for i := range 300 {
		user := domain.UserID(fmt.Sprint("user-", i))
		c.add(user)
		c.leave(user)
	}
	last := effects()
	c.add("dan")
	last.Close(t.Context())
	in("dan", "c")
	c.add("eve") // after the end
	in("eve")
	wait.Until(t, "the effects are done", func() bool {
		got, err := queries.ChatsOf(t.Context(), "cem")
		return err == nil && len(got) == 1
	})
	if n := last.Skipped(); n != 1 {
		t.Errorf("%d effects are counted as skipped", n)
	}
}

// TestAppendEffects_AreDroppedWhenTheLogMayHaveLostTheEvent whose seq then means another one.
func TestAppendEffects_AreDroppedWhenTheLogMayHaveLostTheEvent(t *testing.T) {
	c := newCounting(t)
	release := make(chan struct{})
	views := projection.Views{Log: "log", Chats: c.view.UserView, Kept: func(context.Context) (bool, error) {
		<-release
		return true, nil
	}}
	queries := app.NewQueries(c.log, c.entities, views)
	effects := projection.NewAppendEffects(projection.NewBuiltins(projection.NewModels(c.log, c.entities, views), nil, true), nil, slog.New(slog.DiscardHandler))
	c.chats.ApplyAfterAppend(effects)
	c.create("bob")
	c.entities.Invalidate()
	close(release)
	effects.Close(t.Context())
	if got, err := queries.ChatsOf(t.Context(), "bob"); err != nil || len(got) > 0 {
		t.Errorf("bob is in %v, error %v", got, err)
	}
}
