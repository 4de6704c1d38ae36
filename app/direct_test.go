package app_test

import (
	"context"
	"errors"
	"strings"
	"sync"
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

// openChats are the commands and queries of one process on a log.
func openChats(log *memory.Log, policy app.Policy) (*app.Chats, *app.Queries) {
	entities := entity.NewLoader(log, log, 1<<20)
	return app.NewChats(log, entities, silent{}, log.Typing(), clock{}, ids{}, nil, policy, nil),
		app.NewQueries(log, entities, projection.Views{}).WithDirectIDs(policy.DirectIDs)
}

// TestOpenDirect_ManyAtOnce opens one chat from four processes, by both users, 16 times at once: there is one chat with two events.
func TestOpenDirect_ManyAtOnce(t *testing.T) {
	log := memory.New(wireformat.New(), clock{}, nil)
	var opened sync.Map
	var running sync.WaitGroup
	created := make(chan struct{}, 16)
	for range 4 {
		chats, _ := openChats(log, app.Policy{})
		for i := range 4 {
			running.Go(func() {
				cmd := domain.OpenDirect{Actor: "ada", With: "ben"}
				if i%2 == 1 {
					cmd = domain.OpenDirect{Actor: "ben", With: "ada"}
				}
				o, err := chats.OpenDirect(t.Context(), cmd)
				if err != nil {
					t.Error(err)
				}
				if o.Created {
					created <- struct{}{}
				}
				opened.Store(o.Chat, true)
			})
		}
	}
	running.Wait()
	n := 0
	opened.Range(func(any, any) bool { n++; return true })
	page, err := log.Read(t.Context(), domain.DirectID("ada", "ben"), ports.Range{Limit: 10})
	if n != 1 || len(created) != 1 || err != nil || page.Head != 2 {
		t.Errorf("%d chats, created %d times, %d events, error %v", n, len(created), page.Head, err)
	}
}

func TestOpenDirect(t *testing.T) {
	log := memory.New(wireformat.New(), clock{}, nil)
	chats, queries := openChats(log, app.Policy{})
	first, err := chats.OpenDirect(t.Context(), domain.OpenDirect{Actor: "ada", With: "ben"})
	if err != nil || !first.Created || first.Seq != 2 {
		t.Fatalf("%+v, error %v", first, err)
	}
	again, err := chats.As("ben").OpenDirect(t.Context(), domain.OpenDirect{With: "ada"})
	if want := (app.OpenedDirect{Chat: first.Chat}); err != nil || again != want {
		t.Errorf("%+v, error %v, want %+v", again, err, want)
	}
	chat, err := queries.Direct(t.Context(), "ben", "ada")
	if err != nil || chat.ID != first.Chat || chat.Kind != domain.Direct || chat.Peer("ben") != "ada" {
		t.Errorf("%+v, error %v", chat, err)
	}
	if _, err := queries.Direct(t.Context(), "ben", "cem"); !errors.Is(err, domain.ErrChatNotFound) {
		t.Errorf("no direct chat: %v", err)
	}
	if _, err := chats.Create(t.Context(), domain.Create{Chat: domain.DirectID("ada", "cem"), Actor: "eve"}); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("someone else creates a direct chat: %v", err)
	}
	if _, err := chats.OpenDirect(t.Context(), domain.OpenDirect{Actor: "ada", With: "b c"}); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("an invalid user: %v", err)
	}
	notes, err := chats.OpenDirect(t.Context(), domain.OpenDirect{Actor: "ada", With: "ada"})
	if err != nil || notes.Seq != 1 {
		t.Errorf("notes: %+v, error %v", notes, err)
	}
	if _, err := chats.Send(t.Context(), domain.Send{Chat: notes.Chat, Actor: "ada", MessageID: "m", Content: "x"}); err != nil {
		t.Error(err)
	}
}

