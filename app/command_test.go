package app_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// custom is a custom event.
type custom struct{ data string }

func (c custom) Custom() (domain.Custom, error) {
	return domain.Custom{Type: "poll:voted", Version: 1, Data: c.data}, nil
}

// use is a command as a test gives it: everything but the id.
type use func(ctx context.Context, c *app.Chats, chat domain.ChatID, id domain.CommandID) (app.Done, error)

func create(title string, members ...domain.UserID) use {
	return func(ctx context.Context, c *app.Chats, chat domain.ChatID, id domain.CommandID) (app.Done, error) {
		return c.Create(ctx, domain.Create{Chat: chat, Actor: "own", Title: title, Members: members, Command: id})
	}
}

func rename(title string) use {
	return func(ctx context.Context, c *app.Chats, chat domain.ChatID, id domain.CommandID) (app.Done, error) {
		return c.Rename(ctx, domain.Rename{Chat: chat, Actor: "own", Title: title, Command: id})
	}
}

func archive(ctx context.Context, c *app.Chats, chat domain.ChatID, id domain.CommandID) (app.Done, error) {
	return c.Archive(ctx, domain.Archive{Chat: chat, Actor: "own", Command: id})
}

func unarchive(ctx context.Context, c *app.Chats, chat domain.ChatID, id domain.CommandID) (app.Done, error) {
	return c.Unarchive(ctx, domain.Unarchive{Chat: chat, Actor: "own", Command: id})
}

func add(user domain.UserID) use {
	return func(ctx context.Context, c *app.Chats, chat domain.ChatID, id domain.CommandID) (app.Done, error) {
		return c.Add(ctx, domain.Add{Chat: chat, Actor: "own", User: user, Command: id})
	}
}

func remove(user domain.UserID) use {
	return func(ctx context.Context, c *app.Chats, chat domain.ChatID, id domain.CommandID) (app.Done, error) {
		return c.Remove(ctx, domain.Remove{Chat: chat, Actor: "own", User: user, Command: id})
	}
}

func leave(ctx context.Context, c *app.Chats, chat domain.ChatID, id domain.CommandID) (app.Done, error) {
	return c.Leave(ctx, domain.Leave{Chat: chat, Actor: "own", Command: id})
}

func promote(user domain.UserID, role domain.Role) use {
	return func(ctx context.Context, c *app.Chats, chat domain.ChatID, id domain.CommandID) (app.Done, error) {
		return c.Promote(ctx, domain.Promote{Chat: chat, Actor: "own", User: user, Role: role, Command: id})
	}
}

func demote(user domain.UserID, role domain.Role) use {
	return func(ctx context.Context, c *app.Chats, chat domain.ChatID, id domain.CommandID) (app.Done, error) {
		return c.Demote(ctx, domain.Demote{Chat: chat, Actor: "own", User: user, Role: role, Command: id})
	}
}

func edit(m domain.MessageID, content string) use {
	return func(ctx context.Context, c *app.Chats, chat domain.ChatID, id domain.CommandID) (app.Done, error) {
		return c.Edit(ctx, domain.Edit{Chat: chat, Actor: "own", MessageID: m, Content: content, Command: id})
	}
}

func erase(m domain.MessageID, reason string) use {
	return func(ctx context.Context, c *app.Chats, chat domain.ChatID, id domain.CommandID) (app.Done, error) {
		return c.Delete(ctx, domain.Delete{Chat: chat, Actor: "own", MessageID: m, Reason: reason, Command: id})
	}
}

func react(m domain.MessageID, emoji string) use {
	return func(ctx context.Context, c *app.Chats, chat domain.ChatID, id domain.CommandID) (app.Done, error) {
		return c.React(ctx, domain.React{Chat: chat, Actor: "own", MessageID: m, Emoji: emoji, Command: id})
	}
}

func unreact(m domain.MessageID, emoji string) use {
	return func(ctx context.Context, c *app.Chats, chat domain.ChatID, id domain.CommandID) (app.Done, error) {
		return c.Unreact(ctx, domain.React{Chat: chat, Actor: "own", MessageID: m, Emoji: emoji, Command: id})
	}
}

func markRead(m domain.MessageID) use {
	return func(ctx context.Context, c *app.Chats, chat domain.ChatID, id domain.CommandID) (app.Done, error) {
		marked, err := c.MarkRead(ctx, domain.MarkRead{Chat: chat, Actor: "own", MessageID: m, Command: id, AwaitRecorded: true})
		return marked.Done, err
	}
}

