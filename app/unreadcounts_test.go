package app_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"sync"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// watched is a log that counts what is asked of it, and of which the next answer can be preceded or prevented.
type watched struct {
	*memory.Log
	mu      sync.Mutex // mu guards: calls, loaded, while several goroutines call
	calls   int
	loaded  int    // entities
	before  func() // the next count
	failing error
}

// called counts a call that loads so many entities.
func (w *watched) called(entities int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	w.loaded += entities
}

func (w *watched) Load(ctx context.Context, c domain.ChatID, wants ...ports.Want) (ports.Loaded, error) {
	w.called(len(wants))
	if w.failing != nil {
		return ports.Loaded{}, w.failing
	}
	return w.Log.Load(ctx, c, wants...)
}

func (w *watched) Read(ctx context.Context, c domain.ChatID, r ports.Range) (ports.Page, error) {
	w.called(0)
	return w.Log.Read(ctx, c, r)
}

func (w *watched) Count(ctx context.Context, c domain.ChatID, after ...domain.Seq) ([]ports.MessageCount, error) {
	w.called(0)
	if before := w.before; before != nil {
		w.before = nil
		before()
	}
	return w.Log.Count(ctx, c, after...)
}

func (w *watched) Members(ctx context.Context, c domain.ChatID) iter.Seq2[domain.UserID, error] {
	w.called(0)
	return w.Log.Members(ctx, c)
}

// broken is a view that fails while it is told to.
type broken struct {
	*memory.UserView
	failing error
	refuse  map[domain.ChatID]error
	mu      sync.Mutex // mu guards: calls, puts, while several goroutines put
	calls   int
	puts    int // entries
}

func (b *broken) Put(ctx context.Context, log string, puts ...ports.ChatEntries) error {
	b.mu.Lock()
	b.calls++
	for _, p := range puts {
		b.puts += len(p.Entries)
	}
	b.mu.Unlock()
	for _, p := range puts {
		if err := b.refuse[p.Chat]; err != nil {
			return err
		}
	}
	if b.failing != nil {
		return b.failing
	}
	return b.UserView.Put(ctx, log, puts...)
}

// keptHere is how many members a chat has at most for its counts to be kept.
const keptHere = 256

// counting is the projection of one chat, fed by hand.
type counting struct {
	t        *testing.T
	log      *watched
	chats    *app.Chats
	view     *broken
	entities *app.Entities
	queries  *app.Queries
	counts   *app.UnreadCounts
	fed      domain.Seq
}

func newCounting(t *testing.T) *counting {
	clock := &stepping{at: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}
	c := &counting{t: t, view: &broken{UserView: memory.NewUserView()}}
	c.on(memory.New(wireformat.New(), clock, nil))
	c.chats = app.NewChats(c.log.Log, app.NewEntities(c.log.Log, c.log.Log, 1<<20), silent{}, c.log.Typing(), clock, ids{}, nil, app.Policy{}, nil)
	return c
}

// on has another log to go by.
func (c *counting) on(log *memory.Log) {
	c.log = &watched{Log: log}
	c.restart()
}

// restart begins another process.
func (c *counting) restart() {
	c.entities = app.NewEntities(c.log, c.log, 1<<20)
	c.queries = app.NewQueries(c.log, c.entities, app.Views{Log: "log", Chats: c.view.UserView, Unread: c.view})
	c.counts = app.NewUnreadCounts(c.queries).Small(keptHere, 1<<17)
}

func (c *counting) did(_ any, err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *counting) create(members ...domain.UserID) {
	c.t.Helper()
	c.did(c.chats.Create(c.t.Context(), app.Create{Chat: "c", By: "ann", Members: members}))
}

func (c *counting) send(by domain.UserID, id domain.MessageID) {
	c.t.Helper()
	c.did(c.chats.Send(c.t.Context(), app.Send{Chat: "c", By: by, MessageID: id, Content: "x"}))
}

func (c *counting) read(by domain.UserID, id domain.MessageID) {
	c.t.Helper()
	c.did(c.chats.MarkRead(c.t.Context(), app.MarkRead{Chat: "c", By: by, MessageID: id}))
}

func (c *counting) add(user domain.UserID) {
	c.t.Helper()
	c.did(c.chats.Add(c.t.Context(), app.Add{Chat: "c", By: "ann", User: user}))
}

func (c *counting) leave(user domain.UserID) {
	c.t.Helper()
	c.did(c.chats.Leave(c.t.Context(), app.Leave{Chat: "c", By: user}))
}

