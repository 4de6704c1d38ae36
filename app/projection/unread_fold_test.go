package projection_test

import (
	"fmt"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// TestEventsThatOthersHandledAreReadFromTheLog has another process handle a part: a member that left and came back in it starts anew.
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
		c.did(c.chats.Create(t.Context(), domain.Create{Chat: chat, Actor: "ann", Members: []domain.UserID{"bob", "cem"}}))
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

// TestWhatAForgottenTallyHadWrittenIsNotLoadedAgain has a lagging group handle chats whose tallies were dropped.
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
	c.entities.Invalidate() // the log may say something else now
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
	c.entities.Invalidate()
	if c.counts = counts; c.handle(5) != nil {
		t.Fatal("the event that comes in place of a lost one")
	}
	c.kept("bob", 4)
	if err := c.counts.Handle(t.Context(), ports.Delivery{ID: ports.DeliveryID{Log: "log", Chat: "never", Seq: 3, Event: "e"}, Event: domain.MessageNew{Chat: "never"}}); err != nil {
		t.Errorf("an event of a chat that is lost: %v", err)
	}
}