// TestBlock_SendInFlight blocks a user whose process has cached that nothing is blocked: the next send and the next edit of an older message are refused.
func TestBlock_SendInFlight(t *testing.T) {
	log := memory.New(wireformat.New(), clock{}, nil)
	ada, _ := openChats(log, app.Policy{})
	ben, _ := openChats(log, app.Policy{})
	opened, err := ben.OpenDirect(t.Context(), domain.OpenDirect{Actor: "ben", With: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ben.Send(t.Context(), domain.Send{Chat: opened.Chat, Actor: "ben", MessageID: "m", Content: "x"}); err != nil {
		t.Fatal(err)
	}
	done, err := ada.Block(t.Context(), domain.BlockUser{Actor: "ada", User: "ben", Command: "block"})
	if err != nil || !done.Changed {
		t.Fatalf("%+v, error %v", done, err)
	}
	if again, err := ada.Block(t.Context(), domain.BlockUser{Actor: "ada", User: "ben", Command: "block"}); err != nil || again.Seq != done.Seq || !again.Duplicate {
		t.Errorf("the same command again: %+v, error %v", again, err)
	}
	var restricted *domain.RestrictedError
	if _, err := ben.Send(t.Context(), domain.Send{Chat: opened.Chat, Actor: "ben", MessageID: "m2", Content: "x"}); !errors.Is(err, domain.ErrBlocked) || !errors.As(err, &restricted) {
		t.Errorf("a send: %v", err)
	}
	if _, err := ben.Edit(t.Context(), domain.Edit{Chat: opened.Chat, Actor: "ben", MessageID: "m", Content: "y"}); !errors.Is(err, domain.ErrBlocked) {
		t.Errorf("an edit: %v", err)
	}
	if sent, err := ben.Send(t.Context(), domain.Send{Chat: opened.Chat, Actor: "ben", MessageID: "m", Content: "x"}); err != nil || !sent.Duplicate {
		t.Errorf("a repetition: %+v, error %v", sent, err)
	}
	if _, err := ada.Block(t.Context(), domain.BlockUser{Actor: "ada", User: "ben", Lift: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := ben.Send(t.Context(), domain.Send{Chat: opened.Chat, Actor: "ben", MessageID: "m2", Content: "x"}); err != nil {
		t.Errorf("after the block was lifted: %v", err)
	}
	if done, err := ada.Block(t.Context(), domain.BlockUser{Actor: "ada", User: "eve"}); err != nil || done.Seq != 3 {
		t.Errorf("a block before there is a chat: %+v, error %v", done, err)
	}
}

func TestDirectIDs(t *testing.T) {
	named := func(a, b domain.UserID) domain.ChatID {
		return "direct/" + domain.ChatID(min(a, b)) + "/" + domain.ChatID(max(a, b))
	}
	for name, ids := range map[string]app.DirectIDs{
		"depend on the order": func(a, b domain.UserID) domain.ChatID { return domain.ChatID(a + "/" + b) },
		"have no length":      func(a, b domain.UserID) domain.ChatID { return domain.ChatID(min(a, b) + max(a, b)) },
		"are not valid":       func(domain.UserID, domain.UserID) domain.ChatID { return "" },
		"are one":             func(domain.UserID, domain.UserID) domain.ChatID { return "x" },
	} {
		if err := ids.Check(); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("ids that %s: %v", name, err)
		}
	}
	if err := app.DirectIDs(named).Check(); err != nil {
		t.Error(err)
	}
	chats, queries := openChats(memory.New(wireformat.New(), clock{}, nil), app.Policy{DirectIDs: named})
	if opened, err := chats.OpenDirect(t.Context(), domain.OpenDirect{Actor: "ben", With: "ada"}); err != nil || opened.Chat != "direct/ada/ben" {
		t.Errorf("%+v, error %v", opened, err)
	}
	if _, err := queries.Direct(t.Context(), "ada", "ben"); err != nil {
		t.Error(err)
	}
}

// TestJoin_Gate asks the gate about joins and direct chats: not about a private chat, and not about a chat that is open.
func TestJoin_Gate(t *testing.T) {
	log := memory.New(wireformat.New(), clock{}, nil)
	var asked []string
	chats, _ := openChats(log, app.Policy{Gate: func(_ context.Context, q app.GateQuestion) error {
		asked = append(asked, string(q.Kind)+" "+string(q.Actor))
		if q.Actor == "eve" {
			return app.Refuse("no")
		}
		return nil
	}})
	for _, chat := range []domain.ChatID{"public", "private"} {
		if _, err := chats.Create(t.Context(), domain.Create{Chat: chat, Actor: "own"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := chats.SetPolicy(t.Context(), domain.SetPolicy{Chat: "public", Actor: "own", Policy: domain.PolicyChange{Visibility: domain.Public}}); err != nil {
		t.Fatal(err)
	}
	asked = nil
	for i, step := range []struct {
		by   domain.UserID
		chat domain.ChatID
		err  error
	}{{"ann", "public", nil}, {"ann", "public", nil}, {"ann", "private", domain.ErrForbidden}, {"eve", "private", domain.ErrForbidden}, {"eve", "public", domain.ErrRefused}, {"ann", "none", domain.ErrChatNotFound}} {
		if _, err := chats.Join(t.Context(), domain.Join{Chat: step.chat, Actor: step.by}); !errors.Is(err, step.err) {
			t.Errorf("step %d: %v, want %v", i, err, step.err)
		}
	}
	for _, by := range []domain.UserID{"ann", "bob"} {
		if _, err := chats.OpenDirect(t.Context(), domain.OpenDirect{Actor: by, With: "ann"}); err != nil {
			t.Error(err)
		}
		if _, err := chats.OpenDirect(t.Context(), domain.OpenDirect{Actor: by, With: "ann"}); err != nil {
			t.Error(err)
		}
	}
	if _, err := chats.OpenDirect(t.Context(), domain.OpenDirect{Actor: "eve", With: "ann"}); !errors.Is(err, domain.ErrRefused) {
		t.Errorf("a direct chat that the gate refuses: %v", err)
	}
	if got, want := strings.Join(asked, ", "), "join ann, join ann, join eve, direct ann, direct bob, direct eve"; got != want {
		t.Errorf("it was asked about %s, want %s", got, want)
	}
}

// TestJoin_BanAtOnce bans and admits a user at the same time, from two processes: the user is never a member who is banned.
func TestJoin_BanAtOnce(t *testing.T) {
	const rounds = 300
	log := memory.New(wireformat.New(), clock{}, nil)
	one, queries := openChats(log, app.Policy{})
	two, _ := openChats(log, app.Policy{})
	if _, err := one.Create(t.Context(), domain.Create{Chat: "c", Actor: "own"}); err != nil {
		t.Fatal(err)
	}
	if _, err := one.SetPolicy(t.Context(), domain.SetPolicy{Chat: "c", Actor: "own", Policy: domain.PolicyChange{Visibility: domain.Public}}); err != nil {
		t.Fatal(err)
	}
	for i := range rounds {
		user := domain.UserID("u" + strings.Repeat("x", i%100) + string(rune('a'+i/100)))
		var running sync.WaitGroup
		running.Go(func() {
			if _, err := one.Restrict(t.Context(), domain.Restrict{Chat: "c", Actor: "own", User: user, Kind: domain.Ban}); err != nil {
				t.Error(err)
			}
		})
		running.Go(func() {
			if _, err := two.Join(t.Context(), domain.Join{Chat: "c", Actor: user}); err != nil && !errors.Is(err, domain.ErrBanned) {
				t.Error(err)
			}
		})
		running.Wait()
		if m, err := queries.Member(t.Context(), "c", user); !errors.Is(err, domain.ErrNotMember) {
			t.Fatalf("round %d: %+v, error %v", i, m, err)
		}
	}
}

func TestRestrictions(t *testing.T) {
	log := memory.New(wireformat.New(), clock{}, nil)
	chats, queries := openChats(log, app.Policy{})
	if _, err := chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "own", Members: []domain.UserID{"ann", "bob", "cem", "dan"}}); err != nil {
		t.Fatal(err)
	}
	restrict := func(user domain.UserID, kind domain.RestrictionKind, lift bool) {
		t.Helper()
		cmd := domain.Restrict{Chat: "c", Actor: "own", User: user, Kind: kind, Lift: lift, Reason: "r-" + string(user)}
		if !lift && user == "dan" {
			cmd.Until = time.Now().Add(time.Hour)
		}
		if _, err := chats.Restrict(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
	}
	restrict("ann", domain.Mute, false)
	restrict("bob", domain.Mute, false)
	restrict("bob", domain.Ban, false)
	restrict("bob", domain.Mute, true)
	restrict("cem", domain.Ban, false)
	restrict("cem", domain.Ban, true)
	restrict("dan", domain.Mute, false)
	restrict("cem", domain.Ban, false)
	want := "cem ban r-cem, dan mute r-dan, bob ban r-bob, ann mute r-ann"
	for limit := 1; limit < 6; limit++ {
		var all []string
		for cursor, first := "", true; first || cursor != ""; first = false {
			page, err := queries.Restrictions(t.Context(), "c", domain.Page{Limit: limit, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Items {
				if r.By != "own" || r.Until.IsZero() == (r.User == "dan") {
					t.Errorf("%+v", r)
				}
				all = append(all, string(r.User)+" "+r.Kind.String()+" "+string(r.Reason))
			}
			cursor = page.Next
		}
		if got := strings.Join(all, ", "); got != want {
			t.Errorf("by %d: %s, want %s", limit, got, want)
		}
	}
	if _, err := queries.Restrictions(t.Context(), "none", domain.Page{}); !errors.Is(err, domain.ErrChatNotFound) {
		t.Errorf("no such chat: %v", err)
	}
	for _, cursor := range []string{"x", "0", "-1"} {
		if _, err := queries.Restrictions(t.Context(), "c", domain.Page{Cursor: cursor}); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("the cursor %q: %v", cursor, err)
		}
	}
}

func TestAddMembers(t *testing.T) {
	log := memory.New(wireformat.New(), clock{}, nil)
	chats, queries := openChats(log, app.Policy{Caps: app.Caps{MembersPerCommand: 4}})
	if _, err := chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "own", Members: []domain.UserID{"ann"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := chats.Restrict(t.Context(), domain.Restrict{Chat: "c", Actor: "own", User: "eve", Kind: domain.Ban}); err != nil {
		t.Fatal(err)
	}
	text := func(added app.AddedMembers, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, u := range added.Users {
			b.WriteString(string(u.User) + " " + u.Admission.String() + " ")
		}
		return b.String()
	}
	cmd := domain.AddMembers{Chat: "c", Actor: "own", Users: []domain.UserID{"bob", "ann", "eve", "cem", "bob"}, Command: "add"}
	want := "bob added ann member eve banned cem added "
	if got := text(chats.AddMembers(t.Context(), cmd)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if again, err := chats.AddMembers(t.Context(), cmd); text(again, err) != want || !again.Duplicate || again.Seq != 5 {
		t.Errorf("the same command again: %+v, want %s", again, want)
	}
	if got, want := text(chats.AddMembers(t.Context(), domain.AddMembers{Chat: "c", Actor: "own", Users: []domain.UserID{"bob"}})), "bob member "; got != want {
		t.Errorf("a member: %s, want %s", got, want)
	}
	members, err := queries.Members(t.Context(), "c")
	if err != nil || len(members) != 4 {
		t.Errorf("%d members, error %v", len(members), err)
	}
	if _, err := chats.AddMembers(t.Context(), domain.AddMembers{Chat: "c", Actor: "own"}); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("nobody: %v", err)
	}
	five := []domain.UserID{"1", "2", "3", "4", "5"}
	if _, err := chats.AddMembers(t.Context(), domain.AddMembers{Chat: "c", Actor: "own", Users: five}); !errors.Is(err, domain.ErrCapReached) {
		t.Errorf("too many: %v", err)
	}
}

// TestOpenDirect_AfterDeletion deletes a direct chat in which one blocks the other, and opens it again: it goes on above the old head, without members before, and the
// block still holds. A repetition of the deletion leaves the new messages alone.
func TestOpenDirect_AfterDeletion(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		log := open()
		chats := process(log, clock{})
		ctx := t.Context()
		if _, err := chats.Block(ctx, domain.BlockUser{Actor: "ben", User: "ada"}); err != nil {
			t.Fatal(err)
		}
		chat := domain.DirectID("ada", "ben")
		remove := domain.DeleteChat{Chat: chat, Actor: "service", Command: "delete", Trusted: true}
		if _, err := chats.DeleteChat(ctx, remove, nil); err != nil {
			t.Fatal(err)
		}
		last := headOf(ctx, t, log, chat)
		opened, err := process(open(), clock{}).OpenDirect(ctx, domain.OpenDirect{Actor: "ada", With: "ben"})
		if err != nil || opened.Chat != chat || !opened.Created || opened.Seq != last+3 {
			t.Fatalf("%+v, error %v, after seq %d", opened, err, last)
		}
		if _, err := chats.Send(ctx, domain.Send{Chat: chat, Actor: "ada", MessageID: "m", Content: "x"}); !errors.Is(err, domain.ErrBlocked) {
			t.Errorf("the blocked one sends: %v", err)
		}
		if _, err := chats.Block(ctx, domain.BlockUser{Actor: "ben", User: "ada", Lift: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := chats.Send(ctx, domain.Send{Chat: chat, Actor: "ada", MessageID: "m", Content: "x"}); err != nil {
			t.Fatal(err)
		}
		if again, err := chats.DeleteChat(ctx, remove, nil); err != nil || !again.Duplicate || again.Messages != 0 || again.Members != 0 {
			t.Errorf("the deletion again: %+v, error %v", again, err)
		}
	})
}