func (c *counting) record(seq domain.Seq) (ports.Record, bool) {
	page, err := c.log.Log.Read(c.t.Context(), "c", ports.Range{From: seq, Limit: 1})
	if err != nil {
		c.t.Fatal(err)
	}
	if len(page.Records) == 0 {
		return ports.Record{}, false
	}
	return page.Records[0], true
}

func (c *counting) handle(seq domain.Seq) error {
	r, _ := c.record(seq)
	return c.counts.Handle(c.t.Context(), ports.Delivery{ID: ports.DeliveryID{Log: "log", Chat: "c", Seq: seq, Event: r.ID}, Event: r.Event})
}

// feed delivers what has not been, but for the last n.
func (c *counting) feed(but domain.Seq) {
	c.t.Helper()
	for {
		if _, more := c.record(c.fed + 1 + but); !more {
			return
		}
		if err := c.handle(c.fed + 1); err != nil {
			c.t.Fatal(err)
		}
		c.fed++
	}
}

func (c *counting) kept(user domain.UserID, want ...uint64) {
	c.t.Helper()
	got, err := c.view.Of(c.t.Context(), "log", user)
	expected := map[domain.ChatID]uint64{}
	if len(want) > 0 {
		expected["c"] = want[0]
	}
	if err != nil || !maps.Equal(got, expected) {
		c.t.Errorf("kept of %q is %v, error %v, want %v", user, got, err, expected)
	}
}

