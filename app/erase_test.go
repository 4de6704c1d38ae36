package app_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

func eraseContent(m domain.MessageID, reason string) use {
	return func(ctx context.Context, c *app.Chats, chat domain.ChatID, id domain.CommandID) (app.Done, error) {
		erased, err := c.Erase(ctx, domain.Erase{Chat: chat, Actor: "own", MessageID: m, Reason: reason, Command: id})
		return erased.Done, err
	}
}

// TestErase_RemovesAllRevisions erases a message in each state: nothing that the log returns has its text, and the attachments of all revisions are
// returned once.
func TestErase_RemovesAllRevisions(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		log := open()
		chats, other := process(log, clock{}), process(open(), clock{})
		for _, state := range []string{"sent", "edited", "deleted"} {
			chat := domain.ChatID(state)
			prepare(t, chats, chat)
			file := func(name string) domain.Attachment {
				return domain.Attachment{Name: name, URL: "https://example.org/secret-" + name}
			}
			_, err := chats.Send(t.Context(), domain.Send{
				Chat: chat, Actor: "ann", MessageID: "m", Content: "secret", ReplyTo: "m1", Mentions: []domain.UserID{"two"}, ClientMeta: `{"secret":1}`,
				Attachments: []domain.Attachment{file("a"), file("b")},
			})
			want := []domain.Attachment{file("a"), file("b")}
			if err == nil && state != "sent" {
				_, err = other.Edit(t.Context(), domain.Edit{Chat: chat, Actor: "ann", MessageID: "m", Content: "secret too", Attachments: []domain.Attachment{file("b"), file("c")}})
				want = append(want, file("c"))
			}
			if err == nil && state == "deleted" {
				_, err = chats.Delete(t.Context(), domain.Delete{Chat: chat, Actor: "ann", MessageID: "m", Reason: "secret reason"})
			}
			if err != nil {
				t.Fatal(err)
			}
			erased, err := other.Erase(t.Context(), domain.Erase{Chat: chat, Actor: "ann", MessageID: "m"})
			if head := headOf(t.Context(), t, log, chat); err != nil || !erased.Changed || erased.Seq != head || !reflect.DeepEqual(erased.Attachments, want) {
				t.Errorf("%s: %+v, error %v, want the attachments %+v", state, erased, err, want)
			}
			page, err := log.Read(t.Context(), chat, ports.Range{Limit: 100})
			if text := fmt.Sprintf("%+v", page.Records); err != nil || strings.Contains(text, "secret") {
				t.Errorf("%s: the log has %s, error %v", state, text, err)
			}
			again, err := chats.Erase(t.Context(), domain.Erase{Chat: chat, Actor: "own", MessageID: "m"})
			if err != nil || again.Changed || again.Attachments != nil || headOf(t.Context(), t, log, chat) != page.Head {
				t.Errorf("%s, again: %+v, error %v", state, again, err)
			}
			sent, err := chats.Send(t.Context(), domain.Send{Chat: chat, Actor: "ann", MessageID: "m", Content: "another"})
			if want := (app.Sent{MessageID: "m", Seq: 8, Duplicate: true}); err != nil || sent != want {
				t.Errorf("%s, sent again: %+v, error %v", state, sent, err)
			}
		}
	})
}

