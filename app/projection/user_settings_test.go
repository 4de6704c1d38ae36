package projection_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/apptest"
)

// countedView counts the puts.
type countedView struct {
	*memory.UserView
	puts int
}

func (v *countedView) Put(ctx context.Context, log string, puts ...ports.ChatEntries) error {
	v.puts++
	return v.UserView.Put(ctx, log, puts...)
}

// settingsHistory is a chat of ann and bob in a log, whose events the built-in group handles.
type settingsHistory struct {
	t                  *testing.T
	log                *memory.Log
	favourites, hidden *countedView
	builtins           *projection.Builtins
	deliveries         []ports.Delivery
}

func newSettingsHistory(t *testing.T) *settingsHistory {
	t.Helper()
	s := &settingsHistory{t: t, log: memory.New(wireformat.New(), apptest.Clock{}, nil), favourites: &countedView{UserView: memory.NewUserView()}, hidden: &countedView{UserView: memory.NewUserView()}}
	views := projection.Views{Log: s.log.ID(), Chats: memory.NewUserView(), Favourites: s.favourites, Hidden: s.hidden}
	s.builtins = projection.NewBuiltins(projection.NewModels(s.log, entity.NewLoader(s.log, nil, 0), views), nil, false)
	at := time.Now()
	s.append(domain.ChatUpdate{Chat: "c", Actor: "ann", Change: domain.Created, At: at})
	s.append(domain.ChatUpdate{Chat: "c", Actor: "ann", Change: domain.MemberAdded, User: "bob", Role: domain.RoleMember, At: at})
	return s
}

func (s *settingsHistory) append(e domain.Durable) {
	s.t.Helper()
	id := domain.EventID(rune('a' + len(s.deliveries)))
	appended, err := s.log.Append(s.t.Context(), ports.Append{Chat: "c", Events: []ports.NewEvent{{ID: id, Event: e, Moves: domain.Moves(e)}}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.deliveries = append(s.deliveries, ports.Delivery{ID: ports.DeliveryID{Log: s.log.ID(), Chat: "c", Seq: appended.First, Event: id}, Event: e})
}

func (s *settingsHistory) handle(deliveries ...ports.Delivery) {
	s.t.Helper()
	for _, d := range deliveries {
		if err := s.builtins.Handle(s.t.Context(), d); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *settingsHistory) expect(what string, favourites, hidden map[domain.ChatID]uint64) {
	s.t.Helper()
	for _, v := range []struct {
		view *countedView
		want map[domain.ChatID]uint64
	}{{s.favourites, favourites}, {s.hidden, hidden}} {
		if got, err := v.view.Of(s.t.Context(), s.log.ID(), "bob"); err != nil || !maps.Equal(got, v.want) {
			s.t.Errorf("%s: %v, error %v, want %v", what, got, err, v.want)
		}
	}
}

// TestUserSettings keeps favourites and hidden chats with one write for each change of one of them, whatever is repeated and late.
func TestUserSettings(t *testing.T) {
	s, at := newSettingsHistory(t), time.Now()
	type numbers = map[domain.ChatID]uint64
	for _, step := range []struct {
		what                       string
		event                      domain.ChatSettings
		favourites, hidden         numbers
		favouritePuts, hiddenWrite int
	}{
		{"favourite", domain.ChatSettings{Favourite: new(true)}, numbers{"c": 1}, nil, 1, 0},
		{"a level", domain.ChatSettings{Notify: new(domain.NotifyAll)}, numbers{"c": 1}, nil, 0, 0},
		{"hidden until a message", domain.ChatSettings{Hidden: new(domain.HiddenUntilMessage), HiddenSeq: 4}, numbers{"c": 1}, numbers{"c": 4}, 0, 1},
		{"hidden always, no favourite", domain.ChatSettings{Hidden: new(domain.HiddenAlways), Favourite: new(false)}, nil, numbers{"c": ports.HiddenAlways}, 1, 1},
		{"shown", domain.ChatSettings{Hidden: new(domain.Shown)}, nil, nil, 0, 1},
		{"hidden again", domain.ChatSettings{Hidden: new(domain.HiddenUntilMessage), HiddenSeq: 7}, nil, numbers{"c": 7}, 0, 1},
	} {
		step.event.Chat, step.event.User, step.event.At = "c", "bob", at
		s.append(step.event)
		s.favourites.puts, s.hidden.puts = 0, 0
		s.handle(s.deliveries[len(s.deliveries)-1])
		s.expect(step.what, step.favourites, step.hidden)
		if s.favourites.puts != step.favouritePuts || s.hidden.puts != step.hiddenWrite {
			t.Errorf("%s: %d and %d writes, want %d and %d", step.what, s.favourites.puts, s.hidden.puts, step.favouritePuts, step.hiddenWrite)
		}
	}
	s.handle(s.deliveries[2:]...)
	s.expect("all again", nil, numbers{"c": 7})
	s.favourites.UserView, s.hidden.UserView = memory.NewUserView(), memory.NewUserView()
	rebuild := s.deliveries[0]
	rebuild.Epoch = 1
	s.handle(rebuild)
	s.expect("rebuilt", nil, numbers{"c": 7})
	s.handle(s.deliveries[1:]...)
	s.expect("after the rebuild", nil, numbers{"c": 7})
}
