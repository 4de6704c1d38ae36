package app_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
)

// world is use cases on a log: some of them share it, each with a cache of its own.
type world struct {
	log     *memory.Log
	chats   []*app.Chats
	queries []*app.Queries
}

func newWorld(instances int, cache entity.CacheBytes) *world {
	w := &world{log: memory.New(wireformat.New(), clock{}, nil)}
	for range instances {
		entities := entity.NewLoader(w.log, w.log, cache)
		w.chats = append(w.chats, app.NewChats(w.log, entities, silent{}, w.log.Typing(), clock{}, ids{}, nil, app.Policy{}, nil))
		w.queries = append(w.queries, app.NewQueries(w.log, entities, projection.Views{}))
	}
	return w
}

// step is a command, to be given to several worlds.
type step func(ctx context.Context, c *app.Chats) (any, error)

func drawStep(t *rapid.T, n int) step {
	user := func(label string) domain.UserID {
		return rapid.SampledFrom([]domain.UserID{"ann", "bob", "cem"}).Draw(t, label)
	}
	by, about := user("by"), user("about")
	message := domain.MessageID(fmt.Sprint("m", rapid.IntRange(0, 3).Draw(t, "message")))
	replyTo := domain.MessageID(fmt.Sprint("m", rapid.IntRange(0, 3).Draw(t, "reply to")))
	text := fmt.Sprint("text ", n)
	id := domain.CommandID("")
	if rapid.IntRange(0, 3).Draw(t, "with id") == 0 {
		id = domain.CommandID(fmt.Sprint("cmd-", rapid.IntRange(0, 4).Draw(t, "id")))
	}
	done := func(d app.Done, err error) (any, error) { return d, err }
	emoji := rapid.SampledFrom([]string{"👍", "🍅"}).Draw(t, "emoji")
	title := rapid.SampledFrom([]string{"A", "B"}).Draw(t, "title")
	steps := []step{
		func(ctx context.Context, c *app.Chats) (any, error) {
			return c.Send(ctx, domain.Send{Chat: "c", Actor: by, MessageID: message, Content: text})
		},
		func(ctx context.Context, c *app.Chats) (any, error) {
			return c.Send(ctx, domain.Send{Chat: "c", Actor: by, MessageID: message, Content: text, ReplyTo: replyTo, Mentions: []domain.UserID{about}})
		},
		func(ctx context.Context, c *app.Chats) (any, error) {
			return done(c.Edit(ctx, domain.Edit{Chat: "c", Actor: by, MessageID: message, Content: text, Mentions: []domain.UserID{about}, Command: id}))
		},
		func(ctx context.Context, c *app.Chats) (any, error) {
			return done(c.Edit(ctx, domain.Edit{Chat: "c", Actor: by, MessageID: message, Content: "edited", Command: id}))
		},
		func(ctx context.Context, c *app.Chats) (any, error) {
			return done(c.Delete(ctx, domain.Delete{Chat: "c", Actor: by, MessageID: message, Command: id}))
		},
		func(ctx context.Context, c *app.Chats) (any, error) {
			return done(c.Unreact(ctx, domain.React{Chat: "c", Actor: by, MessageID: message, Emoji: emoji, Command: id}))
		},
		func(ctx context.Context, c *app.Chats) (any, error) {
			return done(c.Add(ctx, domain.Add{Chat: "c", Actor: by, User: about, Command: id}))
		},
		func(ctx context.Context, c *app.Chats) (any, error) {
			return done(c.Remove(ctx, domain.Remove{Chat: "c", Actor: by, User: about, Command: id}))
		},
		func(ctx context.Context, c *app.Chats) (any, error) {
			return done(c.Promote(ctx, domain.Promote{Chat: "c", Actor: by, User: about, Role: domain.RoleOwner, Command: id}))
		},
		func(ctx context.Context, c *app.Chats) (any, error) {
			return done(c.Rename(ctx, domain.Rename{Chat: "c", Actor: by, Title: title, Command: id}))
		},
		func(ctx context.Context, c *app.Chats) (any, error) {
			return done(c.Archive(ctx, domain.Archive{Chat: "c", Actor: by, Command: id}))
		},
		func(ctx context.Context, c *app.Chats) (any, error) {
			return done(c.Unarchive(ctx, domain.Unarchive{Chat: "c", Actor: by, Command: id}))
		},
	}
	return steps[rapid.IntRange(0, len(steps)-1).Draw(t, "step")]
}