// TestErase_Rights lists callers with the errors that they get.
func TestErase_Rights(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		chats := process(open(), clock{})
		prepare(t, chats, "c")
		for _, cmd := range []domain.Promote{{Chat: "c", Actor: "own", User: "ann", Role: domain.RoleAdmin}} {
			if _, err := chats.Promote(t.Context(), cmd); err != nil {
				t.Fatal(err)
			}
		}
		for _, test := range []struct {
			cmd  domain.Erase
			want error
		}{
			{domain.Erase{Actor: "out", MessageID: "m1"}, domain.ErrNotMember},
			{domain.Erase{Actor: "out", MessageID: "absent"}, domain.ErrNotMember},
			{domain.Erase{Actor: "ann", MessageID: "absent"}, domain.ErrMessageNotFound},
			{domain.Erase{Actor: "ann", MessageID: "m1"}, domain.ErrForbidden}, // of an owner, by an admin
			{domain.Erase{Actor: "service", MessageID: "absent", Trusted: true}, domain.ErrMessageNotFound},
			{domain.Erase{Actor: "ann", MessageID: "m2"}, nil},
			{domain.Erase{Actor: "two", MessageID: "m1"}, nil},
			{domain.Erase{Actor: "service", MessageID: "m3", Trusted: true}, nil},
			{domain.Erase{MessageID: "m3", Trusted: true}, domain.ErrInvalid},
		} {
			test.cmd.Chat = "c"
			if _, err := chats.Erase(t.Context(), test.cmd); !errors.Is(err, test.want) || test.want == nil && err != nil {
				t.Errorf("%+v: %v, want %v", test.cmd, err, test.want)
			}
		}
		if _, err := chats.As("ann").Erase(t.Context(), domain.Erase{Chat: "c", MessageID: "m3", Trusted: true}); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("a user's trusted erasure gave %v", err)
		}
	})
}

// erasureModel is a chat as it should be read, as of every seq.
type erasureModel struct {
	messages []*modelMessage
	marks    map[domain.UserID][]domain.Seq // seqs up to which a user has read, by the seq of the change
	head     domain.Seq
}

type modelMessage struct {
	id                   domain.MessageID
	sender               domain.UserID
	seq, deleted, erased domain.Seq
	edits                map[domain.Seq]domain.Content
}

// content returns what is read as of a seq: nothing of an erased message at any seq.
func (m *modelMessage) content(at domain.Seq) (content domain.Content) {
	if m.erased > 0 || m.deleted > 0 && m.deleted <= at {
		return ""
	}
	for seq := m.seq; seq <= at; seq++ {
		if edit, ok := m.edits[seq]; ok {
			content = edit
		}
	}
	return content
}

// unread counts a user's unread messages as of a seq.
func (e *erasureModel) unread(user domain.UserID, at domain.Seq) (n domain.Ordinal) {
	read := domain.Seq(0)
	for seq := domain.Seq(1); seq <= at; seq++ {
		read = max(read, e.marks[user][seq])
	}
	for _, m := range e.messages {
		if m.seq > read && m.seq <= at && m.sender != user && (m.deleted == 0 || m.deleted > at) {
			n++
		}
	}
	return n
}

// TestErase_Model gives random commands and compares history, messages and unread counts as of every seq with a plain model.
func TestErase_Model(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		log, n := open(), 0
		rapid.Check(t, func(rt *rapid.T) {
			n++
			run := erasureRun{t: rt, ctx: t.Context(), chat: domain.ChatID(fmt.Sprint("c", n)), chats: process(log, clock{})}
			run.queries = app.NewQueries(log.(app.Log), entity.NewLoader(log, log, 1<<20), projection.Views{})
			run.begin()
			for range rapid.IntRange(1, 12).Draw(rt, "steps") {
				run.step()
			}
			run.check()
		})
	})
}

type erasureRun struct {
	t       *rapid.T
	ctx     context.Context
	chat    domain.ChatID
	chats   *app.Chats
	queries *app.Queries
	model   erasureModel
}

func (r *erasureRun) must(_ any, err error) {
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *erasureRun) begin() {
	r.must(r.chats.Create(r.ctx, domain.Create{Chat: r.chat, Actor: "own", Members: []domain.UserID{"ann"}}))
	r.model = erasureModel{head: 2, marks: map[domain.UserID][]domain.Seq{"own": make([]domain.Seq, 64), "ann": make([]domain.Seq, 64)}}
}

