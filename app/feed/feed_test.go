package feed_test

import (
	"testing"

	"chatcore/app/feed"
	"chatcore/domain"
)

func from(c domain.ChatID, seq domain.Seq) feed.Position { return feed.Position{Chat: c, Seq: seq} }

func head(c domain.ChatID) feed.Position { return feed.Position{Chat: c, Head: true} }

func named(user domain.UserID, positions ...feed.Position) feed.Request {
	return feed.Request{User: user, Chats: positions}
}

// TestFeed_CatchesUpAndGoesLive reads what was missed, over several pages, and then live events.
func TestFeed_CatchesUpAndGoesLive(t *testing.T) {
	for _, user := range []domain.UserID{"", "owner"} {
		t.Run("user "+string(user), func(t *testing.T) {
			bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
				r.append(created("c", "owner"))
				r.messages("c", 199)
				f := r.open(named(user, from("c", 30)))
				expect(t, f, events("c", 31, 200, "caught_up c 200")...)
				r.messages("c", 2)
				expect(t, f, events("c", 201, 202)...)
				r.append(sent("other", "m"))
				expect(t, f)
			})
		})
	}
}

func TestFeed_Head(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"), sent("c", "m"))
		f := r.open(named("owner", head("c")))
		expect(t, f, "caught_up c 2")
		r.messages("c", 1)
		expect(t, f, "event c 3")
		if r.log.reads.Load() != 0 {
			t.Errorf("a feed from the head read the log %d times", r.log.reads.Load())
		}
	})
}

func TestFeed_RemovalEndsIt(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"), added("c", "bob"))
		f := r.open(named("bob", from("c", 0)))
		expect(t, f, events("c", 1, 2, "caught_up c 2")...)
		r.append(removed("c", "bob"), sent("c", "secret"))
		expect(t, f, "event c 3", "left c 3")
		r.append(added("c", "bob"), sent("c", "m"))
		expect(t, f)
	})
}

func TestFeed_AllChats(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.append(created("a", "owner"), added("a", "bob"))
		f := r.open(feed.Request{User: "bob", AllChats: true})
		expect(t, f, "caught_up a 2")
		r.append(created("b", "owner"), sent("b", "before"), added("b", "bob"), sent("b", "after"))
		expect(t, f, "joined b 2", "event b 3", "event b 4", "caught_up b 4")
		r.append(removed("a", "bob"), sent("a", "secret"))
		expect(t, f, "event a 3", "left a 3")
		r.append(added("a", "bob"))
		expect(t, f, "joined a 4", "event a 5", "caught_up a 5")
	})
}

// TestFeed_EventsForOneUser blocks a user, while feeds are live and before they catch up: the feed of the user who blocks has the event, as that of a service does, and the
// feed of the blocked user goes on behind it.
func TestFeed_EventsForOneUser(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		direct := domain.ChatUpdate{Chat: "d", Actor: "ada", Change: domain.Created, Kind: domain.Direct, At: at()}
		block := domain.MemberRestriction{Chat: "d", Actor: "ada", User: "bob", Kind: domain.Block, At: at()}
		unblock := block
		unblock.Lifted = true
		r.append(direct, added("d", "bob"), block)
		feeds := make(map[domain.UserID]*feed.Feed)
		for _, user := range []domain.UserID{"ada", "bob", ""} {
			feeds[user] = r.open(named(user, from("d", 0)))
		}
		expect(t, feeds["ada"], events("d", 1, 3, "caught_up d 3")...)
		expect(t, feeds["bob"], events("d", 1, 2, "skipped d 3-3", "caught_up d 3")...)
		expect(t, feeds[""], events("d", 1, 3, "caught_up d 3")...)
		r.append(unblock, sent("d", "m"))
		expect(t, feeds["ada"], events("d", 4, 5)...)
		expect(t, feeds["bob"], append([]string{"skipped d 4-4"}, events("d", 5, 5)...)...)
		expect(t, feeds[""], events("d", 4, 5)...)
	})
}