// TestCachesChangeNoOutcome gives random commands to two processes with caches of their own over one log, and to one without a cache over
// another: they must say the same. (A reaction that is there already may be recorded twice by a stale cache, and folds away; so reactions
// are only taken back here.)
func TestCachesChangeNoOutcome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plain, cached := newWorld(1, 0), newWorld(2, entity.CacheBytes(rapid.SampledFrom([]int{1 << 20, 64 << 10}).Draw(t, "cache")))
		create := domain.Create{Chat: "c", Actor: "ann", Members: []domain.UserID{"bob"}}
		for _, w := range []*world{plain, cached} {
			if _, err := w.chats[0].Create(t.Context(), create); err != nil {
				t.Fatal(err)
			}
		}
		for n := range rapid.IntRange(1, 30).Draw(t, "steps") {
			do := drawStep(t, n)
			want, wantErr := do(t.Context(), plain.chats[0])
			got, err := do(t.Context(), cached.chats[rapid.IntRange(0, 1).Draw(t, "process")])
			if fmt.Sprint(wantErr) != fmt.Sprint(err) || !reflect.DeepEqual(want, got) {
				t.Fatalf("step %d gave %+v, %v; without a cache %+v, %v", n, got, err, want, wantErr)
			}
		}
		for _, q := range cached.queries {
			if got, want := answers(t, q), answers(t, plain.queries[0]); !reflect.DeepEqual(got, want) {
				t.Fatalf("the queries say\n%+v\nwithout a cache\n%+v", got, want)
			}
		}
	})
}

// answers are the results of queries of the chat, without times.
func answers(t *rapid.T, q *app.Queries) []any {
	chat, err := q.Chat(t.Context(), "c")
	members, err2 := q.Members(t.Context(), "c")
	history, err3 := q.History(t.Context(), "c", domain.Span{Limit: 100})
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	all := []any{chat.Title, chat.Archived, len(chat.Owners), len(history)}
	for _, m := range members {
		unread, err := q.Unread(t.Context(), "c", m.User)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m.User, m.Role, m.Since, unread)
	}
	for _, m := range history {
		all = append(all, m.ID, m.Seq, m.Sender, m.Content, m.Revision, m.Deleted(), m.DeletedBy, m.Reactions)
	}
	return all
}

// TestQueriesAsOfASeq asks after every command, and later again as of the seq that was then the last.
func TestQueriesAsOfASeq(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(1, 1<<20)
		if _, err := w.chats[0].Create(t.Context(), domain.Create{Chat: "c", Actor: "ann", Members: []domain.UserID{"bob"}}); err != nil {
			t.Fatal(err)
		}
		then := map[domain.Seq][]any{}
		for n := range rapid.IntRange(1, 25).Draw(t, "steps") {
			_, _ = drawStep(t, n)(t.Context(), w.chats[0])
			_, _ = w.chats[0].React(t.Context(), domain.React{Chat: "c", Actor: "ann", MessageID: "m0", Emoji: "👍"})
			loaded, err := w.log.Load(t.Context(), "c")
			if err != nil {
				t.Fatal(err)
			}
			then[loaded.Head] = answers(t, w.queries[0])
		}
		for seq, want := range then {
			if got := answers(t, w.queries[0].At(seq)); !reflect.DeepEqual(got, want) {
				t.Fatalf("as of %d the queries say\n%+v\nthen they said\n%+v", seq, got, want)
			}
		}
	})
}

func TestAudit(t *testing.T) {
	w := newWorld(1, 1<<20)
	ctx, chats, queries := t.Context(), w.chats[0], w.queries[0]
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(chats.Create(ctx, domain.Create{Chat: "c", Actor: "ann", Members: []domain.UserID{"bob"}}))
	must(chats.Send(ctx, domain.Send{Chat: "c", Actor: "bob", MessageID: "m", Content: "first"}))
	must(chats.Send(ctx, domain.Send{Chat: "c", Actor: "ann", MessageID: "other", Content: "x"}))
	must(chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "bob", MessageID: "m", Content: "second"}))
	must(chats.React(ctx, domain.React{Chat: "c", Actor: "ann", MessageID: "m", Emoji: "👍"}))
	must(chats.Delete(ctx, domain.Delete{Chat: "c", Actor: "ann", MessageID: "m"}))
	must(chats.Remove(ctx, domain.Remove{Chat: "c", Actor: "ann", User: "bob"}))
	seqs := func(about domain.Audit) (seqs []domain.Seq) {
		t.Helper()
		for r, err := range queries.Audit(ctx, "c", about) {
			if err != nil {
				t.Fatal(err)
			}
			seqs = append(seqs, r.Seq)
		}
		return seqs
	}
	for _, test := range []struct {
		about domain.Audit
		want  []domain.Seq
	}{
		{domain.Audit{}, []domain.Seq{1, 2, 3, 4, 5, 6, 7, 8}},
		{domain.Audit{Message: "m"}, []domain.Seq{3, 5, 6, 7}},
		{domain.Audit{User: "bob"}, []domain.Seq{2, 3, 5, 8}}, // was added, sent, edited, was removed
		{domain.Audit{User: "nobody"}, nil},
	} {
		if got := seqs(test.about); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%+v: %v, want %v", test.about, got, test.want)
		}
	}
	for about, reason := range map[domain.Audit]error{
		{Message: "absent"}:           domain.ErrMessageNotFound,
		{Message: "m", User: "bob"}:   domain.ErrInvalid,
		{User: "a user with a space"}: domain.ErrInvalid,
	} {
		for _, err := range queries.Audit(ctx, "c", about) {
			if !errors.Is(err, reason) {
				t.Errorf("%+v: %v, want %v", about, err, reason)
			}
		}
	}
	for _, err := range queries.Audit(ctx, "absent", domain.Audit{}) {
		if !errors.Is(err, domain.ErrChatNotFound) {
			t.Errorf("no chat: %v", err)
		}
	}
}
