package app_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
)

// queriesOf gives the queries of one more process.
func queriesOf(log sharedLog) *app.Queries {
	return app.NewQueries(log.(app.Log), entity.NewLoader(log, log, 1<<20), projection.Views{})
}

func isNotMember(err error) bool { return errors.Is(err, domain.ErrNotMember) }

// done fails a test for the error of a command.
func done(t *testing.T) func(_ any, err error) {
	return func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestSend_RepliesDoNotConflict has many callers of two processes reply in one thread, while its root is edited and deleted: each reply takes one append.
func TestSend_RepliesDoNotConflict(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		const callers, replies = 32, 4
		ctx := t.Context()
		logs := []*counted{{sharedLog: open()}, {sharedLog: open()}}
		chats := []*app.Chats{process(logs[0], clock{}), process(logs[1], clock{})}
		prepare(t, chats[0], "c")
		for _, c := range chats { // caches the membership and the root
			done(t)(c.Send(ctx, domain.Send{Chat: "c", Actor: "ann", Content: "x", Thread: "m2"}))
		}
		before := logs[0].calls.Load() + logs[1].calls.Load()
		var all sync.WaitGroup
		var failed atomic.Pointer[error]
		for i := range callers {
			all.Go(func() {
				for range replies {
					if _, err := chats[i%2].Send(ctx, domain.Send{Chat: "c", Actor: "ann", Content: "x", Thread: "m2", Mentions: []domain.UserID{"two"}}); err != nil {
						failed.Store(&err)
					}
				}
			})
		}
		done(t)(process(open(), clock{}).Edit(ctx, domain.Edit{Chat: "c", Actor: "ann", MessageID: "m2", Content: "y"}))
		done(t)(process(open(), clock{}).Delete(ctx, domain.Delete{Chat: "c", Actor: "ann", MessageID: "m2"}))
		all.Wait()
		if err := failed.Load(); err != nil {
			t.Fatal(*err)
		}
		const mentionLoads = 2 * callers / 2 // at most: the mentioned member, before a process knows it
		if calls := logs[0].calls.Load() + logs[1].calls.Load() - before; calls < callers*replies || calls > callers*replies+mentionLoads {
			t.Errorf("%d replies took %d round trips", callers*replies, calls)
		}
		view, err := queriesOf(open()).Thread(ctx, "c", "m2", "two")
		if err != nil || view.Replies != callers*replies+2 || !view.Root.Deleted() {
			t.Errorf("%+v, error %v", view, err)
		}
	})
}

// TestSend_InAThreadAgain gives a reply again, in another thread: the first result stands.
func TestSend_InAThreadAgain(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		ctx, log := t.Context(), open()
		chats := process(log, clock{})
		prepare(t, chats, "c")
		reply := domain.Send{Chat: "c", Actor: "ann", MessageID: "r", Content: "x", Thread: "m1", ReplyTo: "m1"}
		first, err := chats.Send(ctx, reply)
		if err != nil || first.Duplicate {
			t.Fatalf("%+v, error %v", first, err)
		}
		for thread, differs := range map[domain.MessageID]bool{"m1": false, "m2": true, "": true, "absent": true} {
			reply.Thread = thread
			again, err := process(open(), clock{}).Send(ctx, reply)
			if want := (app.Sent{MessageID: "r", Seq: first.Seq, Duplicate: true, Differs: differs}); err != nil || again != want {
				t.Errorf("in %q: %+v, error %v, want %+v", thread, again, err, want)
			}
		}
		for _, refused := range []struct {
			send domain.Send
			want error
		}{
			{domain.Send{Thread: "r"}, domain.ErrThread},
			{domain.Send{Thread: "absent"}, domain.ErrMessageNotFound},
			{domain.Send{Thread: "bad id"}, domain.ErrInvalid},
			{domain.Send{InChat: true}, domain.ErrInvalid},
			{domain.Send{Broadcast: domain.BroadcastAll}, domain.ErrForbidden},
			{domain.Send{Thread: "m1", ReplyTo: "absent"}, domain.ErrMessageNotFound},
		} {
			send := refused.send
			send.Chat, send.Actor, send.Content = "c", "ann", "x"
			if _, err := chats.Send(ctx, send); !errors.Is(err, refused.want) {
				t.Errorf("%+v: %v, want %v", refused.send, err, refused.want)
			}
		}
	})
}