func (r *erasureRun) step() {
	m := &r.model
	user := rapid.SampledFrom([]domain.UserID{"own", "ann"}).Draw(r.t, "user")
	what := rapid.SampledFrom([]string{"send", "edit", "delete", "erase", "read"}).Draw(r.t, "what")
	if len(m.messages) == 0 || what == "send" {
		m.head++
		id := domain.MessageID(fmt.Sprint("m", m.head))
		r.must(r.chats.Send(r.ctx, domain.Send{Chat: r.chat, Actor: user, MessageID: id, Content: string(id)}))
		m.messages = append(m.messages, &modelMessage{id: id, sender: user, seq: m.head, edits: map[domain.Seq]domain.Content{m.head: domain.Content(id)}})
		m.marks[user][m.head] = m.head
		return
	}
	message := rapid.SampledFrom(m.messages).Draw(r.t, "message")
	switch {
	case what == "edit" && message.deleted == 0:
		m.head++
		message.edits[m.head] = domain.Content(fmt.Sprint("edit", m.head))
		r.must(r.chats.Edit(r.ctx, domain.Edit{Chat: r.chat, Actor: message.sender, MessageID: message.id, Content: string(message.edits[m.head])}))
	case what == "delete" && message.deleted == 0:
		m.head++
		message.deleted = m.head
		r.must(r.chats.Delete(r.ctx, domain.Delete{Chat: r.chat, Actor: "own", MessageID: message.id, Reason: "why"}))
	case what == "erase" && message.erased == 0:
		if m.head++; message.deleted == 0 {
			message.deleted, m.head = m.head, m.head+1
		}
		message.erased = m.head
		r.must(r.chats.Erase(r.ctx, domain.Erase{Chat: r.chat, Actor: "own", MessageID: message.id}))
	case what == "read":
		marked, err := r.chats.MarkRead(r.ctx, domain.MarkRead{Chat: r.chat, Actor: user, MessageID: message.id, AwaitRecorded: true})
		r.must(marked, err)
		if marked.Changed {
			m.head++
			m.marks[user][m.head] = message.seq
		}
	}
}

func (r *erasureRun) check() {
	for at := domain.Seq(2); at <= r.model.head; at++ {
		queries := r.queries.At(at)
		history, err := queries.History(r.ctx, r.chat, domain.Span{Limit: 100})
		r.must(nil, err)
		seen := 0
		for _, m := range r.model.messages {
			if m.seq > at {
				continue
			}
			if seen >= len(history) {
				r.t.Fatalf("the history as of %d has %d messages, and not %s", at, len(history), m.id)
			}
			got := history[seen].Message
			seen++
			if got.ID != m.id || got.Content != m.content(at) || got.Deleted() != (m.deleted > 0 && m.deleted <= at) || got.Erased != (m.erased > 0) {
				r.t.Fatalf("as of %d the history has %+v, want %+v", at, got, *m)
			}
			view, err := queries.Message(r.ctx, r.chat, m.id)
			if r.must(nil, err); !reflect.DeepEqual(view.Message, got) {
				r.t.Fatalf("as of %d %s is %+v, and in the history %+v", at, m.id, view.Message, got)
			}
		}
		for _, user := range []domain.UserID{"own", "ann"} {
			if n, err := queries.Unread(r.ctx, r.chat, user); err != nil || n != r.model.unread(user, at) {
				r.t.Fatalf("as of %d %s has %d unread messages, error %v, want %d", at, user, n, err, r.model.unread(user, at))
			}
		}
	}
	for _, user := range []domain.UserID{"own", "ann"} {
		if n, err := r.queries.Unread(r.ctx, r.chat, user); err != nil || n != r.model.unread(user, r.model.head) {
			r.t.Fatalf("%s has %d unread messages, error %v, want %d", user, n, err, r.model.unread(user, r.model.head))
		}
	}
}

