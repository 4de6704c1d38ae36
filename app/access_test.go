package app_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
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

// countedLog counts the calls that read a chat: each is a round trip.
type countedLog struct {
	*memory.Log
	mu            sync.Mutex // guards the counts while calls run
	loads, others int
	damaged       map[domain.ChatID]error // chats that LoadChats cannot read
}

func (c *countedLog) count(n *int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*n++
}

func (c *countedLog) Load(ctx context.Context, chat domain.ChatID, wants ...ports.LoadRequest) (ports.Loaded, error) {
	c.count(&c.loads)
	return c.Log.Load(ctx, chat, wants...)
}

func (c *countedLog) LoadChats(ctx context.Context, loads ...ports.ChatLoad) ([]ports.Loaded, error) {
	c.count(&c.others)
	for _, load := range loads {
		if err := c.damaged[load.Chat]; err != nil {
			return nil, err
		}
	}
	return c.Log.LoadChats(ctx, loads...)
}

func (c *countedLog) Read(ctx context.Context, chat domain.ChatID, r ports.Range) (ports.Page, error) {
	c.count(&c.others)
	return c.Log.Read(ctx, chat, r)
}

func (c *countedLog) Search(ctx context.Context, chat domain.ChatID, f ports.Filter, r ports.Range) (ports.Page, error) {
	c.count(&c.others)
	return c.Log.Search(ctx, chat, f, r)
}

// TestAccess_TakesOneRoundTrip counts the reads of the log by a check, also of one whose answer the process has cached.
func TestAccess_TakesOneRoundTrip(t *testing.T) {
	log := &countedLog{Log: memory.New(wireformat.New(), clock{}, nil)}
	entities := entity.NewLoader(log, nil, 1<<20)
	chats := app.NewChats(log, entities, silent{}, log.Typing(), clock{}, ids{}, nil, app.Policy{}, nil)
	access := app.NewAccess(app.NewQueries(log, entities, projection.Views{}), app.AccessRules{FormerMembers: app.FormerMembersUntilRemoval})
	ctx := t.Context()
	create := domain.Create{Chat: "c", Actor: "ann", Members: []domain.UserID{"bob", "cem"}}
	_, createErr := chats.Create(ctx, create)
	removed, removeErr := chats.Remove(ctx, domain.Remove{Chat: "c", Actor: "ann", User: "bob"})
	if err := errors.Join(createErr, removeErr); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		chat  domain.ChatID
		user  domain.UserID
		until domain.Seq
		want  error
		loads int
	}{
		{"c", "ann", 0, nil, 1},
		{"c", "cem", 0, nil, 1},
		{"c", "bob", removed.Seq, nil, 1},
		{"c", "eve", 0, domain.ErrChatNotFound, 1},
		{"none", "ann", 0, domain.ErrChatNotFound, 1},
		{"c", "a b", 0, domain.ErrInvalid, 0},
		{"no chat", "ann", 0, domain.ErrInvalid, 0},
	} {
		for range 2 {
			log.loads, log.others = 0, 0
			grant, err := access.Check(ctx, test.chat, test.user)
			if !errors.Is(err, test.want) || grant.Until != test.until || err == nil && grant.Member.User != test.user || log.loads != test.loads || log.others != 0 {
				t.Errorf("%s reads %s: %+v, %v, after %d loads and %d other reads", test.user, test.chat, grant, err, log.loads, log.others)
			}
		}
	}
}