// TestThread_BeyondWhatItKeeps fills a thread until it has a snapshot and more replies than it counts exactly.
func TestThread_BeyondWhatItKeeps(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		const replies = domain.MaxThreadWindow + 5
		ctx, log := t.Context(), open()
		entities := entity.NewLoader(log, log, 1<<20)
		t.Cleanup(entities.Close)
		chats := app.NewChats(log, entities, silent{}, noTyping{}, clock{}, ids{}, nil, app.Policy{}, nil)
		prepare(t, chats, "c")
		done(t)(chats.MarkThread(ctx, domain.MarkThread{Chat: "c", Actor: "two", Thread: "m1", Following: domain.Follow}))
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				for range replies / 5 {
					if _, err := chats.Send(ctx, domain.Send{Chat: "c", Actor: "ann", Content: "x", Thread: "m1"}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		last, err := chats.Send(ctx, domain.Send{Chat: "c", Actor: "ann", MessageID: "last", Content: "x", Thread: "m1"})
		done(t)(last, err)
		for range 2 { // loads it, and then begins with its snapshot
			view, err := queriesOf(open()).Thread(ctx, "c", "m1", "two")
			if err != nil || view.Replies != replies+1 || view.Unread != domain.MaxThreadWindow || !view.AtLeast || view.Last.Message != "last" {
				t.Fatalf("%d replies, %d unread, at least %v, error %v", view.Replies, view.Unread, view.AtLeast, err)
			}
			loaded := []entity.Versioned{{Entity: domain.ThreadEntity("m1")}}
			if _, err := entities.Read(ctx, "c", loaded); err != nil {
				t.Fatal(err)
			}
			if err := log.SaveSnapshot(ctx, "c", loaded[0].Entity, loaded[0].Version, loaded[0].State); err != nil {
				t.Fatal(err)
			}
		}
		marked, err := chats.MarkThread(ctx, domain.MarkThread{Chat: "c", Actor: "two", Thread: "m1", MessageID: "last"})
		if err != nil || !marked.Recorded {
			t.Fatalf("%+v, error %v", marked, err)
		}
		if view, err := queriesOf(open()).Thread(ctx, "c", "m1", "two"); err != nil || view.Unread != 0 || view.AtLeast {
			t.Errorf("after the mark: %d unread, at least %v, error %v", view.Unread, view.AtLeast, err)
		}
		n := 0
		for page := (domain.Page{Limit: app.MaxThreadReplies}); ; {
			list, err := queriesOf(log).ThreadReplies(ctx, "c", "m1", page)
			done(t)(list, err)
			n += len(list.Items)
			if page.Cursor = list.Next; page.Cursor == "" {
				break
			}
		}
		if n != replies+1 {
			t.Errorf("the pages have %d replies", n)
		}
	})
}

// TestThread_LastReplyDeleted deletes more of the last replies than a thread keeps with their senders.
func TestThread_LastReplyDeleted(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		ctx, log := t.Context(), open()
		chats := process(log, clock{})
		prepare(t, chats, "c")
		for i := range domain.MaxThreadRecent + 1 {
			done(t)(chats.Send(ctx, domain.Send{Chat: "c", Actor: "ann", MessageID: domain.MessageID(fmt.Sprint("r", i)), Content: "x", Thread: "m1"}))
		}
		for i := range domain.MaxThreadRecent {
			for range 2 { // the second one changes nothing
				done(t)(chats.Delete(ctx, domain.Delete{Chat: "c", Actor: "ann", MessageID: domain.MessageID(fmt.Sprint("r", i+1))}))
			}
		}
		view, err := queriesOf(open()).Thread(ctx, "c", "m1", "")
		if err != nil || view.Replies != 1 || view.Last.Message != "r0" || view.Last.Sender != "ann" || view.Last.At.IsZero() || view.Following {
			t.Errorf("%+v, error %v", view, err)
		}
	})
}

