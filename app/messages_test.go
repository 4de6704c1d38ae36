package app_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// TestSend_Differs sends a message id again with other content, before and after the message was edited and deleted: the first content counts.
func TestSend_Differs(t *testing.T) {
	first := domain.Send{
		Chat: "c", Actor: "ann", MessageID: "m", Content: "hello", ReplyTo: "m1", Mentions: []domain.UserID{"own"},
		Attachments: []domain.Attachment{{Name: "a", URL: "x:y"}}, ClientMeta: `{"n":1}`,
	}
	changes := map[string]func(*domain.Send){
		"content":               func(s *domain.Send) { s.Content = "bye" },
		"no reply":              func(s *domain.Send) { s.ReplyTo = "" },
		"another reply":         func(s *domain.Send) { s.ReplyTo = "m2" },
		"no mentions":           func(s *domain.Send) { s.Mentions = nil },
		"other mentions":        func(s *domain.Send) { s.Mentions = []domain.UserID{"two"} },
		"more mentions":         func(s *domain.Send) { s.Mentions = append(s.Mentions[:1:1], "two") },
		"no attachments":        func(s *domain.Send) { s.Attachments = nil },
		"other attachments":     func(s *domain.Send) { s.Attachments = []domain.Attachment{{Name: "b", URL: "x:y"}} },
		"no client metadata":    func(s *domain.Send) { s.ClientMeta = "" },
		"other client metadata": func(s *domain.Send) { s.ClientMeta = `{"n":2}` },
		"content edited since":  func(s *domain.Send) { s.Content = "edited" },
	}
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		log := open()
		chats := []*app.Chats{process(log, clock{}), process(open(), clock{})}
		prepare(t, chats[0], "c")
		sent, err := chats[0].Send(t.Context(), first)
		if err != nil || sent != (app.Sent{MessageID: "m", Seq: 8}) {
			t.Fatalf("%+v, error %v", sent, err)
		}
		check := func(since string) {
			t.Helper()
			head := headOf(t.Context(), t, log, "c")
			for i, c := range chats {
				same := app.Sent{MessageID: "m", Seq: 8, Duplicate: true}
				if sent, err := c.Send(t.Context(), first); err != nil || sent != same {
					t.Errorf("%s, the same in process %d: %+v, error %v", since, i, sent, err)
				}
				same.Differs = true
				for name, change := range changes {
					again := first
					change(&again)
					if sent, err := c.Send(t.Context(), again); err != nil || sent != same {
						t.Errorf("%s, with %s in process %d: %+v, error %v", since, name, i, sent, err)
					}
				}
			}
			if after := headOf(t.Context(), t, log, "c"); after != head {
				t.Errorf("%s: recorded events %d to %d", since, head+1, after)
			}
		}
		check("as sent")
		if _, err := chats[0].Edit(t.Context(), domain.Edit{Chat: "c", Actor: "ann", MessageID: "m", Content: "edited"}); err != nil {
			t.Fatal(err)
		}
		check("edited")
		if _, err := chats[1].Delete(t.Context(), domain.Delete{Chat: "c", Actor: "ann", MessageID: "m"}); err != nil {
			t.Fatal(err)
		}
		check("deleted")
		if _, err := chats[0].Send(t.Context(), domain.Send{Chat: "c", Actor: "own", MessageID: "m", Content: "hello"}); !errors.Is(err, domain.ErrMessageExists) {
			t.Errorf("of another user: %v", err)
		}
	})
}

// TestSend_RepliesToIDs refuses invalid ids of messages.
func TestSend_RepliesToIDs(t *testing.T) {
	d := newDeciding(t)
	for _, id := range []domain.MessageID{"a b", domain.MessageID(strings.Repeat("x", 1000))} {
		if _, err := d.chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", Content: "x", ReplyTo: id}); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("a reply to %.20q: %v", id, err)
		}
	}
}

// counted counts the calls of a log that take a round trip.
type counted struct {
	sharedLog
	calls atomic.Int64
}

func (c *counted) Load(ctx context.Context, chat domain.ChatID, wants ...ports.LoadRequest) (ports.Loaded, error) {
	c.calls.Add(1)
	return c.sharedLog.Load(ctx, chat, wants...)
}

func (c *counted) Append(ctx context.Context, a ports.Append) (ports.Appended, error) {
	c.calls.Add(1)
	return c.sharedLog.Append(ctx, a)
}

// queriesOn gives the queries of one more process, which count nothing.
func queriesOn(log sharedLog) *app.Queries {
	return app.NewQueries(struct {
		sharedLog
		ports.ChatIndex
		ports.MessageCounter
		ports.MemberCounter
		ports.Lister
		ports.BulkReader
	}{sharedLog: log}, entity.NewLoader(log, nil, 1<<20), projection.Views{})
}

