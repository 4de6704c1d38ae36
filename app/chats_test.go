package app_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// contended is a log on which somebody else is always faster, for a while.
type contended struct {
	*memory.Log
	conflicts atomic.Int64 // still to come
	appends   atomic.Int64
}

func (c *contended) Append(ctx context.Context, a ports.Append) (ports.Appended, error) {
	c.appends.Add(1)
	if c.conflicts.Add(-1) >= 0 {
		return ports.Appended{}, &ports.ConflictError{Chat: a.Chat, Condition: a.Conditions[0], Version: 99}
	}
	return c.Log.Append(ctx, a)
}

func entitiesOf(log *contended) *entity.Loader { return entity.NewLoader(log, log, 1<<20) }

func newChats(t *testing.T) (*app.Chats, *contended) {
	t.Helper()
	log := &contended{Log: memory.New(wireformat.New(), clock{}, nil)}
	chats := app.NewChats(log, entitiesOf(log), silent{}, log.Typing(), clock{}, ids{}, nil, app.Policy{}, nil)
	if _, err := chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "own", Members: []domain.UserID{"ann", "bob"}}); err != nil {
		t.Fatal(err)
	}
	return chats, log
}

func TestConflictsAreRetriedABoundedNumberOfTimes(t *testing.T) {
	chats, log := newChats(t)
	log.conflicts.Store(3)
	if sent, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", MessageID: "m", Content: "x"}); err != nil || sent.Seq != 4 {
		t.Errorf("after three conflicts: %+v, error %v", sent, err)
	}
	log.appends.Store(0)
	log.conflicts.Store(1 << 40)
	_, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", MessageID: "m2", Content: "x"})
	if !errors.Is(err, ports.ErrConflict) || log.appends.Load() < 2 || log.appends.Load() > 100 {
		t.Errorf("conflicts without end: %v after %d appends", err, log.appends.Load())
	}
}

