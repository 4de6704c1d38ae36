package porttest

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports"
)

// testRandomCommands appends random commands, alone and in batches, under conditions that hold and that do not, and erases messages. It then compares the whole log with
// histories kept beside it.
func testRandomCommands(t *testing.T, log Log) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHarness(rt, log)
		chats := []domain.ChatID{NewChatID(), NewChatID()}
		for range rapid.IntRange(1, 6).Draw(rt, "steps") {
			batch := make([]ports.Append, rapid.IntRange(1, 5).Draw(rt, "commands"))
			expected := newHarness(rt, log) // the model gets the commands while they are drawn, so that later ones can refer to them
			for c, known := range h.chats {
				expected.chats[c] = known.clone()
			}
			for i := range batch {
				c := rapid.SampledFrom(chats).Draw(rt, "chat")
				batch[i] = drawCommand(rt, c, expected.history(c), hasRules(log))
				expected.expect(batch[i])
			}
			if e, ok := drawErasure(rt, batch[0].Chat, h.history(batch[0].Chat)); ok && rapid.IntRange(0, 3).Draw(rt, "erase") == 0 {
				h.erase(e)
				continue
			}
			if len(batch) == 1 && rapid.Bool().Draw(rt, "alone") {
				h.append(batch[0])
			} else {
				h.appendBatch(batch...)
			}
			drawReads(rt, h, rapid.SampledFrom(chats).Draw(rt, "chat"))
		}
		h.verify()
	})
}

func drawCommand(rt *rapid.T, c domain.ChatID, known *history, rules bool) ports.Append {
	var conditions given
	for _, e := range rapid.SliceOfN(rapid.SampledFrom(someEntities()), 0, 3).Draw(rt, "conditions") {
		version := known.version(e)
		if rapid.IntRange(0, 5).Draw(rt, "wrong") == 5 {
			version = domain.Seq(rapid.IntRange(0, int(known.head())+1).Draw(rt, "version"))
		}
		condition := at(e, version)
		if rapid.IntRange(0, 3).Draw(rt, "range") == 0 {
			condition.UpTo = domain.Seq(rapid.IntRange(0, int(known.head())+1).Draw(rt, "upTo"))
		}
		condition.Exists = rapid.IntRange(0, 3).Draw(rt, "exists") == 0
		conditions = append(conditions, condition)
	}
	a := conditions.nothing(c)
	least := 1
	if rapid.IntRange(0, 2).Draw(rt, "with an id") == 0 {
		least = 0
		a.Command = rapid.SampledFrom(someCommands()).Draw(rt, "command")
		a.Fingerprint = rapid.Uint64().Draw(rt, "fingerprint")
	}
	for range rapid.IntRange(least, 3).Draw(rt, "events") {
		a.Events = append(a.Events, drawEvent(rt, c, known, a.Events, rules))
	}
	return a
}

func someCommands() []domain.Entity {
	return []domain.Entity{
		domain.CommandEntity(ann, "1"), domain.CommandEntity(bob, "1"), domain.CommandEntity(ann, "2"), domain.CommandEntity("an", "n1"), domain.CommandEntity("odd:=", ":=0"),
	}
}

// hasRules reports whether a log takes the events of level 4.
func hasRules(log Log) bool {
	levels, has := log.(interface{ Level() int })
	return !has || levels.Level() >= 4
}