// TestThreadQueries_RoundTrips counts the reads of the log by each query of a process that has nothing cached.
func TestThreadQueries_RoundTrips(t *testing.T) {
	log := &countedLog{Log: memory.New(wireformat.New(), clock{}, nil)}
	chats := process(log, clock{})
	ctx := t.Context()
	prepare(t, chats, "c")
	for _, root := range []domain.MessageID{"m1", "m2", "m3"} {
		done(t)(chats.Send(ctx, domain.Send{Chat: "c", Actor: "own", Content: "x", Thread: root, Mentions: []domain.UserID{"ann"}}))
		done(t)(chats.Send(ctx, domain.Send{Chat: "c", Actor: "own", Content: "x", Mentions: []domain.UserID{"ann"}}))
	}
	prepare(t, chats, "d")
	done(t)(chats.Send(ctx, domain.Send{Chat: "d", Actor: "own", Content: "x", Mentions: []domain.UserID{"ann"}}))
	const messages = 1 // the unread messages, beside the mentions
	var queries *app.Queries
	for _, test := range []struct {
		name  string
		trips int
		ask   func() error
	}{
		{"thread", 1, func() error { _, err := queries.Thread(ctx, "c", "m1", "ann"); return err }},
		{"replies", 2, func() error { _, err := queries.ThreadReplies(ctx, "c", "m1", domain.Page{}); return err }},
		{"threads", 2, func() error { _, err := queries.Threads(ctx, "c", "ann", app.ThreadPage{}); return err }},
		{"history", 2, func() error { _, err := queries.History(ctx, "c", domain.Span{}); return err }},
		{"mentions", 2, func() error { _, err := queries.MentionsOf(ctx, "c", "ann", app.MentionPage{}); return err }},
		{"unread mentions", messages + 3, func() error { _, err := queries.UnreadMentions(ctx, "c", "ann"); return err }},
		{"mentions of others in threads", messages + 2, func() error { _, err := queries.UnreadMentions(ctx, "c", "own"); return err }},
		{"all mentions are read", messages + 1, func() error { _, err := queries.UnreadMentions(ctx, "d", "own"); return err }},
	} {
		queries = app.NewQueries(log, entity.NewLoader(log, log, 1<<20), projection.Views{})
		log.loads, log.others = 0, 0
		if err := test.ask(); err != nil || log.loads+log.others != test.trips {
			t.Errorf("%s took %d round trips, error %v; want %d", test.name, log.loads+log.others, err, test.trips)
		}
	}
	_, err := queries.UnreadMentions(ctx, "c", "ann")
	log.loads, log.others = 0, 0
	if _, again := queries.UnreadMentions(ctx, "c", "ann"); err != nil || again != nil || log.loads != messages+2 {
		t.Errorf("a process that knows the mentions took %d round trips, errors %v, %v; want %d", log.loads, err, again, messages+2)
	}
}

// TestUnreadMentions_BeyondTheRing has more mentions than are counted exactly.
func TestUnreadMentions_BeyondTheRing(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		const sends = domain.MaxMentionEvents + 88
		ctx, log := t.Context(), open()
		chats := process(log, clock{})
		prepare(t, chats, "c")
		warm := queriesOf(log)
		done(t)(warm.UnreadMentions(ctx, "c", "ann"))
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range sends / 8 {
					if _, err := chats.Send(ctx, domain.Send{Chat: "c", Actor: "own", Content: "x", Mentions: []domain.UserID{"ann"}}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		for name, queries := range map[string]*app.Queries{"warm": warm, "cold": queriesOf(open())} {
			unread, err := queries.UnreadMentions(ctx, "c", "ann")
			if want := (app.UnreadMentions{Messages: sends, Mentions: domain.MaxMentionEvents, AtLeast: true}); err != nil || unread != want {
				t.Errorf("%s: %+v, error %v, want %+v", name, unread, err, want)
			}
			if unread, err := queries.UnreadMentions(ctx, "c", "ann", "own"); err != nil || unread.Mentions != 0 || unread.Messages != sends {
				t.Errorf("%s, without the sender: %+v, error %v", name, unread, err)
			}
		}
		n := 0
		for page := (app.MentionPage{}); ; {
			list, err := warm.MentionsOf(ctx, "c", "ann", page)
			done(t)(list, err)
			n += len(list.Items)
			if page.Cursor = list.Next; page.Cursor == "" {
				break
			}
		}
		if n != sends {
			t.Errorf("the pages have %d messages, want %d", n, sends)
		}
	})
}