func TestEditsSideBySideAllCount(t *testing.T) {
	chats, log := newChats(t)
	if _, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", MessageID: "m", Content: "x"}); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for _, text := range []string{"a", "b", "c", "d"} {
		all.Go(func() {
			if _, err := chats.Edit(t.Context(), domain.Edit{Chat: "c", Actor: "ann", MessageID: "m", Content: text}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	m, err := app.NewQueries(log, entitiesOf(log), projection.Views{}).Message(t.Context(), "c", "m")
	if err != nil || m.Revision != 4 {
		t.Errorf("%d revisions, error %v", m.Revision, err)
	}
}

func TestACommandIDHasItsEffectOnce(t *testing.T) {
	chats, _ := newChats(t)
	rename := domain.Rename{Chat: "c", Actor: "own", Title: "one", Command: "cmd"}
	first, err := chats.Rename(t.Context(), rename)
	if err != nil || !first.Changed || first.Duplicate {
		t.Fatalf("first: %+v, error %v", first, err)
	}
	if _, err := chats.Rename(t.Context(), domain.Rename{Chat: "c", Actor: "own", Title: "two"}); err != nil {
		t.Fatal(err)
	}
	again, err := chats.Rename(t.Context(), rename)
	if err != nil || !again.Duplicate || again.Seq != first.Seq {
		t.Errorf("again: %+v, error %v", again, err)
	}
	if _, err := chats.Archive(t.Context(), domain.Archive{Chat: "c", Actor: "own", Command: "cmd"}); !errors.Is(err, domain.ErrCommandReused) {
		t.Errorf("for another command: %v", err)
	}
}

func TestReadMarksOfASecondAreOneEvent(t *testing.T) {
	chats, log := newChats(t)
	for _, id := range []domain.MessageID{"m1", "m2", "m3", "m4"} {
		if _, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", MessageID: id, Content: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := chats.MarkRead(t.Context(), domain.MarkRead{Chat: "c", Actor: "bob", MessageID: "m1"}); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for _, id := range []domain.MessageID{"m4", "m2", "m3"} {
		all.Go(func() {
			if _, err := chats.MarkRead(t.Context(), domain.MarkRead{Chat: "c", Actor: "bob", MessageID: id, AwaitRecorded: true}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	queries := app.NewQueries(log, entitiesOf(log), projection.Views{})
	events, err := queries.Events(t.Context(), "c", domain.Span{First: true, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var marks []domain.MessageID
	for _, r := range events {
		if receipt, ok := r.Event.(domain.ReadReceipt); ok {
			marks = append(marks, receipt.Message)
		}
	}
	if len(marks) != 2 || marks[0] != "m1" || marks[1] != "m4" {
		t.Errorf("recorded marks %q, want m1 and the highest of the rest", marks)
	}
	if n, err := queries.Unread(t.Context(), "c", "bob"); err != nil || n != 0 {
		t.Errorf("%d unread, error %v", n, err)
	}
}

func TestUnreadLeavesOutOwnAndDeleted(t *testing.T) {
	chats, log := newChats(t)
	queries := app.NewQueries(log, entitiesOf(log), projection.Views{})
	unread := func(want domain.Ordinal) {
		t.Helper()
		if n, err := queries.Unread(t.Context(), "c", "bob"); err != nil || n != want {
			t.Errorf("%d unread, error %v, want %d", n, err, want)
		}
	}
	send := func(by domain.UserID, id domain.MessageID) {
		t.Helper()
		if _, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: by, MessageID: id, Content: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	unread(0)
	send("ann", "m1")
	send("ann", "m2")
	unread(2)
	if _, err := chats.Delete(t.Context(), domain.Delete{Chat: "c", Actor: "ann", MessageID: "m1"}); err != nil {
		t.Fatal(err)
	}
	unread(1)
	send("bob", "m3")
	unread(0)
	send("ann", "m4")
	unread(1)
	late := domain.ReadReceipt{Chat: "c", User: "bob", Message: "m2", ReadSeq: 5, At: time.Now()} // decided on before m3 was there
	if _, err := log.Log.Append(t.Context(), ports.Append{Chat: "c", Events: []ports.NewEvent{{ID: "late", Event: late, Moves: domain.Moves(late)}}}); err != nil {
		t.Fatal(err)
	}
	unread(1)
	if _, err := queries.Unread(t.Context(), "c", "eve"); !errors.Is(err, domain.ErrNotMember) {
		t.Errorf("of an outsider: %v", err)
	}
}

// TestHistory_BothWays reads the pages of a chat from the first on and from the last back: every page is in the order of seqs.
func TestHistory_BothWays(t *testing.T) {
	chats, log := newChats(t)
	for range 7 {
		if _, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", Content: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	queries := app.NewQueries(log, entitiesOf(log), projection.Views{})
	for limit := 1; limit <= 8; limit++ {
		var forward, backward []domain.Seq
		for span := (domain.Span{First: true, Limit: limit}); ; {
			page, err := queries.History(t.Context(), "c", span)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range page {
				forward = append(forward, m.Seq)
			}
			if len(page) < limit {
				break
			}
			span = domain.Span{After: page[len(page)-1].Seq, Limit: limit}
		}
		for span := (domain.Span{Limit: limit}); ; {
			page, err := queries.History(t.Context(), "c", span)
			if err != nil {
				t.Fatal(err)
			}
			var seqs []domain.Seq
			for _, m := range page {
				seqs = append(seqs, m.Seq)
			}
			backward = append(seqs, backward...)
			if len(page) < limit {
				break
			}
			span = domain.Span{Before: page[0].Seq, Limit: limit}
		}
		if len(forward) != 7 || len(backward) != 7 {
			t.Fatalf("limit %d: %v and %v", limit, forward, backward)
		}
		for i := range forward {
			if forward[i] != backward[i] || forward[i] != domain.Seq(i+4) {
				t.Errorf("limit %d: %v and %v", limit, forward, backward)
			}
		}
	}
}

// TestCreate_ReservedIDs refuses ids that the core may give to chats itself. A chat that has such an id already goes on.
func TestCreate_ReservedIDs(t *testing.T) {
	chats, log := newChats(t)
	id := domain.ChatID("dm-" + strings.Repeat("0a", 32))
	var invalid *domain.InvalidError
	if _, err := chats.Create(t.Context(), domain.Create{Chat: id, Actor: "ann"}); !errors.As(err, &invalid) || invalid.Field != "chatId" {
		t.Fatalf("%v", err)
	}
	created := domain.ChatUpdate{Chat: id, Actor: "ann", Change: domain.Created, At: clock{}.Now()}
	if _, err := log.Append(t.Context(), ports.Append{Chat: id, Events: []ports.NewEvent{{ID: "e", Event: created, Moves: domain.Moves(created)}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := chats.Send(t.Context(), domain.Send{Chat: id, Actor: "ann", MessageID: "m", Content: "x"}); err != nil {
		t.Error(err)
	}
	queries := app.NewQueries(log, entitiesOf(log), projection.Views{})
	if history, err := queries.History(t.Context(), id, domain.Span{}); err != nil || len(history) != 1 {
		t.Errorf("%+v, %v", history, err)
	}
}