func TestSend_ReplyTo(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		ctx, log := t.Context(), &counted{sharedLog: open()}
		c := process(log, clock{})
		prepare(t, c, "c")
		if _, err := c.Send(ctx, domain.Send{Chat: "c", Actor: "ann", Content: "x"}); err != nil { // caches the memberships
			t.Fatal(err)
		}
		before := log.calls.Load()
		if _, err := c.Send(ctx, domain.Send{Chat: "c", Actor: "ann", MessageID: "r1", Content: "x", ReplyTo: "m1"}); err != nil || log.calls.Load() != before+1 {
			t.Errorf("a reply took %d round trips, error %v", log.calls.Load()-before, err)
		}
		head := headOf(ctx, t, log, "c")
		if _, err := c.Send(ctx, domain.Send{Chat: "c", Actor: "ann", Content: "x", ReplyTo: "none"}); !errors.Is(err, domain.ErrMessageNotFound) {
			t.Errorf("a reply to nothing: %v", err)
		}
		if _, err := c.Send(ctx, domain.Send{Chat: "c", Actor: "ann", MessageID: "r", Content: "x", ReplyTo: "r"}); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("a reply to itself: %v", err)
		}
		if after := headOf(ctx, t, log, "c"); after != head {
			t.Errorf("recorded events %d to %d", head+1, after)
		}

		queries := queriesOn(open())
		check := func(when string, want bool) {
			t.Helper()
			pages := make(map[string][]app.MessageView)
			var err error
			if pages["with its message"], err = queries.History(ctx, "c", domain.Span{}); err != nil {
				t.Fatal(err)
			}
			if pages["alone"], err = queries.History(ctx, "c", domain.Span{After: 8}); err != nil {
				t.Fatal(err)
			}
			one, err := queries.Message(ctx, "c", "r1")
			if err != nil {
				t.Fatal(err)
			}
			pages["one message"] = []app.MessageView{one}
			for name, page := range pages {
				i := slices.IndexFunc(page, func(m app.MessageView) bool { return m.ID == "r1" })
				if i < 0 || page[i].ReplyTo != "m1" || page[i].ReplyDeleted != want {
					t.Errorf("%s, %s: %+v", when, name, page)
				}
			}
		}
		check("as sent", false)
		if _, err := c.Delete(ctx, domain.Delete{Chat: "c", Actor: "own", MessageID: "m1"}); err != nil {
			t.Fatal(err)
		}
		check("deleted", true)
		before = log.calls.Load()
		if _, err := c.Send(ctx, domain.Send{Chat: "c", Actor: "ann", Content: "x", ReplyTo: "m1"}); err != nil || log.calls.Load() != before+1 {
			t.Errorf("a reply to a tombstone took %d round trips, error %v", log.calls.Load()-before, err)
		}
	})
}