func markReadSeq(seq domain.Seq) use {
	return func(ctx context.Context, c *app.Chats, chat domain.ChatID, id domain.CommandID) (app.Done, error) {
		marked, err := c.MarkRead(ctx, domain.MarkRead{Chat: chat, Actor: "own", Seq: seq, Command: id, AwaitRecorded: true})
		return marked.Done, err
	}
}

func record(data string, entity domain.CustomID) use {
	return func(ctx context.Context, c *app.Chats, chat domain.ChatID, id domain.CommandID) (app.Done, error) {
		return c.Record(ctx, domain.Record{Chat: chat, Actor: "own", Event: custom{data}, Entity: entity, Command: id})
	}
}

// commandCases are commands of own, an owner of the chat beside two; ann is a plain member. The messages are m1 of own, and m2 and m3 of ann, with
// the seqs 5 to 7.
func commandCases() []commandCase {
	return []commandCase{
		{
			name: "create", first: create("t", "bob", "ann", "bob", "own"), changed: true, same: []use{create("t", "ann", "bob")},
			others: []use{create("t", "ann"), create("t"), create("u", "ann", "bob")},
			absent: true,
		},
		{name: "rename", first: rename("x"), changed: true, since: []use{rename("y")}, others: []use{rename("y"), rename(""), archive}},
		{name: "rename to the same", before: []use{rename("x")}, first: rename("x"), since: []use{rename("y")}, others: []use{rename("y")}},
		{name: "archive", first: archive, changed: true, since: []use{unarchive}, others: []use{unarchive, rename("x")}},
		{name: "archive an archived chat", before: []use{archive}, first: archive, since: []use{unarchive}, others: []use{unarchive}},
		{name: "unarchive", before: []use{archive}, first: unarchive, changed: true, since: []use{archive}, others: []use{archive}},
		{name: "unarchive a chat that is not archived", first: unarchive, since: []use{archive}, others: []use{archive}},
		{name: "add", first: add("bob"), changed: true, since: []use{remove("bob")}, others: []use{add("cem"), remove("bob"), promote("bob", domain.RoleAdmin)}},
		{name: "add a member", first: add("ann"), since: []use{remove("ann")}, others: []use{add("bob"), remove("ann")}},
		{name: "remove", first: remove("ann"), changed: true, since: []use{add("ann")}, others: []use{remove("two"), add("ann")}},
		{name: "remove someone else", first: remove("bob"), since: []use{add("bob")}, others: []use{remove("ann"), add("bob")}},
		{name: "leave", first: leave, changed: true, others: []use{remove("own"), remove("ann")}},
		{
			name: "promote", first: promote("ann", domain.RoleAdmin), changed: true, since: []use{demote("ann", domain.RoleMember)},
			others: []use{promote("ann", domain.RoleOwner), demote("ann", domain.RoleMember), demote("ann", domain.RoleAdmin), promote("two", domain.RoleAdmin)},
		},
		{
			name: "promote to the present role", before: []use{promote("ann", domain.RoleAdmin)}, first: promote("ann", domain.RoleAdmin),
			since: []use{demote("ann", domain.RoleMember)}, others: []use{promote("ann", domain.RoleOwner), demote("ann", domain.RoleMember)},
		},
		{
			name: "demote", first: demote("two", domain.RoleMember), changed: true, since: []use{promote("two", domain.RoleOwner)},
			others: []use{demote("two", domain.RoleAdmin), promote("two", domain.RoleOwner)},
		},
		{
			name: "demote to the present role", first: demote("ann", domain.RoleMember), since: []use{promote("ann", domain.RoleAdmin)},
			others: []use{demote("two", domain.RoleMember), promote("ann", domain.RoleAdmin)},
		},
		{name: "edit", first: edit("m1", "x"), changed: true, since: []use{edit("m1", "y")}, others: []use{edit("m1", "y"), edit("m2", "x"), erase("m1", "x")}},
		{name: "edit to the same", first: edit("m1", "m1"), since: []use{edit("m1", "y")}, others: []use{edit("m1", "y")}},
		{name: "edit, deleted since", first: edit("m1", "x"), changed: true, since: []use{erase("m1", "")}, others: []use{edit("m1", "y")}},
		{name: "delete", first: erase("m2", "spam"), changed: true, others: []use{erase("m2", ""), erase("m3", "spam")}},
		{name: "delete a tombstone", before: []use{erase("m2", "")}, first: erase("m2", ""), others: []use{erase("m2", "spam"), erase("m3", "")}},
		{name: "erase", first: eraseContent("m2", "law"), changed: true, others: []use{eraseContent("m2", ""), eraseContent("m3", "law"), erase("m2", "law")}},
		{name: "erase a deleted message", before: []use{erase("m2", "")}, first: eraseContent("m2", ""), changed: true, others: []use{eraseContent("m2", "law")}},
		{name: "erase an erased message", before: []use{eraseContent("m2", "")}, first: eraseContent("m2", ""), others: []use{eraseContent("m2", "law")}},
		{name: "react", first: react("m2", "👍"), changed: true, since: []use{unreact("m2", "👍")}, others: []use{react("m2", "🍅"), react("m3", "👍"), unreact("m2", "👍")}},
		{name: "react twice", before: []use{react("m2", "👍")}, first: react("m2", "👍"), since: []use{unreact("m2", "👍")}, others: []use{react("m3", "👍")}},
		{name: "unreact", before: []use{react("m2", "👍")}, first: unreact("m2", "👍"), changed: true, since: []use{react("m2", "👍")}, others: []use{unreact("m2", "🍅")}},
		{name: "unreact what is not there", first: unreact("m2", "👍"), since: []use{react("m2", "👍")}, others: []use{unreact("m3", "👍"), react("m2", "👍")}},
		{
			name: "mark read", first: markRead("m2"), changed: true, same: []use{markReadSeq(6)}, since: []use{markRead("m3")},
			others: []use{markRead("m3"), markReadSeq(7), markRead("m1")},
		},
		{name: "mark read what is read", before: []use{markRead("m3")}, first: markRead("m2"), others: []use{markRead("m3")}},
		{name: "mark read an own message", first: markRead("m1"), since: []use{markRead("m3")}, others: []use{markRead("m2")}},
		{name: "record", first: record(`{"a":1}`, ""), changed: true, since: []use{record(`{"a":2}`, "")}, others: []use{record(`{"a":2}`, ""), record(`{"a":1}`, "p"), rename("x")}},
		{name: "record of an entity", first: record(`{"a":1}`, "p"), changed: true, since: []use{record(`{"a":2}`, "p")}, others: []use{record(`{"a":1}`, "q"), record(`{"a":1}`, "")}},
	}
}

