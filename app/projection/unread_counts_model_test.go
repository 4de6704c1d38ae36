package projection_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/foldcheck"
)

// TestUnreadCounts_FollowEveryEvent gives random events to the projection one after another. After each of them the counts that are kept are those of a
// fold of the log, also where events were recorded that the projection has not been given yet.
func TestUnreadCounts_FollowEveryEvent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newCounting(t)
		most := rapid.SampledFrom([]int{2, 3, keptHere}).Draw(rt, "kept for")
		c.counts.Small(most, rapid.SampledFrom([]int{1, 1 << 17}).Draw(rt, "remembered chats"))
		c.log.unknown = rapid.Bool().Draw(rt, "unknown to the log")
		c.create("bob", "cem")
		users := []domain.UserID{"ann", "bob", "cem", "dan"}
		sent := 0
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			by, ctx := rapid.SampledFrom(users).Draw(rt, "by"), t.Context()
			message := domain.MessageID(fmt.Sprint("m", rapid.IntRange(0, max(sent, 1)-1).Draw(rt, "message")))
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			case 0, 1, 2:
				if _, err := c.chats.Send(ctx, domain.Send{Chat: "c", Actor: by, MessageID: domain.MessageID(fmt.Sprint("m", sent)), Content: "x"}); err == nil {
					sent++
				}
			case 3:
				_, _ = c.chats.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: by, MessageID: message, AwaitRecorded: true})
			case 4, 5:
				_, _ = c.chats.Delete(ctx, domain.Delete{Chat: "c", Actor: "ann", MessageID: message})
			case 6:
				_, _ = c.chats.Add(ctx, domain.Add{Chat: "c", Actor: "ann", User: by})
			case 7:
				_, _ = c.chats.Leave(ctx, domain.Leave{Chat: "c", Actor: by})
			case 8:
				if !c.fold(domain.Seq(math.MaxUint64)).MarkedUnread(by) { // the user's settings are a condition of a receipt
					c.lateRead(by, message)
				}
			case 9:
				from := rapid.SampledFrom([]domain.MessageID{message, message, ""}).Draw(rt, "unread from")
				_, _ = c.chats.SetSettings(ctx, domain.SetSettings{Chat: "c", Actor: by, Settings: domain.SettingsChange{UnreadFrom: &from}})
			}
			if !rapid.Bool().Draw(rt, "delivered") {
				continue
			}
			but := domain.Seq(rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(rt, "but"))
			c.feed(but)
			c.compareEntries(rt, most)
			if but == 0 {
				c.compare(rt, users, most)
			}
		}
		c.feed(0)
		c.compare(rt, users, most)
	})
}

// lateRead records a receipt that was decided on an earlier state, as two processes can.
func (c *counting) lateRead(by domain.UserID, message domain.MessageID) {
	m, err := c.queries.Message(c.t.Context(), "c", message)
	members, err2 := c.queries.Members(c.t.Context(), "c")
	if err != nil || err2 != nil || !slices.ContainsFunc(members, func(m domain.Member) bool { return m.User == by }) {
		return
	}
	e := domain.ReadReceipt{Chat: "c", User: by, Message: message, ReadSeq: m.Seq, At: time.UnixMilli(1).UTC()}
	c.did(c.log.Append(c.t.Context(), ports.Append{
		Chat: "c", Events: []ports.NewEvent{{ID: domain.EventID(ids{}.NewID()), Event: e, Moves: domain.Moves(e)}},
	}))
}

// fold folds the events up to a seq.
func (c *counting) fold(until domain.Seq) *foldcheck.Chat {
	folded := &foldcheck.Chat{}
	for seq := domain.Seq(1); seq <= until; seq++ {
		r, more := c.record(seq)
		if !more {
			break
		}
		folded.Apply(r.Seq, r.Event)
	}
	return folded
}

// compareEntries compares each entry with a fold as of its version or of the last delivered event, whichever is later, as fsck does.
func (c *counting) compareEntries(t *rapid.T, most int) {
	t.Helper()
	for user, e := range c.view.last {
		folded := c.fold(max(e.Version, c.fed))
		if want := folded.Member(user) && folded.Kept(most); e.Gone == want || want && e.Number != uint64(folded.Unread(user)) {
			t.Fatalf("after %d events, the entry of %q is %+v; want %d, %t", c.fed, user, e, folded.Unread(user), want)
		}
	}
}

// compare compares the counts that are kept with a fold.
func (c *counting) compare(t *rapid.T, users []domain.UserID, most int) {
	t.Helper()
	folded := c.fold(domain.Seq(math.MaxUint64))
	for _, user := range users {
		got, err := c.view.Of(c.t.Context(), "log", user)
		if err != nil {
			t.Fatal(err)
		}
		n, there := got["c"]
		if want := folded.Member(user) && folded.Kept(most); there != want || there && n != uint64(folded.Unread(user)) {
			t.Fatalf("at seq %d, kept of %q is %d, %t; want %d, %t", c.fed, user, n, there, folded.Unread(user), want)
		}
	}
}