// TestDeleteChat_LeavesTheHead deletes a chat, after an interruption too. Its log has no content and no members, and every command on it is refused.
func TestDeleteChat_LeavesTheHead(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		log := open()
		chats := process(log, clock{})
		prepare(t, chats, "c")
		ctx := t.Context()
		for name, err := range map[string]error{
			"metadata": failed(chats.UpdateMetadata(ctx, domain.UpdateMetadata{Chat: "c", Actor: "own", Set: map[string]string{"topic": `"a topic"`}})),
			"mute":     failed(chats.Restrict(ctx, domain.Restrict{Chat: "c", Actor: "own", User: "ann", Kind: domain.Mute, Reason: "a reason"})),
			"custom":   failed(chats.Record(ctx, domain.Record{Chat: "c", Actor: "own", Event: custom{`{"a":1}`}})),
		} {
			if err != nil {
				t.Fatalf("%s gave %v", name, err)
			}
		}
		if _, err := chats.DeleteChat(ctx, domain.DeleteChat{Chat: "c", Actor: "ann"}, nil); !errors.Is(err, domain.ErrForbidden) {
			t.Errorf("a plain member's deletion gave %v", err)
		}
		interrupted := errors.New("interrupted")
		deleted, err := chats.DeleteChat(ctx, domain.DeleteChat{Chat: "c", Actor: "two", Reason: "law"}, func(domain.MessageID, app.Erased) error { return interrupted })
		if !errors.Is(err, interrupted) || deleted.Members != 3 {
			t.Fatalf("%+v, error %v", deleted, err)
		}
		var erased []domain.MessageID
		deleted, err = process(open(), clock{}).DeleteChat(ctx, domain.DeleteChat{Chat: "c", Actor: "two", Reason: "law"}, func(m domain.MessageID, _ app.Erased) error {
			erased = append(erased, m)
			return nil
		})
		if err != nil || deleted.Changed || deleted.Members != 0 || deleted.Messages != 2 || len(erased) != 2 {
			t.Errorf("the second time: %+v of %q, error %v", deleted, erased, err)
		}
		page, err := log.Read(ctx, "c", ports.Range{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			_, deletion := r.Event.(domain.MessageDelete) // with the reason of the chat's deletion
			if !deletion && domain.IsErased(domain.Erased(r.Event)) && !domain.IsErased(r.Event) {
				t.Errorf("seq %d is %+v", r.Seq, r.Event)
			}
		}
		last, _ := page.Records[len(page.Records)-1].Event.(domain.ChatDeleted)
		if last.At = (time.Time{}); last != (domain.ChatDeleted{Chat: "c", By: "two", Reason: "law", ContentErased: true}) {
			t.Errorf("the last event is %+v", last)
		}
		for name, err := range map[string]error{
			"create":  failed(chats.Create(ctx, domain.Create{Chat: "c", Actor: "own"})),
			"send":    failed(chats.Send(ctx, domain.Send{Chat: "c", Actor: "own", Content: "x"})),
			"edit":    failed(chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "own", MessageID: "m1", Content: "x"})),
			"add":     failed(chats.Add(ctx, domain.Add{Chat: "c", Actor: "own", User: "eve"})),
			"archive": failed(chats.Archive(ctx, domain.Archive{Chat: "c", Actor: "two"})),
			"record":  failed(chats.Record(ctx, domain.Record{Chat: "c", Actor: "own", Event: custom{"{}"}})),
			"react":   failed(chats.React(ctx, domain.React{Chat: "c", Actor: "own", MessageID: "m1", Emoji: "👍"})),
		} {
			if want := domain.ErrNotMember; name == "create" && !errors.Is(err, domain.ErrChatExists) || name != "create" && !errors.Is(err, want) {
				t.Errorf("%s gave %v", name, err)
			}
		}
		if head := headOf(ctx, t, log, "c"); head != page.Head {
			t.Errorf("the head is %d, was %d", head, page.Head)
		}
		if deleted, err := chats.DeleteChat(ctx, domain.DeleteChat{Chat: "c", Actor: "service", Trusted: true}, nil); err != nil || deleted.Changed || deleted.Messages != 0 {
			t.Errorf("deleted once more by the service: %+v, error %v", deleted, err)
		}
		if _, err := chats.DeleteChat(ctx, domain.DeleteChat{Chat: "absent", Actor: "service", Trusted: true}, nil); !errors.Is(err, domain.ErrChatNotFound) {
			t.Errorf("a chat that does not exist gave %v", err)
		}
	})
}

func failed[T any](_ T, err error) error { return err }
