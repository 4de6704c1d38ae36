package app_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"chatcore/adapters/memory"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// TestAudit_Selections yields all that was done in a chat, about a message and about a user, in the order of the log.
func TestAudit_Selections(t *testing.T) {
	w := newWorld(1, 1<<20)
	chats, queries, ctx := w.chats[0], w.queries[0], t.Context()
	did := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	did(chats.Create(ctx, domain.Create{Chat: "c", Actor: "ann", Members: []domain.UserID{"bob"}})) // 1, 2
	did(chats.Send(ctx, domain.Send{Chat: "c", Actor: "bob", MessageID: "m", Content: "x"}))        // 3
	did(chats.React(ctx, domain.React{Chat: "c", Actor: "ann", MessageID: "m", Emoji: "👍"}))        // 4
	did(chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "bob", MessageID: "m", Content: "y"}))        // 5
	did(chats.Add(ctx, domain.Add{Chat: "c", Actor: "ann", User: "cem"}))                           // 6
	did(chats.Leave(ctx, domain.Leave{Chat: "c", Actor: "bob"}))                                    // 7
	did(chats.Delete(ctx, domain.Delete{Chat: "c", Actor: "ann", MessageID: "m"}))                  // 8
	did(chats.Create(ctx, domain.Create{Chat: "long", Actor: "ann"}))                               // another chat, of more than a page
	for range ports.MaxPage {
		did(chats.Send(ctx, domain.Send{Chat: "long", Actor: "ann", Content: "x"}))
	}
	list := func(q *app.Queries, chat domain.ChatID, about domain.Audit) (seqs []domain.Seq, err error) {
		for r, err := range q.Audit(ctx, chat, about) {
			if err != nil {
				return seqs, err
			}
			seqs = append(seqs, r.Seq)
		}
		return seqs, nil
	}
	for what, test := range map[string]struct {
		about domain.Audit
		want  []domain.Seq
	}{
		"the chat":     {domain.Audit{}, []domain.Seq{1, 2, 3, 4, 5, 6, 7, 8}},
		"the message":  {domain.Audit{Message: "m"}, []domain.Seq{3, 4, 5, 8}},
		"a member":     {domain.Audit{User: "bob"}, []domain.Seq{2, 3, 5, 7}},
		"a new member": {domain.Audit{User: "cem"}, []domain.Seq{6}},
		"an outsider":  {domain.Audit{User: "eve"}, nil},
	} {
		if got, err := list(queries, "c", test.about); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, error %v, want %v", what, got, err, test.want)
		}
		for _, err := range queries.Audit(ctx, "c", test.about) {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			break // a caller may stop
		}
	}
	if got, err := list(queries.At(5), "c", domain.Audit{Message: "m"}); err != nil || !slices.Equal(got, []domain.Seq{3, 4, 5}) {
		t.Errorf("the message as of seq 5: %v, error %v", got, err)
	}
	if got, err := list(queries, "long", domain.Audit{}); err != nil || len(got) != ports.MaxPage+1 || !slices.IsSorted(got) {
		t.Errorf("%d events of a chat of more than a page, error %v", len(got), err)
	}
	for _, test := range []struct {
		chat  domain.ChatID
		about domain.Audit
		err   error
	}{
		{"none", domain.Audit{}, domain.ErrChatNotFound},
		{"none", domain.Audit{Message: "m"}, domain.ErrChatNotFound},
		{"c", domain.Audit{Message: "none"}, domain.ErrMessageNotFound},
		{"c", domain.Audit{Message: "m", User: "ann"}, domain.ErrInvalid},
		{"none", domain.Audit{After: 1}, domain.ErrChatNotFound},
		{"c", domain.Audit{Message: "none", After: 1}, domain.ErrMessageNotFound},
		{"c", domain.Audit{User: "a b"}, domain.ErrInvalid},
		{"c", domain.Audit{Message: "a b"}, domain.ErrInvalid},
		{"a b", domain.Audit{User: "ann"}, domain.ErrInvalid},
	} {
		if got, err := list(queries, test.chat, test.about); !errors.Is(err, test.err) || len(got) > 0 {
			t.Errorf("%q, %+v: %v, error %v, want %v", test.chat, test.about, got, err, test.err)
		}
	}
}

// readRanges is a log that notes where each read and search begins.
type readRanges struct {
	*memory.Log
	from []domain.Seq
}

func (l *readRanges) Read(ctx context.Context, chat domain.ChatID, r ports.Range) (ports.Page, error) {
	l.from = append(l.from, r.From)
	return l.Log.Read(ctx, chat, r)
}

func (l *readRanges) Search(ctx context.Context, chat domain.ChatID, f ports.Filter, r ports.Range) (ports.Page, error) {
	l.from = append(l.from, r.From)
	return l.Log.Search(ctx, chat, f, r)
}

// TestAudit_Start begins each selection after every seq, and reads no event of the chat or of a user from before.
func TestAudit_Start(t *testing.T) {
	w := newWorld(1, 0)
	log := &readRanges{Log: w.log}
	chats, queries, ctx := w.chats[0], app.NewQueries(log, entity.NewLoader(log, log, 0), projection.Views{}), t.Context()
	did := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	did(chats.Create(ctx, domain.Create{Chat: "c", Actor: "ann", Members: []domain.UserID{"bob"}}))
	did(chats.Send(ctx, domain.Send{Chat: "c", Actor: "bob", MessageID: "m", Content: "x"}))
	did(chats.React(ctx, domain.React{Chat: "c", Actor: "ann", MessageID: "m", Emoji: "👍"}))
	did(chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "bob", MessageID: "m", Content: "y"}))
	for _, about := range []domain.Audit{{}, {User: "bob"}, {User: "ann"}, {User: "eve"}, {Message: "m"}} {
		list := func(about domain.Audit) (seqs []domain.Seq) {
			for r, err := range queries.Audit(ctx, "c", about) {
				if err != nil {
					t.Fatal(err)
				}
				seqs = append(seqs, r.Seq)
			}
			return seqs
		}
		all := list(about)
		for _, after := range []domain.Seq{1, 2, 3, 4, 5, 6, math.MaxUint64} {
			log.from, about.After = nil, after
			got, want := list(about), slices.DeleteFunc(slices.Clone(all), func(s domain.Seq) bool { return s <= after })
			if !slices.Equal(got, want) {
				t.Errorf("%+v: %v, want %v", about, got, want)
			}
			if len(log.from) > 0 && slices.Min(log.from) < min(after, math.MaxUint64-1)+1 {
				t.Errorf("%+v reads from %v", about, log.from)
			}
		}
	}
}
