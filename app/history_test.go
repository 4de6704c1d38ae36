package app_test

import (
	"context"
	"errors"
	"testing"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// replaced is a log whose history can be replaced by another one around a load, as when a server comes back with older data.
type replaced struct {
	*memory.Log
	before, after func() // called once, before or after the next load
}

func (r *replaced) Load(ctx context.Context, c domain.ChatID, wants ...ports.LoadRequest) (ports.Loaded, error) {
	once(&r.before)
	loaded, err := r.Log.Load(ctx, c, wants...)
	once(&r.after)
	return loaded, err
}

func once(f *func()) {
	if call := *f; call != nil {
		*f = nil
		call()
	}
}

// titled is a log with one chat, which has one event.
func titled(t *testing.T, title string) *memory.Log {
	t.Helper()
	log := memory.New(wireformat.New(), clock{}, nil)
	if _, err := chatsOn(log, entity.NewLoader(log, nil, 0)).Create(t.Context(), domain.Create{Chat: "c", Actor: "ann", Title: title}); err != nil {
		t.Fatal(err)
	}
	return log
}

func chatsOn(log app.CommandLog, entities *entity.Loader) *app.Chats {
	typing := memory.New(wireformat.New(), clock{}, nil).Typing()
	return app.NewChats(log, entities, silent{}, typing, clock{}, ids{}, nil, app.Policy{}, nil)
}

// TestInvalidate_WhileLoading replaces the history by one of the same length, and calls Forget, while the chat is loaded. Nothing of the earlier
// history may come into the cache afterwards, and nothing that was taken from the cache before may be combined with the later one.
func TestInvalidate_WhileLoading(t *testing.T) {
	for name, test := range map[string]struct {
		cached bool // the chat is in the cache before
		around func(r *replaced, lose func())
		loads  int // in how many the earlier history may be given
	}{
		"before the answer of a first load": {false, func(r *replaced, lose func()) { r.after = lose }, 1},
		"after the chat came from a cache":  {true, func(r *replaced, lose func()) { r.before = lose }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			earlier, later := titled(t, "earlier"), titled(t, "later")
			log := &replaced{Log: earlier}
			entities := entity.NewLoader(log, nil, 1<<20)
			queries := app.NewQueries(log, entities, projection.Views{})
			title := func() domain.Title {
				chat, err := queries.Chat(t.Context(), "c")
				if err != nil {
					t.Fatal(err)
				}
				return chat.Title
			}
			if test.cached && title() != "earlier" {
				t.Fatal("the chat is another one")
			}
			test.around(log, func() {
				log.Log = later
				entities.Invalidate()
			})
			for range test.loads {
				title()
			}
			if got := title(); got != "later" {
				t.Errorf("the title is %q of the history that was replaced", got)
			}
		})
	}
}

// TestReact_LearnsNoReactions has another process react between two reactions of this one. A reaction is no condition of the next, so this
// process must not take its own as all that happened.
func TestReact_LearnsNoReactions(t *testing.T) {
	w := newWorld(2, 1<<20)
	here, there := w.chats[0], w.chats[1]
	did := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	did(here.Create(t.Context(), domain.Create{Chat: "c", Actor: "ann", Members: []domain.UserID{"bob"}}))
	did(here.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", MessageID: "m", Content: "x"}))
	react := func(by domain.UserID, emoji string) domain.React {
		return domain.React{Chat: "c", Actor: by, MessageID: "m", Emoji: emoji}
	}
	did(there.React(t.Context(), react("bob", "🍅")))
	did(here.Unreact(t.Context(), react("ann", "👍"))) // the reactions are in the cache now
	did(there.React(t.Context(), react("bob", "👍")))
	did(here.React(t.Context(), react("ann", "👍")))
	m, err := w.queries[0].Message(t.Context(), "c", "m")
	if err != nil || len(m.Reactions) != 2 || len(m.Reactions[1].Users) != 2 {
		t.Errorf("the reactions are %+v, error %v; want one of bob and one of both", m.Reactions, err)
	}
}

// losing is a log whose next searches also find a message that the log has lost since.
type losing struct {
	*memory.Log
	lost     ports.Record
	searches int
}

func (a *losing) Search(ctx context.Context, chat domain.ChatID, f ports.Filter, r ports.Range) (ports.Page, error) {
	page, err := a.Log.Search(ctx, chat, f, r)
	if a.searches > 0 {
		a.searches--
		page.Records = append(page.Records, a.lost)
	}
	return page, err
}

// TestHistory_LogThatLosesEvents reads a page while the log loses its last message. Only a message that is missing twice makes the chat corrupt.
func TestHistory_LogThatLosesEvents(t *testing.T) {
	l, ctx := newListing(t), t.Context()
	l.did(l.chats.Create(ctx, domain.Create{Chat: "c", Actor: "ann"}))
	l.did(l.chats.Send(ctx, domain.Send{Chat: "c", Actor: "ann", MessageID: "m", Content: "x"}))
	lost := domain.MessageNew{Chat: "c", Message: "lost", Sender: "ann", Content: "y"}
	log := &losing{Log: l.log, lost: ports.Record{Seq: 3, Event: lost}}
	q := app.NewQueries(log, entity.NewLoader(log, nil, 0), projection.Views{})

	log.searches = 1
	views, err := q.History(ctx, "c", domain.Span{Limit: 10})
	if err != nil || len(views) != 1 || views[0].ID != "m" {
		t.Errorf("history is %+v, error %v", views, err)
	}
	log.searches = 2
	if _, err := q.History(ctx, "c", domain.Span{Limit: 10}); !errors.Is(err, ports.ErrCorrupt) {
		t.Errorf("missing twice: %v", err)
	}
}