// drawEvent returns an event that can happen: events of a message follow it, and it is deleted once. With rules there are messages in threads, mentions
// and pins too.
func drawEvent(rt *rapid.T, c domain.ChatID, known *history, before []ports.NewEvent, rules bool) ports.NewEvent {
	user := rapid.SampledFrom([]domain.UserID{ann, bob, `odd|"{user}`}).Draw(rt, "user")
	happened := known.clone()
	for _, e := range before {
		happened.add(e)
	}
	fresh, fresher := domain.MessageID(fmt.Sprintf("m%d", happened.ordinal(happened.head()))), domain.MessageID(fmt.Sprintf("t%d", happened.head()))
	var messages, present []domain.MessageID
	sends := make(map[domain.MessageID]domain.MessageNew)
	for _, r := range happened.records {
		switch e := r.Event.(type) {
		case domain.MessageNew:
			sends[e.Message] = e
			messages, present = append(messages, e.Message), append(present, e.Message)
		case domain.MessageDelete:
			present = slices.DeleteFunc(present, func(m domain.MessageID) bool { return m == e.Message })
		}
	}
	events := []func() ports.NewEvent{
		func() ports.NewEvent { return sent(c, fresh, user) },
		func() ports.NewEvent { return added(c, user) },
		func() ports.NewEvent { return owned(c, user) },
		func() ports.NewEvent { return renamed(c, "renamed") },
	}
	if len(messages) > 0 {
		m := rapid.SampledFrom(messages).Draw(rt, "message")
		events = append(
			events,
			func() ports.NewEvent { return edited(c, m, user) },
			func() ports.NewEvent { return reacted(c, m, user) },
			func() ports.NewEvent { return read(c, m, user, 1) },
		)
	}
	if len(present) > 0 {
		m := rapid.SampledFrom(present).Draw(rt, "deleted")
		events = append(events, func() ports.NewEvent { return deletionOf(sends[m], user) })
	}
	if rules && len(messages) > 0 {
		m := rapid.SampledFrom(messages).Draw(rt, "root")
		events = append(
			events,
			func() ports.NewEvent { return repliedIn(c, fresher, user, m, false, rapid.Bool().Draw(rt, "mentions")) },
			func() ports.NewEvent { return repliedIn(c, fresh, user, m, true, false) },
			func() ports.NewEvent { return mentioning(c, fresh, user) },
			func() ports.NewEvent { return pinned(c, m, user) },
			func() ports.NewEvent { return marked(c, m, user) },
		)
	}
	return events[rapid.IntRange(0, len(events)-1).Draw(rt, "event")]()
}

func drawReads(rt *rapid.T, h *harness, c domain.ChatID) {
	seq := rapid.Uint64Range(0, uint64(h.history(c).head())+2)
	h.checkRead(c, ports.Range{
		From: domain.Seq(seq.Draw(rt, "from")), Backward: rapid.Bool().Draw(rt, "backward"), Limit: rapid.IntRange(1, 9).Draw(rt, "limit"),
	})
	filter := rapid.SampledFrom([]ports.Filter{{Messages: true}, {Tombstones: true}, {User: ann}, {User: `odd|"{user}`}, {User: "absent"}}).Draw(rt, "filter")
	r := ports.Range{
		From: domain.Seq(seq.Draw(rt, "searched from")), Backward: rapid.Bool().Draw(rt, "searched backward"),
		Limit: rapid.IntRange(1, 9).Draw(rt, "found"), Until: domain.Seq(seq.Draw(rt, "searched until")),
	}
	h.checkSearch(c, filter, r)
	h.checkRead(c, r)
	var wants []ports.LoadRequest
	for _, e := range rapid.SliceOfN(rapid.SampledFrom(someEntities()), 0, 4).Draw(rt, "wants") {
		w := ports.LoadRequest{Entity: e, Latest: rapid.Bool().Draw(rt, "latest")}
		if rapid.Bool().Draw(rt, "as of") {
			w.Until = domain.Seq(seq.Draw(rt, "until"))
		} else {
			w.After = domain.Seq(seq.Draw(rt, "after"))
		}
		wants = append(wants, w)
	}
	for _, e := range someCommands() {
		wants = append(wants, ports.LoadRequest{Entity: e})
	}
	h.checkLoad(c, wants...)
	h.checkCount(c, domain.Seq(seq.Draw(rt, "counted")))
}

func someEntities() []domain.Entity {
	return []domain.Entity{
		domain.ChatEntity(), domain.MemberEntity(ann), domain.MemberEntity(bob), domain.MessageEntity("m0"), domain.MessageEntity("m1"),
		domain.ReactionsEntity("m0"), domain.ReadEntity(ann), domain.ReadEntity(bob), domain.MessageEntity("absent"),
		domain.ThreadEntity("m0"), domain.ThreadsEntity(), domain.ThreadMarkEntity(ann, "m0"), domain.PinsEntity(), domain.MentionsEntity(true),
		domain.MentionsEntity(false),
	}
}
