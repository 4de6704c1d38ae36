package porttest

import (
	"fmt"
	"testing"

	"chatcore/domain"
	"chatcore/ports"
)

func testUnknownChat(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.history(c)
	h.verify()
	h.append(given{at(domain.ChatEntity(), 3)}.then(renamed(c, "nothing to rename"))) // a conflict must not create the chat
	h.verify()
}

func testConditions(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(given{at(domain.ChatEntity(), 0), at(domain.MemberEntity(ann), 0)}.then(created(c)))
	h.append(then(added(c, bob)))
	h.append(then(owned(c, bob)))
	h.append(then(renamed(c, "renamed")))
	for _, entity := range []domain.Entity{
		domain.ChatEntity(), domain.MemberEntity(ann), domain.MemberEntity(bob), domain.MessageEntity("m"), domain.ReadEntity(bob),
	} {
		for version := range domain.Seq(7) {
			h.append(given{at(entity, version)}.then(read(c, "m", "reader", version)))
			for upTo := range domain.Seq(7) {
				h.append(given{{Entity: entity, Version: version, UpTo: upTo}}.then(read(c, "m", "reader", version)))
			}
		}
	}
	h.verify()

	for _, entity := range []domain.Entity{domain.ChatEntity(), domain.MemberEntity(bob), domain.MemberEntity("nobody"), domain.MessageEntity("absent")} {
		h.append(given{{Entity: entity, Exists: true}}.then(renamed(c, "exists")))
	}
	h.append(given{{Entity: domain.MessageEntity("m"), Exists: true}, at(domain.MessageEntity("m"), 0)}.then(sent(c, "m", ann))) // contradict each other
	h.append(given{at(domain.MessageEntity("m"), 0)}.then(sent(c, "m", ann)))
	h.append(given{{Entity: domain.MessageEntity("m"), Exists: true}}.then(reacted(c, "m", bob)))
	h.verify()

	// An event of one entity leaves other entities with the same id alone.
	h.append(given{at(domain.MessageEntity("x"), 0)}.then(sent(c, "x", "x")))
	for _, entity := range []domain.Entity{domain.MemberEntity("x"), domain.ReactionsEntity("x"), domain.CommandEntity("x", "x")} {
		h.append(given{at(entity, h.history(c).version(domain.MessageEntity("x")))}.then(renamed(c, "x")))
		h.append(given{at(entity, 0)}.then(renamed(c, "x")))
	}
	h.verify()
}

func testAtomicity(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c), added(c, bob), sent(c, "m1", ann)))
	right := given{
		at(domain.ChatEntity(), 1), at(domain.MemberEntity(bob), 2), at(domain.MessageEntity("m1"), 3),
		at(domain.ReadEntity(ann), 3), at(domain.MessageEntity("m2"), 0),
	}
	for wrong := range right {
		conditions := append(given(nil), right...)
		conditions[wrong].Version += 7
		h.append(conditions.then(
			sent(c, "m2", "someone"), added(c, "someone"), deleted(c, "m1", ann), renamed(c, "other"), reacted(c, "m1", bob),
		))
		h.history(c).moved[domain.MessageEntity("m2")] = nil // verify must load it and find it absent
		h.verify()
	}
	h.append(right.then(sent(c, "m2", "someone"), added(c, "someone"), deleted(c, "m1", ann)))
	h.verify()
}

func testInvalid(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c)))
	twice := sent(c, "m", ann)
	twice.Moves = append(twice.Moves, domain.MessageEntity("other"))
	moved := sent(c, "m", ann)
	moved.Moves = append(moved.Moves, domain.CommandEntity(ann, "cmd"))
	invalid := []ports.Append{
		{Chat: c},
		{Chat: c, Events: []ports.NewEvent{sent(c, "m", ann), sent(NewChatID(), "m", ann)}},
		then(sent(c, "m0", ann), twice),
		then(moved),
		{Chat: c, Command: domain.MessageEntity("m")},
	}
	for _, a := range invalid {
		h.append(a)
	}
	h.verify()
	h.appendBatch(invalid[0], then(sent(c, "before", ann)), invalid[1], invalid[2], invalid[3], invalid[4], then(sent(c, "after", ann)))
	h.verify()
}

func testTooLarge(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(huge(c, "m")))
	h.verify()
	h.append(then(created(c)))
	h.append(then(sent(c, "m", ann), huge(c, "m2")))
	h.verify()
	h.appendBatch(then(sent(c, "m1", ann)), then(added(c, bob), huge(c, "m2")), then(sent(c, "m3", ann)))
	h.verify()
}

