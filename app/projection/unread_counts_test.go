package projection_test

import (
	"errors"
	"fmt"
	"testing"

	"chatcore/app"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// TestUnreadCounts_Costs counts the calls of the log and the written counts: of all members after messages, of one user after a receipt or a join.
func TestUnreadCounts_Costs(t *testing.T) {
	c := newCounting(t)
	c.create("bob", "cem")
	c.send("ann", "m0")
	c.feed(0)
	react := func() {
		c.did(c.chats.React(t.Context(), domain.React{Chat: "c", Actor: "bob", MessageID: "m0", Emoji: "👍"}))
	}
	remove := func() { c.did(c.chats.Delete(t.Context(), domain.Delete{Chat: "c", Actor: "ann", MessageID: "m1"})) }
	for _, step := range []struct {
		what         string
		does         []func()
		calls, write int
	}{
		{"messages", []func(){func() { c.send("ann", "m1") }, func() { c.send("bob", "m2") }, func() { c.read("cem", "m1") }}, 1, 3},
		{"a receipt", []func(){func() { c.read("cem", "m2") }}, 1, 1},
		{"a join and a leave", []func(){func() { c.add("dan") }, func() { c.leave("dan") }}, 1, 1},
		{"reactions", []func(){react}, 0, 0},
		{"a deletion", []func(){remove}, 1, 3},
	} {
		for _, do := range step.does {
			do()
		}
		c.log.calls, c.log.loaded, c.view.puts = 0, 0, 0
		b := c.batch("c", c.fed+1)
		b.Done = len(b.Deliveries)
		c.fed += domain.Seq(b.Done) //nolint:gosec // small
		c.counts.HandleBatch(t.Context(), []*ports.ChatBatch{b})
		done(t, b)
		if c.log.calls != step.calls || c.log.loaded > 0 || c.view.puts != step.write {
			t.Errorf("%s: %d calls of the log for %d entities, want %d for none; %d counts written, want %d", step.what, c.log.calls, c.log.loaded, step.calls, c.view.puts, step.write)
		}
	}
	c.kept("ann", 1)
	c.kept("bob", 0)
	c.kept("cem", 0)
	c.kept("dan")
}

// TestWhatIsKeptOfAChatThatGrowsAndShrinks goes over the limit and back, with one process, and with another one for every event.
func TestWhatIsKeptOfAChatThatGrowsAndShrinks(t *testing.T) {
	for name, restarts := range map[string]bool{"one process": false, "a process for each event": true} {
		t.Run(name, func(t *testing.T) {
			c := newCounting(t)
			step := func() {
				t.Helper()
				if restarts {
					c.restart()
				}
				c.feed(0)
			}
			user := func(i int) domain.UserID { return domain.UserID(fmt.Sprint("user-", i)) }
			var members []domain.UserID
			for i := range keptHere - 1 {
				members = append(members, user(i))
			}
			c.create(members...) // with ann as many as may be
			c.send("ann", "m1")
			step()
			c.kept("ann", 0)
			for _, m := range members {
				c.kept(m, 1)
			}
			c.add("one-more")
			step()
			c.send("ann", "m2")
			step()
			for _, m := range append(members, "ann", "one-more") {
				c.kept(m)
			}
			if n, err := c.queries.Unread(t.Context(), "c", user(7)); n != 2 || err != nil {
				t.Errorf("%d unread, error %v", n, err)
			}
			c.leave(user(0))
			step()
			c.kept("ann", 0)
			c.kept("one-more", 1)
			c.kept(user(0))
			c.kept(user(1), 2)
			for range 3 { // far over it, and back in one go
				for i := range 400 {
					c.add(domain.UserID(fmt.Sprint("crowd-", i)))
				}
				step()
				c.kept(user(1))
				c.send("ann", "")
				for i := range 400 {
					c.leave(domain.UserID(fmt.Sprint("crowd-", i)))
				}
				c.send("ann", "")
				step()
				c.kept("crowd-1")
			}
			c.kept(user(1), 8)
			c.kept("ann", 0)
			c.kept("one-more", 7)
		})
	}
}

// TestAChatThatWasSmallWhileOthersHandledItIsCleared has another process write the counts of a chat that is big for this one, and big again.
func TestAChatThatWasSmallWhileOthersHandledItIsCleared(t *testing.T) {
	c := newCounting(t)
	c.counts.Small(3, 100)
	c.create("bob", "cem", "dan")
	c.feed(0)
	here := c.counts
	c.leave("dan")
	c.restart()
	c.counts.Small(3, 100)
	c.feed(0)
	c.kept("bob", 0)
	c.add("dan")
	c.counts = here
	c.feed(0)
	for _, user := range []domain.UserID{"ann", "bob", "cem", "dan"} {
		c.kept(user)
	}
}

func TestABigChatIsNotLoadedWhole(t *testing.T) {
	c := newCounting(t)
	c.create()
	for i := range 4000 {
		c.add(domain.UserID(fmt.Sprint("user-", i)))
	}
	c.feed(0)
	c.send("ann", "m1")
	c.restart()
	c.log.counted = 0
	c.feed(0)
	if c.log.counted > 2*ports.MaxCountMembers || c.log.loaded > 0 {
		t.Errorf("%d users counted and %d entities loaded to see that the chat is big", c.log.counted, c.log.loaded)
	}
	c.log.counted, c.log.calls = 0, 0
	for i := range 1000 {
		c.leave(domain.UserID(fmt.Sprint("user-", i)))
	}
	c.feed(0)
	if c.log.counted > 8*ports.MaxCountMembers {
		t.Errorf("%d users counted in %d calls while a quarter of the members left", c.log.counted, c.log.calls)
	}
}

// TestUnreadIsOfOneMoment has the user write while messages are counted: an own message never counts.
func TestUnreadIsOfOneMoment(t *testing.T) {
	c := newCounting(t)
	c.create("bob")
	c.send("bob", "m1")
	c.send("ann", "m2")
	for what, meanwhile := range map[string]func(){
		"bob writes":       func() { c.send("bob", "") },
		"bob reads":        func() { c.send("ann", "m3"); c.read("bob", "m3") },
		"bob is gone, and": func() { c.leave("bob"); c.add("bob") },
	} {
		c.log.before = meanwhile
		if n, err := c.queries.Unread(t.Context(), "c", "bob"); n != 0 || err != nil {
			t.Errorf("%s: %d unread, error %v", what, n, err)
		}
	}
	c.log.before = func() { c.leave("bob") }
	if _, err := c.queries.Unread(t.Context(), "c", "bob"); !errors.Is(err, domain.ErrNotMember) {
		t.Errorf("bob leaves: %v", err)
	}
}

// TestUnread_DeletedBeforeTheLookup marks a message read while a later one is deleted already: the count that is looked up for the mark has
// the deletion in it, and the event of the deletion changes it no more.
func TestUnread_DeletedBeforeTheLookup(t *testing.T) {
	c := newCounting(t)
	c.create("bob")
	c.send("ann", "m1")
	c.send("ann", "m2")
	c.send("ann", "m3")
	c.feed(0)
	c.kept("bob", 3)
	c.read("bob", "m1")
	c.did(c.chats.Delete(t.Context(), domain.Delete{Chat: "c", Actor: "ann", MessageID: "m3"}))
	c.feed(0)
	c.kept("bob", 1)
	c.log.unknown = true // the caller looks it up as well
	c.send("ann", "m4")
	c.did(c.chats.Delete(t.Context(), domain.Delete{Chat: "c", Actor: "ann", MessageID: "m4"}))
	c.feed(0)
	c.kept("bob", 1)
}

func TestWhoWritesAllTheWhileIsToldSo(t *testing.T) {
	c := newCounting(t)
	c.create("bob")
	var again func()
	again = func() {
		c.log.before = again
		c.send("bob", "")
	}
	c.log.before = again
	if _, err := c.queries.Unread(t.Context(), "c", "bob"); !errors.Is(err, ports.ErrConflict) {
		t.Errorf("error %v, want ErrConflict", err)
	}
}

func TestFailuresAreReturned(t *testing.T) {
	c := newCounting(t)
	c.create("bob")
	c.send("ann", "m1")
	oops := errors.New("oops")
	c.log.failing = oops
	if err := c.handle(1); !errors.Is(err, oops) {
		t.Errorf("the log fails: %v", err)
	}
	c.log.failing, c.view.failing = nil, oops
	if err := c.handle(1); !errors.Is(err, oops) {
		t.Errorf("the view fails: %v", err)
	}
	c.view.failing = nil
	c.feed(0)
	c.kept("bob", 1)
	c.send("ann", "m2")
	c.view.failing = oops
	if err := c.handle(4); !errors.Is(err, oops) {
		t.Errorf("the view fails for a later event: %v", err)
	}
	c.view.failing = nil
	c.feed(0)
	c.kept("bob", 2)
	users := projection.NewUserChats(projection.NewModels(c.log, c.entities, projection.Views{Log: "log", Chats: c.view, Unread: c.view}))
	c.view.failing = oops
	if err := users.Handle(t.Context(), ports.Delivery{ID: ports.DeliveryID{Seq: 2}, Event: domain.ChatUpdate{Change: domain.MemberAdded}}); !errors.Is(err, oops) {
		t.Errorf("the view of chats fails: %v", err)
	}
	if err := users.Handle(t.Context(), ports.Delivery{ID: ports.DeliveryID{Chat: "c", Seq: 1}, Event: domain.ChatUpdate{Change: domain.Created}}); !errors.Is(err, oops) {
		t.Errorf("the view of chats fails in a rebuild: %v", err)
	}
}

// TestEventsOfNoLogCountNothing has another program put events on the stream.
func TestEventsOfNoLogCountNothing(t *testing.T) {
	c := newCounting(t)
	c.create("bob")
	c.feed(0)
	users := projection.NewUserChats(c.models)
	for _, e := range []domain.Durable{
		domain.MessageNew{Chat: "c", Message: "x", Sender: "ann"},
		domain.ChatUpdate{Chat: "c", Actor: "ann", User: "eve", Change: domain.MemberAdded},
	} {
		d := ports.Delivery{ID: ports.DeliveryID{Chat: "c", Event: "e"}, Event: e}
		if err := errors.Join(c.counts.Handle(t.Context(), d), users.Handle(t.Context(), d)); err != nil {
			t.Error(err)
		}
	}
	c.kept("bob", 0)
	c.kept("eve")
}

func TestQueriesAboutUsersNeedViews(t *testing.T) {
	c := newCounting(t)
	for name, q := range map[string]*app.Queries{"none are kept": app.NewQueries(c.log, c.entities, projection.Views{}), "as of a seq": c.queries.At(1)} {
		if _, err := q.ChatsOf(t.Context(), "ann"); !errors.Is(err, projection.ErrNoViews) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := q.UnreadOf(t.Context(), "ann"); !errors.Is(err, projection.ErrNoViews) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.queries.UnreadOf(t.Context(), "a b"); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("of an id that is none: %v", err)
	}
	if _, err := c.queries.ChatsOf(t.Context(), ""); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("of nobody: %v", err)
	}
}