type commandCase struct {
	name    string
	before  []use // earlier commands
	first   use
	changed bool  // whether first records something
	same    []use // that are the same command
	since   []use // commands that undo, or go beyond, first
	others  []use // that are another command
	absent  bool  // whether the chat is not there yet
}

// TestCommandID_FirstAnswerForEver gives every command again, from another process, before and after a command that undoes it.
func TestCommandID_FirstAnswerForEver(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		log := open()
		chats := []*app.Chats{process(log, fast{time.Now()}), process(open(), fast{time.Now()})}
		for n, test := range commandCases() {
			t.Run(test.name, func(t *testing.T) { test.run(t, log, chats, domain.ChatID(fmt.Sprint("c-", n))) })
		}
	})
}

func (test commandCase) run(t *testing.T, log sharedLog, chats []*app.Chats, chat domain.ChatID) {
	ctx := t.Context()
	if !test.absent {
		prepare(t, chats[0], chat)
	}
	for _, use := range test.before {
		if _, err := use(ctx, chats[0], chat, ""); err != nil {
			t.Fatal(err)
		}
	}
	first, err := test.first(ctx, chats[0], chat, "id")
	if err != nil || first.Duplicate || first.Changed != test.changed || first.Changed != (first.Seq > 0) {
		t.Fatalf("first %+v, error %v", first, err)
	}
	want := app.Done{Seq: first.Seq, Changed: first.Changed, Duplicate: true}
	check := func() {
		t.Helper()
		head := headOf(ctx, t, log, chat)
		for i, c := range chats {
			for _, use := range append([]use{test.first}, test.same...) {
				if again, err := use(ctx, c, chat, "id"); err != nil || again != want {
					t.Errorf("again in process %d: %+v, error %v, want %+v", i, again, err, want)
				}
			}
			for k, other := range test.others {
				if done, err := other(ctx, c, chat, "id"); !errors.Is(err, domain.ErrCommandReused) || done != (app.Done{}) {
					t.Errorf("other command %d in process %d: %+v, error %v", k, i, done, err)
				}
			}
		}
		if after := headOf(ctx, t, log, chat); after != head {
			t.Errorf("the repetitions recorded events %d to %d", head+1, after)
		}
	}
	check()
	for _, use := range test.since {
		if done, err := use(ctx, chats[1], chat, ""); err != nil || !done.Changed {
			t.Fatalf("since then: %+v, error %v", done, err)
		}
		check()
	}
}

