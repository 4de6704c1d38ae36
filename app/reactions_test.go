package app_test

import (
	"reflect"
	"testing"

	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// sharing is two processes on one log. Appends of the first one call a function before.
type sharing struct {
	t           *testing.T
	log         *stepped
	entities    *entity.Loader // of the first process
	here, there *app.Chats
	queries     *app.Queries // of the first process
}

func newSharing(t *testing.T) *sharing {
	t.Helper()
	w := newWorld(1, 1<<20)
	s := &sharing{t: t, log: &stepped{Log: w.log}, there: w.chats[0]}
	s.entities = entity.NewLoader(s.log, s.log, 1<<20)
	s.here = app.NewChats(s.log, s.entities, silent{}, w.log.Typing(), clock{}, ids{}, nil, app.Policy{}, nil)
	s.queries = app.NewQueries(s.log, s.entities, projection.Views{})
	s.did(s.here.Create(t.Context(), domain.Create{Chat: "c", Actor: "ann", Members: []domain.UserID{"bob"}}))
	s.did(s.here.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", MessageID: "m", Content: "x"}))
	return s
}

func (s *sharing) did(_ any, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func reaction(by domain.UserID, emoji string) domain.React {
	return domain.React{Chat: "c", Actor: by, MessageID: "m", Emoji: emoji}
}

// reactions compares the reactions that the first process gives with those of the log.
func (s *sharing) reactions(when string, want ...domain.ReactionGroup) {
	s.t.Helper()
	if m, err := s.queries.Message(s.t.Context(), "c", "m"); err != nil || !reflect.DeepEqual(m.Reactions, want) {
		s.t.Errorf("%s, the reactions are %+v, error %v; want %+v", when, m.Reactions, err, want)
	}
}

// TestReact_ConcurrentIsNotLost has another process react before each of two attempts of a reaction. The second attempt does not depend on other
// reactions, so that this process does not know all of them afterwards.
func TestReact_ConcurrentIsNotLost(t *testing.T) {
	s := newSharing(t)
	s.did(s.there.React(t.Context(), reaction("bob", "👍")))
	s.did(s.here.Unreact(t.Context(), reaction("ann", "👍"))) // the reactions are in the cache now
	theirs := func(emoji string) func(ports.Append) error {
		return func(ports.Append) error {
			s.did(s.there.React(t.Context(), reaction("bob", emoji)))
			return nil
		}
	}
	s.log.steps = []func(ports.Append) error{theirs("🎉"), theirs("🍅")}
	s.log.appends = 0
	s.did(s.here.React(t.Context(), reaction("ann", "👍")))
	if s.log.appends != 2 {
		t.Fatalf("the reaction took %d appends, want 2", s.log.appends)
	}
	s.reactions("at the end", domain.ReactionGroup{Emoji: "👍", Users: []domain.UserID{"bob", "ann"}},
		domain.ReactionGroup{Emoji: "🎉", Users: []domain.UserID{"bob"}}, domain.ReactionGroup{Emoji: "🍅", Users: []domain.UserID{"bob"}})
}