func testIdempotency(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c)))
	send := func() ports.Append { return given{at(domain.MessageEntity("m"), 0)}.then(sent(c, "m", ann)) }
	first := h.append(send())
	h.append(send())
	if v := h.load(c, ports.LoadRequest{Entity: domain.MessageEntity("m")}).Entities[0].Version; v != first.First {
		t.Errorf("the message is at version %d after its repetition, want %d", v, first.First)
	}

	add := func() ports.Append {
		return recorded("add", then(added(c, bob), added(c, "eve")))
	}
	once := h.append(add())
	h.append(then(sent(c, "m2", ann)))
	h.append(add())
	command := h.load(c, ports.LoadRequest{Entity: domain.CommandEntity(ann, "add")}).Entities[0]
	if command.Version != once.Last || command.Command != (ports.CommandRecord{Fingerprint: 1<<63 + 7, Events: 2}) {
		t.Errorf("the command is %+v, want two events, the last at %d", command, once.Last)
	}
	h.verify()
}

// testCommands records commands with and without events, alone and in batches, under conditions that hold and that do not.
func testCommands(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(recorded("early", given{}.nothing(c))) // of a chat that does not exist: a conflict, and the chat does not exist afterwards
	h.append(recorded("early", given{at(domain.ChatEntity(), 4)}.nothing(c)))
	h.verify()
	h.append(recorded("create", then(created(c), added(c, bob))))
	other := recorded("create", then(sent(c, "m1", bob)))
	other.Command = domain.CommandEntity(bob, "create")
	h.append(other) // the same id, another actor
	for range 2 {
		h.append(recorded("idle", given{at(domain.ChatEntity(), 1), at(domain.MessageEntity("absent"), 0)}.nothing(c)))
		h.append(recorded("stale", given{at(domain.ChatEntity(), 0)}.nothing(c)))
		h.verify()
	}
	zero := recorded("zero", given{}.nothing(c))
	zero.Fingerprint = 0
	h.append(zero)
	h.append(recorded("told", given{at(domain.CommandEntity(ann, "idle"), 3), at(domain.CommandEntity(ann, "told"), 0)}.then(sent(c, "m2", ann))))
	h.append(recorded("wrong", given{at(domain.CommandEntity(ann, "idle"), 2)}.then(sent(c, "m3", ann))))
	h.append(recorded("told", then(sent(c, "m4", ann))))
	h.verify()
	fresh := NewChatID()
	h.appendBatch(
		recorded("b1", given{}.nothing(fresh)),
		recorded("b1", then(created(fresh))),
		recorded("b1", given{}.nothing(fresh)),
		recorded("b2", given{}.nothing(fresh)),
		recorded("b2", then(sent(fresh, "m", ann))),
		recorded("b3", given{at(domain.CommandEntity(ann, "b2"), 1)}.then(sent(fresh, "m", ann), sent(fresh, "n", ann))),
		recorded("b3", given{}.nothing(fresh)),
		recorded("b3", given{}.nothing(c)),
		then(sent(c, "m5", ann)),
	)
	h.verify()
	for i := range 1100 - int(h.history(c).head()) { // across the end of a segment, and at it
		if i%64 == 0 || h.history(c).head()%1024 < 2 || h.history(c).head()%1024 > 1021 {
			h.append(recorded(domain.CommandID(fmt.Sprint("idle-", i)), given{}.nothing(c)))
		}
		h.append(then(reacted(c, "m1", ann)))
	}
	h.verify()
}

func testManyEvents(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	events := []ports.NewEvent{created(c)}
	for i := range 300 {
		events = append(events, added(c, domain.UserID(fmt.Sprintf("user-%d", i))))
	}
	h.append(recorded("create", then(events...)))
	h.verify()
}

func testBatch(t *testing.T, log Log) {
	h, c, other, third := newHarness(t, log), NewChatID(), NewChatID(), NewChatID()
	h.appendBatch()
	h.appendBatch(then(created(c)))
	h.appendBatch(
		given{at(domain.MessageEntity("m1"), 0)}.then(sent(c, "m1", ann)),
		given{at(domain.MessageEntity("m1"), 0)}.then(sent(c, "m1", bob), added(c, "nobody")),
		given{at(domain.ChatEntity(), 0)}.then(created(other)),
		given{at(domain.MessageEntity("m1"), 2)}.then(edited(c, "m1", ann), reacted(c, "m1", bob)),
		given{at(domain.MessageEntity("m1"), 2)}.then(edited(c, "m1", ann)),
		given{at(domain.ChatEntity(), 0)}.then(created(other)),
		given{at(domain.ChatEntity(), 1)}.then(renamed(third, "never created")),
		given{at(domain.MessageEntity("m1"), 0)}.then(sent(other, "m1", ann)),
		given{at(domain.MessageEntity("m1"), 3), at(domain.ReactionsEntity("m1"), 4)}.then(deleted(c, "m1", ann)),
		then(sent(c, "m2", bob)),
	)
	if head := h.history(c).head(); head != 6 {
		t.Fatalf("the batch was to end at 6, not %d", head)
	}
	h.verify()
}