// prepare makes the chat that the cases are about.
func prepare(t *testing.T, c *app.Chats, chat domain.ChatID) {
	t.Helper()
	ctx := t.Context()
	do := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(c.Create(ctx, domain.Create{Chat: chat, Actor: "own", Members: []domain.UserID{"two", "ann"}}))
	do(c.Promote(ctx, domain.Promote{Chat: chat, Actor: "own", User: "two", Role: domain.RoleOwner}))
	do(c.Send(ctx, domain.Send{Chat: chat, Actor: "own", MessageID: "m1", Content: "m1"}))
	do(c.Send(ctx, domain.Send{Chat: chat, Actor: "ann", MessageID: "m2", Content: "m2"}))
	do(c.Send(ctx, domain.Send{Chat: chat, Actor: "ann", MessageID: "m3", Content: "m3"}))
}

func headOf(ctx context.Context, t *testing.T, log ports.EventLog, chat domain.ChatID) domain.Seq {
	t.Helper()
	page, err := log.Read(ctx, chat, ports.Range{From: 1, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	return page.Head
}

// TestCommandID_Actors has two users give the same id: each command is carried out, and gives its own answer again.
func TestCommandID_Actors(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		c := process(open(), clock{})
		prepare(t, c, "c")
		for range 2 {
			for i, by := range []domain.UserID{"own", "two", "ann"} {
				done, err := c.React(t.Context(), domain.React{Chat: "c", Actor: by, MessageID: "m1", Emoji: "👍", Command: "1"})
				if err != nil || done.Seq != domain.Seq(8+i) {
					t.Errorf("of %s: %+v, error %v", by, done, err)
				}
			}
		}
		if _, err := c.Rename(t.Context(), domain.Rename{Chat: "c", Actor: "two", Title: "x", Command: "1"}); !errors.Is(err, domain.ErrCommandReused) {
			t.Errorf("another command of the same user: %v", err)
		}
	})
}

// TestCommandID_RefusalsAreNotRemembered gives a command that was refused again, once it is allowed.
func TestCommandID_RefusalsAreNotRemembered(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		c := process(open(), clock{})
		rename := domain.Rename{Chat: "c", Actor: "ann", Title: "x", Command: "1"}
		if _, err := c.Rename(t.Context(), rename); !errors.Is(err, domain.ErrChatNotFound) {
			t.Fatal(err)
		}
		prepare(t, c, "c")
		if _, err := c.Rename(t.Context(), rename); !errors.Is(err, domain.ErrForbidden) {
			t.Fatal(err)
		}
		if _, err := c.Promote(t.Context(), domain.Promote{Chat: "c", Actor: "own", User: "ann", Role: domain.RoleAdmin}); err != nil {
			t.Fatal(err)
		}
		if done, err := c.Rename(t.Context(), rename); err != nil || !done.Changed || done.Duplicate {
			t.Errorf("%+v, error %v", done, err)
		}
	})
}

// TestCommandID_Concurrent gives the same commands from two processes at once: one of each is the first, whether it changes something or not.
func TestCommandID_Concurrent(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		log := open()
		chats := []*app.Chats{process(log, clock{}), process(open(), clock{})}
		prepare(t, chats[0], "c")
		for n, use := range []use{react("m2", "👍"), react("m2", "👍"), unreact("m2", "👍"), unreact("m2", "👍"), rename("x"), rename("x")} {
			const times = 8
			dones := make([]app.Done, times)
			var all sync.WaitGroup
			for i := range times {
				all.Go(func() {
					var err error
					if dones[i], err = use(t.Context(), chats[i%2], "c", domain.CommandID(fmt.Sprint("id-", n))); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			firsts := 0
			for _, done := range dones {
				if !done.Duplicate {
					firsts++
				}
				if done.Seq != dones[0].Seq || done.Changed != (n%2 == 0) {
					t.Errorf("command %d: %+v and %+v", n, done, dones[0])
				}
			}
			if firsts != 1 {
				t.Errorf("command %d was carried out %d times", n, firsts)
			}
		}
		if head := headOf(t.Context(), t, log, "c"); head != 10 {
			t.Errorf("the log ends at %d", head)
		}
	})
}

// TestFingerprint_Stable fixes fingerprints, which logs keep.
func TestFingerprint_Stable(t *testing.T) {
	for _, test := range []struct {
		want uint64
		name string
		args [4]string
	}{
		{0xd0f03a0eec29556c, "archive", [4]string{}},
		{0x813e2cbbe81279fd, "rename", [4]string{"title"}},
		{0xcea23d315677c601, "rename", [4]string{"", "title"}},
		{0xa9b44e1ddb297fed, "react", [4]string{"m", "👍"}},
	} {
		if got := app.Fingerprint(test.name, test.args); got != test.want {
			t.Errorf("%s of %q has the fingerprint %#x, want %#x", test.name, test.args, got, test.want)
		}
	}
}
