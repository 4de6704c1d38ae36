package projection_test

import (
	"fmt"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// TestUnreadCounts_LateEvents are handled after later ones: a member that left and came back in them starts anew.
func TestUnreadCounts_LateEvents(t *testing.T) {
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

// TestUnreadCounts_RememberWhatTheyHaveWritten has a lagging group handle events whose counts were written, in a process that remembers few chats.
func TestUnreadCounts_RememberWhatTheyHaveWritten(t *testing.T) {
	c := newCounting(t)
	c.create("bob")
	for range 20 {
		c.send("ann", "")
	}
	c.counts.Small(keptHere, 2)
	if err := c.handle(1); err != nil { // as of the log's end
		t.Fatal(err)
	}
	c.log.calls, c.fed = 0, 1
	c.feed(0)
	if c.log.calls != 0 {
		t.Errorf("%d calls of the log for what was counted before", c.log.calls)
	}
	c.send("ann", "")
	c.feed(0)
	c.kept("bob", 21)
	c.entities.Invalidate() // the log may say something else now
	c.log.calls = 0
	if err := c.handle(5); err != nil || c.log.calls == 0 {
		t.Errorf("on another server: %d calls of the log, error %v", c.log.calls, err)
	}
	for i := range 20 {
		chat := domain.ChatID(fmt.Sprint("c", i))
		c.did(c.chats.Create(t.Context(), domain.Create{Chat: chat, Actor: "ann", Members: []domain.UserID{"bob", "cem"}}))
		batch := c.batch(chat, 1)
		batch.Done = len(batch.Deliveries)
		c.counts.HandleBatch(t.Context(), []*ports.ChatBatch{batch})
		done(t, batch)
		if n := c.counts.Remembered(); n > 2 {
			t.Fatalf("%d chats are remembered, want at most 2", n)
		}
	}
	c.log.calls = 0
	if err := c.handle(5); err != nil || c.log.calls != 1 {
		t.Errorf("of a forgotten chat: %d calls of the log, error %v", c.log.calls, err)
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
	c.entities.Invalidate()
	if c.counts = counts; c.handle(5) != nil {
		t.Fatal("the event that comes in place of a lost one")
	}
	c.kept("bob", 4)
	if err := c.counts.Handle(t.Context(), ports.Delivery{ID: ports.DeliveryID{Log: "log", Chat: "never", Seq: 3, Event: "e"}, Event: domain.MessageNew{Chat: "never"}}); err != nil {
		t.Errorf("an event of a chat that is lost: %v", err)
	}
}