func TestAMessageIsCountedWithoutALookAtTheLog(t *testing.T) {
	c := newCounting(t)
	c.create("bob", "cem")
	c.send("ann", "m0")
	c.feed(0)
	calls, puts := c.log.calls, c.view.puts
	for i := range 20 {
		c.send("ann", domain.MessageID(fmt.Sprint("m", i+1)))
	}
	c.read("bob", "m20") // the last one
	c.send("bob", "m21")
	c.feed(0)
	if c.log.calls != calls {
		t.Errorf("%d calls of the log for 21 messages and a mark at the last of them", c.log.calls-calls)
	}
	if n := c.view.puts - puts; n != 20*2+1+2 { // of who writes and has nothing unread, nothing changes
		t.Errorf("%d counts written", n)
	}
	c.kept("ann", 1)
	c.kept("bob", 0)
	c.kept("cem", 22)
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
	c.log.loaded = 0
	c.feed(0)
	if c.log.loaded > 3*keptHere {
		t.Errorf("%d entities loaded to see that the chat is big", c.log.loaded)
	}
	c.log.loaded, c.log.calls = 0, 0
	for i := range 1000 {
		c.leave(domain.UserID(fmt.Sprint("user-", i)))
	}
	c.feed(0)
	if c.log.loaded > 8*3*keptHere {
		t.Errorf("%d entities loaded in %d calls while a quarter of the members left", c.log.loaded, c.log.calls)
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
	c.did(c.chats.Delete(t.Context(), app.Delete{Chat: "c", By: "ann", MessageID: "m3"}))
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

// TestEventsThatOthersHandledAreReadFromTheLog has another process handle a part: who left and came back in it starts anew.
func TestEventsThatOthersHandledAreReadFromTheLog(t *testing.T) {
	c := newCounting(t)
	c.create("bob", "cem", "dan")
	c.send("ann", "m1")
	c.feed(0)
	c.leave("bob")
	c.leave("cem")
	c.send("ann", "m2")
	c.add("bob")
	c.send("ann", "m3")
	c.send("ann", "m4")
	seq := c.fed + 6
	if err := c.handle(seq); err != nil {
		t.Fatal(err)
	}
	c.kept("bob", 2)
	c.kept("cem")
	c.kept("dan", 4)
	c.feed(0) // the others come, late
	c.kept("bob", 2)
	c.kept("cem")

	c.read("dan", "m4")
	late := domain.ReadReceipt{Chat: "c", User: "dan", Message: "m2", ReadSeq: 7, At: time.UnixMilli(1).UTC()} // decided on before, by another process
	if _, err := c.log.Append(t.Context(), ports.Append{Chat: "c", Events: []ports.NewEvent{{ID: "late", Event: late, Moves: domain.Moves(late)}}}); err != nil {
		t.Fatal(err)
	}
	c.send("ann", "m5")
	c.feed(0)
	c.kept("dan", 1)

	c.read("dan", "m5")
	c.send("dan", "m6")
	if err := c.handle(c.fed + 2); err != nil {
		t.Fatal(err)
	}
	c.kept("dan", 0)
}

// TestALoadThatIsOvertakenWritesEveryCount has members write while they are counted for the first time.
func TestALoadThatIsOvertakenWritesEveryCount(t *testing.T) {
	c := newCounting(t)
	c.create("bob", "cem")
	c.send("ann", "m1")
	c.log.before = func() {
		c.send("bob", "")
		c.leave("cem")
		c.add("dan")
		c.send("ann", "")
	}
	if err := c.handle(1); err != nil {
		t.Fatal(err)
	}
	c.kept("ann", 0)
	c.kept("bob", 1)
	c.kept("cem")
	c.kept("dan", 1)
}

func TestTalliesAreBounded(t *testing.T) {
	c := newCounting(t)
	c.counts.Small(keptHere, 10)
	most := 0
	for i := range 20 {
		chat := domain.ChatID(fmt.Sprint("c", i))
		c.did(c.chats.Create(t.Context(), app.Create{Chat: chat, By: "ann", Members: []domain.UserID{"bob", "cem"}}))
		for seq := range domain.Seq(3) {
			page, err := c.log.Log.Read(t.Context(), chat, ports.Range{From: seq + 1, Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			d := ports.Delivery{ID: ports.DeliveryID{Log: "log", Chat: chat, Seq: seq + 1, Event: "e"}, Event: page.Records[0].Event}
			if err := c.counts.Handle(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		most = max(most, c.counts.Tallied())
	}
	if most != 2 { // of four places each: the chat and three members
		t.Errorf("up to %d tallies were kept, want 2", most)
	}
}

// TestWhatAForgottenTallyHadWrittenIsNotLoadedAgain has a group that is behind come to chats of which no tally is kept any more.
func TestWhatAForgottenTallyHadWrittenIsNotLoadedAgain(t *testing.T) {
	c := newCounting(t)
	c.create("bob")
	for range 20 {
		c.send("ann", "")
	}
	c.counts.Small(keptHere, 1)
	if err := c.handle(1); err != nil { // as of the log's end
		t.Fatal(err)
	}
	if n := c.counts.Tallied(); n != 0 {
		t.Fatalf("%d tallies are kept", n)
	}
	c.log.calls, c.fed = 0, 1
	c.feed(0)
	if c.log.calls != 0 {
		t.Errorf("%d calls of the log for what was counted before", c.log.calls)
	}
	c.send("ann", "")
	c.feed(0)
	c.kept("bob", 21)
	c.entities.Forget() // the log may say something else now
	c.log.calls = 0
	if err := c.handle(5); err != nil || c.log.calls == 0 {
		t.Errorf("on another server: %d calls of the log, error %v", c.log.calls, err)
	}
}

func TestWhatIsFarBehindIsLoadedAnew(t *testing.T) {
	c := newCounting(t)
	c.create("bob")
	c.send("ann", "m")
	c.feed(0)
	const missed = 12 * ports.MaxPage
	for range missed {
		c.send("ann", "")
	}
	c.log.calls = 0
	if err := c.handle(c.fed + missed); err != nil {
		t.Fatal(err)
	}
	c.kept("bob", missed+1)
	if c.log.calls > 10 {
		t.Errorf("%d calls of the log", c.log.calls)
	}
}

// TestWhatTheLogHasLostIsNotCounted goes on with a log that knows less, and then something else.
func TestWhatTheLogHasLostIsNotCounted(t *testing.T) {
	c := newCounting(t)
	c.create("bob")
	c.send("ann", "m1")
	c.send("ann", "m2")
	c.feed(0) // as of 4
	counts := c.counts

	other := newCounting(t)
	other.create("bob")
	other.send("bob", "n1")
	for range 4 {
		other.send("ann", "")
	}
	c.log.Log = other.log.Log
	c.entities.Forget()
	if c.counts = counts; c.handle(5) != nil {
		t.Fatal("the event that comes in place of a lost one")
	}
	c.kept("bob", 4)
	if err := c.counts.Handle(t.Context(), ports.Delivery{ID: ports.DeliveryID{Log: "log", Chat: "never", Seq: 3, Event: "e"}, Event: domain.MessageNew{Chat: "never"}}); err != nil {
		t.Errorf("an event of a chat that is lost: %v", err)
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
		t.Errorf("the view fails with a tally: %v", err)
	}
	c.view.failing = nil
	c.feed(0)
	c.kept("bob", 2)
	users := app.NewUserChats(app.NewQueries(c.log, c.entities, app.Views{Log: "log", Chats: c.view, Unread: c.view}))
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
	users := app.NewUserChats(c.queries)
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
	for name, q := range map[string]*app.Queries{"none are kept": app.NewQueries(c.log, c.entities, app.Views{}), "as of a seq": c.queries.At(1)} {
		if _, err := q.ChatsOf(t.Context(), "ann"); !errors.Is(err, app.ErrNoViews) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := q.UnreadOf(t.Context(), "ann"); !errors.Is(err, app.ErrNoViews) {
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