func TestMentions(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		ctx, log := t.Context(), &counted{sharedLog: open()}
		c, other, queries := process(log, clock{}), process(open(), clock{}), queriesOn(open())
		prepare(t, c, "c")
		mentioned := func(m domain.MessageID, want ...domain.UserID) {
			t.Helper()
			if view, err := queries.Message(ctx, "c", m); err != nil || !slices.Equal(view.Mentions, want) {
				t.Errorf("message %s mentions %q, want %q, error %v", m, view.Mentions, want, err)
			}
		}
		first := domain.Send{Chat: "c", Actor: "ann", MessageID: "x", Content: "x", Mentions: []domain.UserID{"two", "bob", "ann", "two", "own"}}
		if _, err := c.Send(ctx, first); err != nil {
			t.Fatal(err)
		}
		mentioned("x", "two", "ann", "own")
		before := log.calls.Load()
		if _, err := c.Send(ctx, domain.Send{Chat: "c", Actor: "ann", Content: "x", Mentions: []domain.UserID{"two", "own"}}); err != nil || log.calls.Load() != before+1 {
			t.Errorf("mentions of known members took %d round trips, error %v", log.calls.Load()-before, err)
		}

		// The repetition is the same send, regardless of later changes of membership.
		for _, err := range []error{
			failure(other.Add(ctx, domain.Add{Chat: "c", Actor: "own", User: "bob"})), failure(other.Remove(ctx, domain.Remove{Chat: "c", Actor: "own", User: "two"})),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if sent, err := c.Send(ctx, first); err != nil || !sent.Duplicate || sent.Differs {
			t.Errorf("the repetition: %+v, error %v", sent, err)
		}
		again := first
		again.Mentions = []domain.UserID{"bob", "ann", "own"} // without two, a former member
		if sent, err := c.Send(ctx, again); err != nil || !sent.Duplicate || !sent.Differs {
			t.Errorf("with other mentions: %+v, error %v", sent, err)
		}

		// This process has cached that two is a member and bob is none.
		if _, err := c.Send(ctx, domain.Send{Chat: "c", Actor: "ann", MessageID: "y", Content: "y", Mentions: []domain.UserID{"two", "bob"}}); err != nil {
			t.Fatal(err)
		}
		mentioned("y", "bob")
		edit := domain.Edit{Chat: "c", Actor: "ann", MessageID: "y", Content: "z", Mentions: []domain.UserID{"own", "two", "own"}, Attachments: []domain.Attachment{{Name: "a", URL: "u"}}, Command: "1"}
		if done, err := c.Edit(ctx, edit); err != nil || !done.Changed {
			t.Fatalf("%+v, error %v", done, err)
		}
		mentioned("y", "own")
		if done, err := c.Edit(ctx, edit); err != nil || !done.Duplicate {
			t.Errorf("the edit again: %+v, error %v", done, err)
		}
		for name, change := range map[string]func(*domain.Edit){
			"no mentions":     func(e *domain.Edit) { e.Mentions = nil },
			"mentions away":   func(e *domain.Edit) { e.Mentions = []domain.UserID{} },
			"no attachments":  func(e *domain.Edit) { e.Attachments = nil },
			"other file":      func(e *domain.Edit) { e.Attachments = []domain.Attachment{{Name: "b", URL: "u"}} },
			"other mentions":  func(e *domain.Edit) { e.Mentions = []domain.UserID{"own"} },
			"only attachment": func(e *domain.Edit) { e.Content = "" },
		} {
			reused := edit
			change(&reused)
			if _, err := c.Edit(ctx, reused); name != "other mentions" && !errors.Is(err, domain.ErrCommandReused) {
				t.Errorf("the command id with %s: %v", name, err)
			}
		}
		if done, err := c.Edit(ctx, domain.Edit{Chat: "c", Actor: "ann", MessageID: "y", Mentions: []domain.UserID{}}); err != nil || !done.Changed {
			t.Errorf("to an attachment alone: %+v, error %v", done, err)
		}
		mentioned("y")
		if view, err := queries.Message(ctx, "c", "y"); err != nil || view.Content != "" || len(view.Attachments) != 1 {
			t.Errorf("%+v, error %v", view, err)
		}
	})
}

func failure(_ any, err error) error { return err }

func TestReactions_ArchivedAndDeleted(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		ctx := t.Context()
		c, queries := process(open(), clock{}), queriesOn(open())
		prepare(t, c, "c")
		for _, emoji := range []string{"❤", "❤\ufe0f", "👍"} {
			for _, m := range []domain.MessageID{"m1", "m2"} {
				done, err := c.React(ctx, domain.React{Chat: "c", Actor: "ann", MessageID: m, Emoji: emoji})
				if err != nil || done.Changed != (emoji != "❤\ufe0f") {
					t.Errorf("%+q: %+v, error %v", emoji, done, err)
				}
			}
		}
		if _, err := c.Delete(ctx, domain.Delete{Chat: "c", Actor: "ann", MessageID: "m2"}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Archive(ctx, domain.Archive{Chat: "c", Actor: "own"}); err != nil {
			t.Fatal(err)
		}
		if done, err := c.Unreact(ctx, domain.React{Chat: "c", Actor: "ann", MessageID: "m1", Emoji: "❤\ufe0e"}); err != nil || !done.Changed {
			t.Errorf("in an archived chat: %+v, error %v", done, err)
		}
		if done, err := c.Unreact(ctx, domain.React{Chat: "c", Actor: "ann", MessageID: "m2", Emoji: "👍"}); err != nil || done.Changed {
			t.Errorf("of a tombstone: %+v, error %v", done, err)
		}
		if _, err := c.React(ctx, domain.React{Chat: "c", Actor: "ann", MessageID: "m1", Emoji: "🍅"}); !errors.Is(err, domain.ErrArchived) {
			t.Errorf("a new one in an archived chat: %v", err)
		}
		if _, err := c.Unreact(ctx, domain.React{Chat: "c", Actor: "ann", MessageID: "m1", Emoji: "like"}); err != nil {
			t.Errorf("one that an older program may have recorded: %v", err)
		}
		page, err := queries.History(ctx, "c", domain.Span{})
		if err != nil || len(page) != 3 || len(page[0].Reactions) != 1 || page[0].Reactions[0].Emoji != "👍" || page[1].Reactions != nil {
			t.Errorf("%+v, error %v", page, err)
		}
		if m, err := queries.Message(ctx, "c", "m2"); err != nil || !m.Deleted() || m.Reactions != nil {
			t.Errorf("%+v, error %v", m, err)
		}
	})
}
