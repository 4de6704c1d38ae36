package app_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// countedReader counts the loads of many chats.
type countedReader struct {
	*memory.Log
	loads, chats int
}

func (c *countedReader) LoadChats(ctx context.Context, loads ...ports.ChatLoad) ([]ports.Loaded, error) {
	c.loads++
	c.chats += len(loads)
	return c.Log.LoadChats(ctx, loads...)
}

// TestCheckBlocks_OfMembers has a blocked user make the blocker a member in each way.
func TestCheckBlocks_OfMembers(t *testing.T) {
	reader := &countedReader{Log: memory.New(wireformat.New(), clock{}, nil)}
	chats, queries := openChats(reader.Log, app.Policy{CheckBlocks: true, DirectChats: reader})
	ctx := t.Context()
	for _, block := range []domain.BlockUser{{Actor: "ben", User: "ada"}, {Actor: "ada", User: "cem"}, {Actor: "dan", User: "ada"}, {Actor: "dan", User: "ada", Lift: true}} {
		if _, err := chats.Block(ctx, block); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(what string, err error) {
		t.Helper()
		var restricted *domain.RestrictedError
		if !errors.Is(err, domain.ErrBlocked) || !errors.As(err, &restricted) || restricted.User != "ada" || restricted.Chat != domain.DirectID("ada", "ben") {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Members: []domain.UserID{"cem", "ben"}})
	refused("a group with the one who blocks", err)
	if _, err := queries.Chat(ctx, "c"); !errors.Is(err, domain.ErrChatNotFound) {
		t.Errorf("a refused creation: %v", err)
	}
	if _, err := chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Members: []domain.UserID{"cem", "dan"}}); err != nil {
		t.Errorf("a group with the one who is blocked, and one who blocked before: %v", err)
	}
	_, err = chats.Add(ctx, domain.Add{Chat: "c", Actor: "ada", User: "ben"})
	refused("an addition", err)
	reader.loads, reader.chats = 0, 0
	add := domain.AddMembers{Chat: "c", Actor: "ada", Users: []domain.UserID{"ben", "cem", "eve"}, Command: "add"}
	for range 2 {
		added, err := chats.AddMembers(ctx, add)
		want := []app.AddedMember{{User: "ben", Admission: domain.BlocksActor}, {User: "cem", Admission: domain.AlreadyMember}, {User: "eve", Admission: domain.Admitted}}
		if err != nil || !slices.Equal(added.Users, want) {
			t.Errorf("%+v, error %v, want %+v", added.Users, err, want)
		}
	}
	if reader.loads != 2 || reader.chats != 6 {
		t.Errorf("two calls read %d times, %d chats", reader.loads, reader.chats)
	}
	if _, err := chats.Add(ctx, domain.Add{Chat: "c", Actor: "eve", User: "ben"}); !errors.Is(err, domain.ErrForbidden) {
		t.Errorf("by one whom nobody blocks, and who may not: %v", err)
	}
	if _, err := chats.Backdated(clock{}.Now()).Add(ctx, domain.Add{Chat: "c", Actor: "ada", User: "ben"}); err != nil {
		t.Errorf("an import: %v", err)
	}
	if _, err := chats.Add(ctx, domain.Add{Chat: "c", Actor: "ada", User: "ben"}); err != nil {
		t.Errorf("a member already: %v", err)
	}
	unchecked, _ := openChats(reader.Log, app.Policy{})
	if _, err := unchecked.Create(ctx, domain.Create{Chat: "d", Actor: "ada", Members: []domain.UserID{"ben"}}); err != nil {
		t.Errorf("without the check: %v", err)
	}
}

// TestBlocked compares the users whom each user blocks with a plain model, after random blocks that are delivered in any order, some twice.
func TestBlocked(t *testing.T) {
	users := []domain.UserID{"ada", "ben", "cem", "dan"}
	rapid.Check(t, func(t *rapid.T) {
		log := memory.New(wireformat.New(), clock{}, nil)
		entities := entity.NewLoader(log, log, 1<<20)
		views := projection.Views{Log: log.ID(), Blocks: memory.NewUserView()}
		chats := app.NewChats(log, entities, silent{}, log.Typing(), clock{}, ids{}, nil, app.Policy{}, nil)
		queries := app.NewQueries(log, entities, views)
		blocks := projection.NewUserBlocks(projection.NewModels(log, entities, views))
		model := make(map[[2]domain.UserID]bool)
		var deliveries []ports.Delivery
		seen := make(map[domain.ChatID]domain.Seq)
		for range rapid.IntRange(0, 12).Draw(t, "commands") {
			by, other := rapid.SampledFrom(users).Draw(t, "by"), rapid.SampledFrom(users).Draw(t, "user")
			lift := rapid.Bool().Draw(t, "lift")
			_, err := chats.Block(context.Background(), domain.BlockUser{Actor: by, User: other, Lift: lift})
			switch {
			case by != other && err == nil:
				model[[2]domain.UserID{by, other}] = !lift
			case by != other && lift: // there is no chat, or the other one blocks
			case by != other:
				t.Fatal(err)
			}
			chat := domain.DirectID(by, other)
			page, err := log.Read(context.Background(), chat, ports.Range{From: seen[chat] + 1, Limit: 9})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Records {
				seen[chat] = r.Seq
				deliveries = append(deliveries, ports.Delivery{ID: ports.DeliveryID{Log: log.ID(), Chat: chat, Seq: r.Seq, Event: r.ID}, Event: r.Event})
			}
		}
		for _, d := range append(rapid.Permutation(deliveries).Draw(t, "deliveries"), deliveries...) {
			if err := blocks.Handle(context.Background(), d); err != nil {
				t.Fatal(err)
			}
		}
		for _, user := range users {
			var got, want []string
			list, err := queries.Blocked(context.Background(), user, domain.Page{Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range list.Items {
				got = append(got, fmt.Sprint(b.User, b.Chat == domain.DirectID(user, b.User)))
			}
			for pair, blocks := range model {
				if pair[0] == user && blocks {
					want = append(want, fmt.Sprint(pair[1], true))
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("%s blocks %q, want %q", user, got, want)
			}
		}
	})
}

func TestBlocked_WithoutView(t *testing.T) {
	log := memory.New(wireformat.New(), clock{}, nil)
	_, queries := openChats(log, app.Policy{})
	if _, err := queries.Blocked(t.Context(), "ada", domain.Page{Limit: 1}); !errors.Is(err, projection.ErrNoViews) || !strings.Contains(err.Error(), "WithBlockView") {
		t.Errorf("%v", err)
	}
	if _, err := queries.Blocked(t.Context(), "a b", domain.Page{Limit: 1}); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("an invalid user: %v", err)
	}
}
