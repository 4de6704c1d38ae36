package app_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// departures are the commands about users of a listing, and what they reported.
type departures struct {
	*listing
	users    *app.Users
	reported map[domain.ChatID]app.DepartedChat
}

func newDepartures(t *testing.T) *departures {
	t.Helper()
	l := newListing(t)
	return &departures{l, app.NewUsers(l.chats, l.cached, nil), make(map[domain.ChatID]app.DepartedChat)}
}

func (d *departures) report(c app.DepartedChat) error {
	if _, twice := d.reported[c.Chat]; twice {
		d.t.Errorf("%s was reported twice", c.Chat)
	}
	d.reported[c.Chat] = c
	return nil
}

// changes counts the events of a chat by their change.
func (d *departures) changes(chat domain.ChatID) map[domain.Change]int {
	d.t.Helper()
	page, err := d.log.Read(d.t.Context(), chat, ports.Range{From: 1, Limit: ports.MaxPage})
	d.did(nil, err)
	found := make(map[domain.Change]int)
	for _, r := range page.Records {
		if e, ok := r.Event.(domain.ChatUpdate); ok {
			found[e.Change]++
		}
	}
	return found
}

// prepare puts a user into a chat of every kind, and returns the ids of the chats.
func (d *departures) prepare() []domain.ChatID {
	d.t.Helper()
	ctx := d.t.Context()
	create := func(chat domain.ChatID, by domain.UserID, members ...domain.UserID) {
		d.did(d.chats.Create(ctx, domain.Create{Chat: chat, Actor: by, Members: members}))
	}
	promote := func(chat domain.ChatID, user domain.UserID, role domain.Role) {
		d.did(d.chats.Promote(ctx, domain.Promote{Chat: chat, Actor: "ann", User: user, Role: role}))
	}
	create("member", "bob", "ann")
	create("owners", "ann", "bob")
	promote("owners", "bob", domain.RoleOwner)
	create("admins", "ann", "bob", "cem", "dan")
	promote("admins", "dan", domain.RoleAdmin)
	promote("admins", "cem", domain.RoleAdmin)
	create("members", "ann", "dan", "cem")
	create("alone", "ann", "eve")
	d.did(d.chats.Remove(ctx, domain.Remove{Chat: "alone", Actor: "ann", User: "eve"}))
	create("archived", "ann", "bob")
	d.did(d.chats.Archive(ctx, domain.Archive{Chat: "archived", Actor: "ann"}))
	opened, err := d.chats.OpenDirect(ctx, domain.OpenDirect{Actor: "bob", With: "ann"})
	d.did(opened, err)
	chats := []domain.ChatID{"member", "owners", "admins", "members", "alone", "archived", opened.Chat}
	d.deliver(chats...)
	return chats
}

func TestUsers_Depart(t *testing.T) {
	d := newDepartures(t)
	chats := d.prepare()
	done, err := d.users.Depart(t.Context(), app.DepartUser{User: "ann"}, func(c app.DepartedChat) error {
		d.deliver(c.Chat)
		return d.report(c)
	})
	if want := (app.UserDeparture{Left: 7, Succeeded: 3, Closed: 1}); err != nil || done != want {
		t.Errorf("%+v, error %v, want %+v", done, err, want)
	}
	for chat, want := range map[domain.ChatID]app.DepartedChat{
		"member": {}, "owners": {}, chats[6]: {}, "alone": {Closed: true},
		"admins": {Successor: "cem"}, "members": {Successor: "dan"}, "archived": {Successor: "bob"}, // who joined first
	} {
		want.Chat = chat
		if d.reported[chat] != want {
			t.Errorf("%+v, want %+v", d.reported[chat], want)
		}
		c, err := d.plain.Chat(t.Context(), chat)
		d.did(nil, err)
		if _, owner := c.Owners[want.Successor]; want.Successor != "" && !owner || want.Closed && (!c.Archived || len(c.Owners) > 0) {
			t.Errorf("%+v", c)
		}
		if _, err := d.plain.Member(t.Context(), chat, "ann"); !errors.Is(err, domain.ErrNotMember) {
			t.Errorf("%s: %v", chat, err)
		}
	}
	if left, err := d.plain.ChatsOf(t.Context(), "ann"); err != nil || len(left) > 0 {
		t.Errorf("still in %q, error %v", left, err)
	}
	// The other participant of the direct chat reads on, and does not reach the departed one.
	if _, err := d.chats.Send(t.Context(), domain.Send{Chat: chats[6], Actor: "bob", MessageID: "m", Content: "x"}); !errors.Is(err, domain.ErrPeerGone) {
		t.Errorf("a send to the departed one: %v", err)
	}
	if span, err := d.plain.Chat(t.Context(), chats[6]); err != nil || span.Peer("bob") != "ann" {
		t.Errorf("the direct chat of the departed one: %+v, error %v", span, err)
	}
	if opened, err := d.chats.OpenDirect(t.Context(), domain.OpenDirect{Actor: "ann", With: "ann"}); err != nil || !opened.Created {
		t.Errorf("other chats of a user who comes back: %+v, error %v", opened, err)
	}
	if again, err := d.users.Depart(t.Context(), app.DepartUser{User: "ann"}, d.report); err != nil || again != (app.UserDeparture{}) {
		t.Errorf("again: %+v, error %v", again, err)
	}
}