// TestAccess_CheckAllTakesOneRoundTrip checks many chats at once: the read of the log does not follow the number of chats.
func TestAccess_CheckAllTakesOneRoundTrip(t *testing.T) {
	log := &countedLog{Log: memory.New(wireformat.New(), clock{}, nil)}
	entities := entity.NewLoader(log, nil, 1<<20)
	chats := app.NewChats(log, entities, silent{}, log.Typing(), clock{}, ids{}, nil, app.Policy{}, nil)
	access := app.NewAccess(app.NewQueries(log, entities, projection.Views{}), app.AccessRules{FormerMembers: app.FormerMembersUntilRemoval})
	var all []domain.ChatID
	for i := range 60 {
		c := domain.ChatID(fmt.Sprint("c", i))
		if _, err := chats.Create(t.Context(), domain.Create{Chat: c, Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	log.loads, log.others = 0, 0
	checked, err := access.CheckAll(t.Context(), "ann", all...)
	if err != nil || len(checked) != len(all) || log.loads != 0 || log.others != 1 {
		t.Fatalf("%d outcomes, %v, after %d loads and %d other reads", len(checked), err, log.loads, log.others)
	}
	for i, c := range checked {
		if c.Err != nil || c.Grant.Member.Role != domain.RoleOwner || c.Grant.Head != 1 {
			t.Errorf("chat %q: %+v", all[i], c)
		}
	}
	if none, err := access.CheckAll(t.Context(), "ann"); len(none) != 0 || err != nil || log.others != 1 {
		t.Errorf("no chats give %v, %v", none, err)
	}
	if _, err := access.CheckAll(t.Context(), "ann", "c1", "no chat"); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("a malformed id gives the error %v", err)
	}
}

// TestAccess_CheckAllGoesOnWithoutUnreadableChats checks many chats, two of which cannot be read.
func TestAccess_CheckAllGoesOnWithoutUnreadableChats(t *testing.T) {
	log := &countedLog{Log: memory.New(wireformat.New(), clock{}, nil), damaged: map[domain.ChatID]error{
		"c7": &ports.CorruptError{Chat: "c7", Cause: errors.New("a test")}, "c40": &ports.NewerVersionError{Chat: "c40"},
	}}
	entities := entity.NewLoader(log, nil, 1<<20)
	chats := app.NewChats(log, entities, silent{}, log.Typing(), clock{}, ids{}, nil, app.Policy{}, nil)
	access := app.NewAccess(app.NewQueries(log, entities, projection.Views{}), app.AccessRules{FormerMembers: app.FormerMembersUntilRemoval})
	var all []domain.ChatID
	for i := range 64 {
		all = append(all, domain.ChatID(fmt.Sprint("c", i)))
		if _, err := chats.Create(t.Context(), domain.Create{Chat: all[i], Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
	}
	log.others = 0
	checked, err := access.CheckAll(t.Context(), "ann", all...)
	if err != nil || log.others > 25 {
		t.Fatalf("the error is %v, after %d reads", err, log.others)
	}
	for i, c := range checked {
		if want := log.damaged[all[i]]; !errors.Is(c.Err, want) || want == nil && c.Grant.Head != 1 {
			t.Errorf("chat %q: %+v, want the error %v", all[i], c, want)
		}
	}
	log.damaged["c0"] = ports.ErrUnavailable
	if _, err := access.CheckAll(t.Context(), "ann", all...); !errors.Is(err, ports.ErrUnavailable) {
		t.Errorf("the error is %v", err)
	}
}

// TestAccess_CountsRemovalsOfOtherProcesses checks memberships that another process has changed, and that this process has cached as they were.
func TestAccess_CountsRemovalsOfOtherProcesses(t *testing.T) {
	w, ctx := newWorld(2, 1<<20), t.Context()
	here, there := app.NewAccess(w.queries[0], app.AccessRules{FormerMembers: app.FormerMembersUntilRemoval}), w.chats[1]
	if _, err := w.chats[0].Create(ctx, domain.Create{Chat: "c", Actor: "ann"}); err != nil {
		t.Fatal(err)
	}
	check := func(what string, until domain.Seq, want error) {
		t.Helper()
		if grant, err := here.Check(ctx, "c", "bob"); !errors.Is(err, want) || grant.Until != until {
			t.Errorf("%s: %+v, %v, want until %d, %v", what, grant, err, until, want)
		}
	}
	check("before the join", 0, domain.ErrChatNotFound)
	for range 2 {
		if _, err := there.Add(ctx, domain.Add{Chat: "c", Actor: "ann", User: "bob"}); err != nil {
			t.Fatal(err)
		}
		check("after the join", 0, nil)
		if _, err := there.Promote(ctx, domain.Promote{Chat: "c", Actor: "ann", User: "bob", Role: domain.RoleAdmin}); err != nil {
			t.Fatal(err)
		}
		check("after the promotion", 0, nil)
		removed, err := there.Remove(ctx, domain.Remove{Chat: "c", Actor: "ann", User: "bob"})
		if err != nil {
			t.Fatal(err)
		}
		check("after the removal", removed.Seq, nil)
	}
}

// TestAccess_UnreadableMembership refuses a user whose membership only a newer program can read.
func TestAccess_UnreadableMembership(t *testing.T) {
	log := &unreadableAt{Log: memory.New(wireformat.New(), clock{}, nil)}
	entities := entity.NewLoader(log, nil, 0)
	if _, err := chatsOn(log, entities).Create(t.Context(), domain.Create{Chat: "c", Actor: "ann", Members: []domain.UserID{"bob"}}); err != nil {
		t.Fatal(err)
	}
	log.seq = 2
	access := app.NewAccess(app.NewQueries(log, entities, projection.Views{}), app.AccessRules{FormerMembers: app.FormerMembersUntilRemoval})
	for user, want := range map[domain.UserID]error{"ann": nil, "bob": ports.ErrNewerVersion, "eve": domain.ErrChatNotFound} {
		if _, err := access.Check(t.Context(), "c", user); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", user, err, want)
		}
	}
}

// foldedMembers returns the roles of a chat's members and the seq of the last removal of each user, from all events.
func foldedMembers(t *rapid.T, log *memory.Log) (roles map[domain.UserID]domain.Role, removals map[domain.UserID]domain.Seq) {
	page, err := log.Read(t.Context(), "c", ports.Range{From: 1, Limit: ports.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	roles, removals = map[domain.UserID]domain.Role{}, map[domain.UserID]domain.Seq{}
	for _, r := range page.Records {
		u, _ := r.Event.(domain.ChatUpdate)
		switch u.Change {
		case domain.Created:
			roles[u.Actor] = domain.RoleOwner
		case domain.MemberAdded, domain.RoleChanged:
			roles[u.User] = u.Role
		case domain.MemberRemoved:
			delete(roles, u.User)
			removals[u.User] = r.Seq
		case domain.Renamed, domain.Archived, domain.Unarchived:
		}
	}
	return roles, removals
}

// TestAccess_OfRandomHistories compares checks of two processes with a fold of all events, and what a user reads with what the queries return as of
// the end of the grant.
func TestAccess_OfRandomHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(2, 1<<20)
		if _, err := w.chats[0].Create(t.Context(), domain.Create{Chat: "c", Actor: "ann", Members: []domain.UserID{"bob", "cem"}}); err != nil {
			t.Fatal(err)
		}
		for n := range rapid.IntRange(1, 30).Draw(t, "steps") {
			step := drawStep(t, n)
			if rapid.Bool().Draw(t, "of membership") {
				step = drawMembership(t)
			}
			_, _ = step(t.Context(), w.chats[rapid.IntRange(0, 1).Draw(t, "process")])
			roles, removals := foldedMembers(t, w.log)
			access := app.NewAccess(w.queries[rapid.IntRange(0, 1).Draw(t, "asked")], app.AccessRules{FormerMembers: app.FormerMembersUntilRemoval})
			for _, user := range []domain.UserID{"ann", "bob", "cem", "eve"} {
				grant, err := access.Check(t.Context(), "c", user)
				all, allErr := access.CheckAll(t.Context(), user, "none", "c")
				if allErr != nil || all[1].Grant != grant || fmt.Sprint(all[1].Err) != fmt.Sprint(err) || !errors.Is(all[0].Err, domain.ErrChatNotFound) {
					t.Fatalf("%s: all chats give %+v, %v, one gives %+v, %v", user, all, allErr, grant, err)
				}
				role, current := roles[user]
				if loaded, loadErr := w.log.Load(t.Context(), "c"); loadErr != nil || err == nil && grant.Head != loaded.Head {
					t.Fatalf("the head of the grant is %d, want %d, %v", grant.Head, loaded.Head, loadErr)
				}
				switch {
				case current && (err != nil || grant.Member.Role != role || grant.Until != 0),
					!current && removals[user] > 0 && (err != nil || grant.Member.Current() || grant.Until != removals[user]),
					!current && removals[user] == 0 && !errors.Is(err, domain.ErrChatNotFound):
					t.Fatalf("%s has the role %s and was removed at %d; the grant is %+v, %v", user, role, removals[user], grant, err)
				}
			}
		}
		plain := w.queries[0]
		_, removals := foldedMembers(t, w.log)
		access := app.NewAccess(w.queries[1], app.AccessRules{FormerMembers: app.FormerMembersUntilRemoval})
		for _, user := range []domain.UserID{"ann", "bob", "cem"} {
			grant, err := access.Check(t.Context(), "c", user)
			if err != nil {
				t.Fatal(err)
			}
			readable, err := access.Queries(t.Context(), "c", user)
			if err != nil {
				t.Fatal(err)
			}
			want := plain
			if !grant.Member.Current() {
				want = plain.At(removals[user])
			}
			if got, want := answers(t, readable), answers(t, want); !reflect.DeepEqual(got, want) {
				t.Fatalf("%s, a member: %t, reads\n%+v\nwant\n%+v", user, grant.Member.Current(), got, want)
			}
		}
	})
}

// drawMembership draws a command by an owner or by the user about a membership.
func drawMembership(t *rapid.T) step {
	user := rapid.SampledFrom([]domain.UserID{"ann", "bob", "cem"})
	by, about := user.Draw(t, "by"), user.Draw(t, "about")
	steps := []step{
		func(ctx context.Context, c *app.Chats) (any, error) {
			return c.Leave(ctx, domain.Leave{Chat: "c", Actor: by})
		},
		func(ctx context.Context, c *app.Chats) (any, error) {
			return c.Remove(ctx, domain.Remove{Chat: "c", Actor: by, User: about})
		},
		func(ctx context.Context, c *app.Chats) (any, error) {
			return c.Add(ctx, domain.Add{Chat: "c", Actor: by, User: about})
		},
		func(ctx context.Context, c *app.Chats) (any, error) {
			return c.Promote(ctx, domain.Promote{Chat: "c", Actor: by, User: about, Role: domain.RoleAdmin})
		},
		func(ctx context.Context, c *app.Chats) (any, error) {
			return c.Demote(ctx, domain.Demote{Chat: "c", Actor: by, User: about, Role: domain.RoleMember})
		},
	}
	return steps[rapid.IntRange(0, len(steps)-1).Draw(t, "membership")]
}

// TestMember_ReturnsCurrentMembersOnly distinguishes a chat that does not exist from users who are no members of one that does.
func TestMember_ReturnsCurrentMembersOnly(t *testing.T) {
	w, ctx := newWorld(1, 1<<20), t.Context()
	chats, queries := w.chats[0], w.queries[0]
	_, createErr := chats.Create(ctx, domain.Create{Chat: "c", Actor: "ann", Members: []domain.UserID{"bob"}})
	promoted, promoteErr := chats.Promote(ctx, domain.Promote{Chat: "c", Actor: "ann", User: "bob", Role: domain.RoleAdmin})
	_, removeErr := chats.Remove(ctx, domain.Remove{Chat: "c", Actor: "ann", User: "bob"})
	if err := errors.Join(createErr, promoteErr, removeErr); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		at   domain.Seq
		chat domain.ChatID
		user domain.UserID
		role domain.Role
		want error
	}{
		{0, "c", "ann", domain.RoleOwner, nil},
		{0, "c", "bob", domain.NoRole, domain.ErrNotMember},
		{promoted.Seq, "c", "bob", domain.RoleAdmin, nil},
		{promoted.Seq - 1, "c", "bob", domain.RoleMember, nil},
		{1, "c", "bob", domain.NoRole, domain.ErrNotMember},
		{0, "c", "eve", domain.NoRole, domain.ErrNotMember},
		{0, "none", "ann", domain.NoRole, domain.ErrChatNotFound},
		{0, "c", "a b", domain.NoRole, domain.ErrInvalid},
	} {
		m, err := queries.At(test.at).Member(ctx, test.chat, test.user)
		if !errors.Is(err, test.want) || m.Role != test.role || err == nil && m.User != test.user {
			t.Errorf("%+v: %+v, %v", test, m, err)
		}
	}
}

// TestUserQueries_ChatListOfARemovedUser lists chats while the read models and caches still have the membership: the last message is not shown.
func TestUserQueries_ChatListOfARemovedUser(t *testing.T) {
	l, ctx := newListing(t), t.Context()
	for _, chat := range []domain.ChatID{"stays", "left"} {
		l.did(l.chats.Create(ctx, domain.Create{Chat: chat, Actor: "ann", Members: []domain.UserID{"bob"}}))
	}
	l.deliver("stays", "left")
	for _, queries := range []*app.Queries{l.plain, l.cached} {
		l.did(queries.ChatList(ctx, "bob"))
	}
	l.did(l.chats.Remove(ctx, domain.Remove{Chat: "left", Actor: "ann", User: "bob"}))
	l.did(l.chats.Send(ctx, domain.Send{Chat: "left", Actor: "ann", Content: "secret"}))
	for name, queries := range map[string]*app.Queries{"plain": l.plain, "cached": l.cached} {
		own := app.NewUserView("bob", l.chats, app.NewAccess(queries, app.AccessRules{FormerMembers: app.FormerMembersUntilRemoval}), nil, nil).Queries
		list, err := own.ChatList(ctx)
		page, pageErr := own.ChatListPage(ctx, domain.Page{})
		if err := errors.Join(err, pageErr); err != nil {
			t.Fatal(err)
		}
		for _, listed := range [][]app.ListedChat{list, page.Items} {
			if len(listed) != 1 || listed[0].ID != "stays" {
				t.Errorf("%s: bob's chats are %+v", name, listed)
			}
		}
	}
}

// TestUserQueries_AuditOfADemotedAdmin demotes an admin who is reading the events of a chat of two pages.
func TestUserQueries_AuditOfADemotedAdmin(t *testing.T) {
	w, ctx := newWorld(1, 1<<20), t.Context()
	chats := w.chats[0]
	did := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	did(chats.Create(ctx, domain.Create{Chat: "c", Actor: "ann", Members: []domain.UserID{"bob"}}))
	did(chats.Promote(ctx, domain.Promote{Chat: "c", Actor: "ann", User: "bob", Role: domain.RoleAdmin}))
	for range 2 * app.MaxEvents {
		did(chats.Send(ctx, domain.Send{Chat: "c", Actor: "ann", Content: "x"}))
	}
	view := app.NewUserView("bob", chats, app.NewAccess(w.queries[0], app.AccessRules{FormerMembers: app.FormerMembersUntilRemoval}), nil, nil)
	n, last := 0, error(nil)
	for _, err := range view.Queries.Audit(ctx, "c", domain.Audit{}) {
		if err != nil {
			last = err
			continue
		}
		if n++; n == 1 {
			did(chats.Demote(ctx, domain.Demote{Chat: "c", Actor: "ann", User: "bob", Role: domain.RoleMember}))
		}
	}
	if n != app.MaxEvents || !errors.Is(last, domain.ErrForbidden) {
		t.Errorf("%d events were read, and then %v", n, last)
	}
	n = 0
	for _, err := range view.Queries.Audit(ctx, "none", domain.Audit{}) {
		if n++; !errors.Is(err, domain.ErrChatNotFound) {
			t.Errorf("an audit of no chat: %v", err)
		}
	}
	if n != 1 {
		t.Errorf("an audit of no chat yields %d times", n)
	}
}

// TestUserView_Allocations compares the allocations of a send by a view with those of a plain one.
func TestUserView_Allocations(t *testing.T) {
	w, ctx := newWorld(1, 1<<20), t.Context()
	chats := w.chats[0]
	access := app.NewAccess(w.queries[0], app.AccessRules{FormerMembers: app.FormerMembersUntilRemoval})
	if _, err := chats.Create(ctx, domain.Create{Chat: "c", Actor: "ann"}); err != nil {
		t.Fatal(err)
	}
	send := domain.Send{Chat: "c", MessageID: "m", Content: "x"} // again and again: the first result
	plain := testing.AllocsPerRun(100, func() {
		named := send
		named.Actor = "ann"
		_, _ = chats.Send(ctx, named)
	})
	viewed := testing.AllocsPerRun(100, func() {
		_, _ = app.NewUserView("ann", chats, access, nil, nil).Chats.Send(ctx, send)
	})
	if viewed > plain+1 {
		t.Errorf("a send takes %v allocations, by a view %v", plain, viewed)
	}
}

// TestFormerMembers_Text names each value, and refuses others.
func TestFormerMembers_Text(t *testing.T) {
	var names []string
	for _, value := range []app.FormerMembers{app.FormerMembersUntilRemoval, app.FormerMembersNothing} {
		if err := value.Check(); err != nil {
			t.Error(err)
		}
		names = append(names, fmt.Sprint(value))
	}
	if !slices.Equal(names, []string{"until-removal", "nothing"}) {
		t.Errorf("the names are %q", names)
	}
	if err := app.FormerMembers(2).Check(); err == nil || !strings.Contains(err.Error(), "FormerMembersNothing") {
		t.Errorf("another value: %v", err)
	}
}