// TestMarkThread_Coalesces gives marks of two threads and of the chat within a second: each is recorded on its own, and a second one of the same thread later.
func TestMarkThread_Coalesces(t *testing.T) {
	log := memory.New(wireformat.New(), clock{}, nil)
	chats := process(log, clock{})
	ctx := t.Context()
	prepare(t, chats, "c")
	for _, id := range []domain.MessageID{"r1", "r2", "r3"} {
		done(t)(chats.Send(ctx, domain.Send{Chat: "c", Actor: "ann", MessageID: id, Content: "x", Thread: "m1"}))
	}
	done(t)(chats.Send(ctx, domain.Send{Chat: "c", Actor: "ann", MessageID: "s1", Content: "x", Thread: "m2"}))
	mark := func(thread, id domain.MessageID, recorded bool) {
		t.Helper()
		if marked, err := chats.MarkThread(ctx, domain.MarkThread{Chat: "c", Actor: "two", Thread: thread, MessageID: id}); err != nil || marked.Recorded != recorded {
			t.Errorf("%s of %s: %+v, error %v, want recorded %v", id, thread, marked, err, recorded)
		}
	}
	mark("m1", "r1", true)
	mark("m2", "s1", true)
	marked, err := chats.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: "two", MessageID: "m3"})
	if err != nil || !marked.Recorded {
		t.Errorf("the chat: %+v, error %v", marked, err)
	}
	mark("m1", "r2", false)
	mark("m1", "r3", false)
	mark("m1", "r1", true) // read already
	head := headOf(ctx, t, log, "c")
	if unrecorded := chats.Close(ctx); unrecorded != 0 {
		t.Fatal(unrecorded)
	}
	if after := headOf(ctx, t, log, "c"); after != head+1 {
		t.Errorf("the two later marks made %d events", after-head)
	}
	if view, err := queriesOf(log).Thread(ctx, "c", "m1", "two"); err != nil || view.Unread != 0 {
		t.Errorf("%+v, error %v", view, err)
	}
	mark("m1", "r3", true)
}

// TestErasure_ReachesReplies erases the messages of a user, and then the chat: replies in threads are no part of the main timeline, and go too.
func TestErasure_ReachesReplies(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		ctx, log := t.Context(), open()
		chats := process(log, clock{})
		prepare(t, chats, "c")
		done(t)(chats.Add(ctx, domain.Add{Chat: "c", Actor: "own", User: "bob"}))
		for i, by := range []domain.UserID{"bob", "ann", "bob", "two"} { // bob has no read mark
			done(t)(chats.Send(ctx, domain.Send{Chat: "c", Actor: by, MessageID: domain.MessageID(fmt.Sprint("r", i)), Content: "secret", Thread: "m1"}))
		}
		done(t)(chats.Leave(ctx, domain.Leave{Chat: "c", Actor: "bob"}))
		erased, err := app.NewErasures(app.NewUsers(chats, queriesOf(log), nil)).EraseUser(ctx, app.EraseUser{User: "bob", Actor: "service"}, nil)
		if err != nil || erased.Found != 2 || erased.Erased != 2 {
			t.Fatalf("%+v, error %v", erased, err)
		}
		done(t)(chats.Send(ctx, domain.Send{Chat: "c", Actor: "ann", MessageID: "shown", Content: "secret", Thread: "m1", InChat: true}))
		erased, err = app.NewErasures(app.NewUsers(chats, queriesOf(log), nil)).EraseUser(ctx, app.EraseUser{User: "ann", Actor: "service"}, nil)
		if err != nil || erased.Found != 4 || erased.Erased != 4 {
			t.Fatalf("%+v, error %v", erased, err)
		}
		view, err := queriesOf(open()).Thread(ctx, "c", "m1", "two")
		if err != nil || view.Replies != 1 || view.Last.Message != "r3" {
			t.Errorf("%+v, error %v", view, err)
		}
		deleted, err := chats.DeleteChat(ctx, domain.DeleteChat{Chat: "c", Actor: "own"}, nil)
		if err != nil || deleted.Messages != 2 { // m1 and r3
			t.Fatalf("%+v, error %v", deleted, err)
		}
		for _, id := range []domain.MessageID{"m1", "m2", "m3", "r0", "r1", "r2", "r3", "shown"} {
			message, err := queriesOf(log).Message(ctx, "c", id)
			if reply := id != "m1" && id != "m2" && id != "m3"; err != nil || !message.Erased || message.Content != "" || (message.Thread == "m1") != reply {
				t.Errorf("%s is %+v, error %v", id, message, err)
			}
		}
	})
}