// TestUsers_DepartInterrupted ends a departure after each number of chats, and gives it again with a read model that is behind: no chat is left twice.
func TestUsers_DepartInterrupted(t *testing.T) {
	interrupted := errors.New("interrupted")
	for after := range 7 {
		d := newDepartures(t)
		chats := d.prepare()
		n := 0
		_, err := d.users.Depart(t.Context(), app.DepartUser{User: "ann"}, func(c app.DepartedChat) error {
			if n++; n > after {
				return interrupted
			}
			return d.report(c)
		})
		if !errors.Is(err, interrupted) {
			t.Fatal(err)
		}
		clear(d.reported)
		if _, err := d.users.Depart(t.Context(), app.DepartUser{User: "ann"}, d.report); err != nil || len(d.reported) != 6-after {
			t.Errorf("after %d chats: %d more, error %v", after, len(d.reported), err)
		}
		for _, chat := range chats {
			was := map[domain.ChatID]int{"alone": 1}[chat] // eve was removed
			if got := d.changes(chat); got[domain.MemberRemoved] != was+1 || got[domain.Archived] > 1 {
				t.Errorf("%s: %v", chat, got)
			}
		}
	}
}

// TestUsers_DepartSuccessors names successors.
func TestUsers_DepartSuccessors(t *testing.T) {
	d := newDepartures(t)
	d.prepare()
	cmd := app.DepartUser{User: "ann", Successors: map[domain.ChatID]domain.UserID{"admins": "bob", "members": "eve", "owners": "eve", "alone": "eve"}}
	done, err := d.users.Depart(t.Context(), cmd, d.report)
	if want := (app.UserDeparture{Left: 5, Succeeded: 2, Failed: 2}); err != nil || done != want {
		t.Errorf("%+v, error %v, want %+v", done, err, want)
	}
	if got := d.reported["admins"].Successor; got != "bob" {
		t.Errorf("the successor is %q", got)
	}
	for _, chat := range []domain.ChatID{"members", "alone"} {
		if err := d.reported[chat].Err; !errors.Is(err, domain.ErrNotMember) {
			t.Errorf("a successor that is no member of %s: %v", chat, err)
		}
	}
	if _, err := d.users.Depart(t.Context(), app.DepartUser{User: "a b"}, nil); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("an invalid user: %v", err)
	}
}

// TestUsers_DepartMeanwhile has a last owner depart while the members leave, and others are added: a chat with members has an owner, and one without is archived.
func TestUsers_DepartMeanwhile(t *testing.T) {
	for i := range 50 {
		d := newDepartures(t)
		chat := domain.ChatID(fmt.Sprint("c", i))
		d.did(d.chats.Create(t.Context(), domain.Create{Chat: chat, Actor: "ann", Members: []domain.UserID{"bob", "cem"}}))
		d.did(d.chats.SetPolicy(t.Context(), domain.SetPolicy{Chat: chat, Actor: "ann", Policy: domain.PolicyChange{Visibility: domain.Public}}))
		d.deliver(chat)
		others, _ := openChats(d.log, app.Policy{})
		var running sync.WaitGroup
		for _, user := range []domain.UserID{"bob", "cem"} {
			running.Go(func() {
				if _, err := others.Leave(t.Context(), domain.Leave{Chat: chat, Actor: user}); err != nil && !errors.Is(err, domain.ErrLastOwner) {
					t.Error(err)
				}
			})
		}
		running.Go(func() {
			if _, err := others.Join(t.Context(), domain.Join{Chat: chat, Actor: "dan"}); err != nil && !errors.Is(err, domain.ErrArchived) {
				t.Error(err)
			}
		})
		if done, err := d.users.Depart(t.Context(), app.DepartUser{User: "ann"}, d.report); err != nil || done.Left != 1 {
			t.Errorf("%+v, error %v", done, err)
		}
		running.Wait()
		c, err := d.plain.Chat(t.Context(), chat)
		d.did(nil, err)
		members, err := d.plain.Members(t.Context(), chat)
		d.did(nil, err)
		if (len(members) > 0) != (len(c.Owners) > 0) || (len(members) == 0) != c.Archived {
			t.Errorf("members %+v, owners %q, archived %t", members, slices.Sorted(maps.Keys(c.Owners)), c.Archived)
		}
	}
}

// TestUsers_DepartFromLargeChats departs from a chat whose first 4,096 users have no admin: it takes a named successor.
func TestUsers_DepartFromLargeChats(t *testing.T) {
	d := newDepartures(t)
	d.did(d.chats.Create(t.Context(), domain.Create{Chat: "large", Actor: "ann"}))
	past := d.chats.Backdated(time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC))
	for i := range 5 {
		add := domain.AddMembers{Chat: "large", Actor: "ann"}
		for j := range 1000 {
			add.Users = append(add.Users, domain.UserID(fmt.Sprintf("u%d", i*1000+j)))
		}
		d.did(past.AddMembers(t.Context(), add))
	}
	d.deliver("large")
	done, err := d.users.Depart(t.Context(), app.DepartUser{User: "ann"}, d.report)
	if err != nil || done.Failed != 1 || !errors.Is(d.reported["large"].Err, domain.ErrLastOwner) {
		t.Fatalf("%+v, error %v, reported %+v", done, err, d.reported["large"])
	}
	done, err = d.users.Depart(t.Context(), app.DepartUser{User: "ann", Successors: map[domain.ChatID]domain.UserID{"large": "u7"}}, nil)
	if err != nil || done.Succeeded != 1 {
		t.Errorf("with a successor: %+v, error %v", done, err)
	}
}
