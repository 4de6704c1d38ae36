package app_test

import (
	"errors"
	"reflect"
	"slices"
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

// TestReact_CapsHoldWhateverOthersDo has others change the reactions of a message before each of two attempts of a reaction. The second attempt depends
// on as little as the caps allow. The caps hold although the same user reacts meanwhile, and although the emoji vanishes while others fill its place.
func TestReact_CapsHoldWhateverOthersDo(t *testing.T) {
	for name, test := range map[string]struct {
		caps          app.Caps
		before        []domain.React
		first, second []domain.React // before the first and the second attempt
		undone        []domain.React // of the second step, taken back first
		want          domain.Cap     // that refuses; "" for none
		own, emojis   int            // at the end
		appends       int
	}{
		"the user reacts up to the cap": {
			caps: app.Caps{ReactionsPerUser: 3}, before: []domain.React{reaction("bob", "👍"), reaction("bob", "🎉"), reaction("bob", "🍅"), reaction("bob", "🌵")},
			first: []domain.React{reaction("bob", "🐸")}, second: []domain.React{reaction("ann", "🎉"), reaction("ann", "🍅"), reaction("ann", "🌵")},
			want: domain.CapReactions, own: 3, emojis: 5, appends: 2,
		},
		"the user reacts below the cap": {
			caps: app.Caps{ReactionsPerUser: 3}, before: []domain.React{reaction("bob", "👍"), reaction("bob", "🎉"), reaction("bob", "🍅")},
			first: []domain.React{reaction("bob", "🐸")}, second: []domain.React{reaction("ann", "🎉"), reaction("ann", "🍅")}, own: 3, emojis: 4, appends: 2,
		},
		"the emoji vanishes": {
			caps: app.Caps{EmojisPerMessage: 3}, before: []domain.React{reaction("bob", "👍")}, first: []domain.React{reaction("bob", "🎉")},
			undone: []domain.React{reaction("bob", "👍")}, second: []domain.React{reaction("bob", "🍅"), reaction("bob", "🌵")}, want: domain.CapEmojis, emojis: 3, appends: 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSharing(t)
			s.here = app.NewChats(s.log, s.entities, silent{}, s.log.Typing(), clock{}, ids{}, nil, app.Policy{Caps: test.caps}, nil)
			all := func(reactions []domain.React) {
				for _, r := range reactions {
					s.did(s.there.React(t.Context(), r))
				}
			}
			all(test.before)
			s.did(s.here.Unreact(t.Context(), reaction("ann", "👍"))) // the reactions are in the cache now
			s.log.steps = []func(ports.Append) error{
				func(ports.Append) error { all(test.first); return nil },
				func(ports.Append) error {
					for _, r := range test.undone {
						s.did(s.there.Unreact(t.Context(), r))
					}
					all(test.second)
					return nil
				},
			}
			s.log.appends = 0
			_, err := s.here.React(t.Context(), reaction("ann", "👍"))
			var refused *domain.CapError
			if errors.As(err, &refused); test.want == "" && err != nil || test.want != "" && (refused == nil || refused.Cap != test.want) {
				t.Errorf("the reaction returned %v, want refused by %q", err, test.want)
			}
			if s.log.appends != test.appends {
				t.Errorf("the reaction took %d appends, want %d", s.log.appends, test.appends)
			}
			m, err := s.queries.Message(t.Context(), "c", "m")
			own := 0
			for _, group := range m.Reactions {
				if slices.Contains(group.Users, "ann") {
					own++
				}
			}
			if err != nil || own != test.own || len(m.Reactions) != test.emojis {
				t.Errorf("the user has %d reactions and the message %d emojis, error %v; want %d and %d", own, len(m.Reactions), err, test.own, test.emojis)
			}
		})
	}
}
