package chatcore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// The users of a chat that ownedBy creates, and one that has no part in it.
const (
	owner    domain.UserID = "owner"
	admin    domain.UserID = "admin"
	member   domain.UserID = "member"
	former   domain.UserID = "former"   // was removed
	returned domain.UserID = "returned" // was removed and joined again
	outsider domain.UserID = "outsider"
	lost     domain.UserID = "lost" // asks about a chat that does not exist
)

func callers() []domain.UserID {
	return []domain.UserID{owner, admin, member, former, returned, outsider, lost}
}

// denials are the errors by caller; nil for a caller that is missing.
type denials map[domain.UserID]error

func (r denials) with(more denials) denials {
	all := maps.Clone(r)
	maps.Copy(all, more)
	return all
}

// checkRows compares the rows of a table with the methods of a type.
func checkRows[Row any](t *testing.T, of any, rows map[string]Row) {
	t.Helper()
	typ := reflect.TypeOf(of)
	for i := range typ.NumMethod() {
		if name := typ.Method(i).Name; !hasKey(rows, name) {
			t.Errorf("%s.%s has no row in the table", typ, name)
		}
	}
	for name := range rows {
		if _, there := typ.MethodByName(name); !there {
			t.Errorf("the table has a row for %s.%s, which does not exist", typ, name)
		}
	}
}

func hasKey[V any](m map[string]V, key string) bool {
	_, there := m[key]
	return there
}

// TestAs_EveryQuery calls each query as each kind of user. A current member gets what an unchecked query returns, a former member the same as of the
// removal, and nobody else can distinguish the chat from one that does not exist.
func TestAs_EveryQuery(t *testing.T) {
	calls := queryCalls()
	checkRows(t, app.UserQueries{}, calls)
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		ctx, core := t.Context(), open(chatcore.Config{})
		if err := core.SubscribeBuiltins(); err != nil {
			t.Fatal(err)
		}
		start(t, core)
		removal := fillChat(t, core, "chat")
		wait.Until(t, "the read models have the memberships", func() bool {
			return len(must[[]domain.ChatID](t)(core.Queries.ChatsOf(ctx, returned))) == 1 && len(must[[]domain.ChatID](t)(core.Queries.ChatsOf(ctx, former))) == 0 &&
				must[map[domain.ChatID]domain.Ordinal](t)(core.Queries.KeptUnread(ctx, admin))["chat"] == 2
		})
		for name, call := range calls {
			for _, user := range callers() {
				chat := domain.ChatID("chat")
				if user == lost {
					chat = "none"
				}
				got, err := call.do(ctx, core.As(user), chat)
				if want := call.refused[user]; !errors.Is(err, want) {
					t.Errorf("%s as %s: %v, want %v", name, user, err, want)
					continue
				}
				if err != nil {
					continue
				}
				trusted := core.Queries
				if user == former && len(call.refused) > 0 {
					trusted = trusted.At(removal)
				}
				if want := must[any](t)(call.trusted(ctx, trusted, user, chat)); !reflect.DeepEqual(got, want) {
					t.Errorf("%s as %s:\n%+v, want\n%+v", name, user, got, want)
				}
			}
			if len(call.refused) > 0 {
				_, exists := call.do(ctx, core.As(outsider), "chat")
				_, absent := call.do(ctx, core.As(outsider), "none")
				if a, b := fmt.Sprint(exists), strings.ReplaceAll(fmt.Sprint(absent), "none", "chat"); a != b {
					t.Errorf("%s: an outsider gets %q for a chat and %q for none", name, a, b)
				}
			}
		}
	})
}

// TestAs_EveryCommand gives each command as each kind of user: the event has the user as its actor. A command in the name of another user is refused,
// and nothing is recorded.
func TestAs_EveryCommand(t *testing.T) {
	calls := commandCalls()
	checkRows(t, app.UserCommands{}, calls)
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		ctx, core := t.Context(), open(chatcore.Config{})
		for name, call := range calls {
			for _, user := range callers() {
				chat := domain.ChatID(fmt.Sprint(name, "-", user))
				if user != lost {
					fillChat(t, core, chat)
				}
				got, err := call.do(ctx, core.As(user), chat)
				if want := call.refused[user]; !errors.Is(err, want) {
					t.Errorf("%s as %s: %v, want %v", name, user, err, want)
				}
				if name == "Create" {
					chat += "-new"
				}
				if done, _ := got.(app.Done); err == nil && done.Changed {
					page := must[[]ports.Record](t)(core.Queries.Events(ctx, chat, domain.Span{Limit: 1}))
					if actor := domain.Actor(page[0].Event); actor != user {
						t.Errorf("%s as %s: the actor of %+v is %q", name, user, page[0].Event, actor)
					}
				}
			}
		}
		if sent := must[domain.Chat](t)(core.Queries.Chat(ctx, "Rename-owner")); sent.Title != "renamed" {
			t.Errorf("the chat is %+v", sent)
		}
		fillChat(t, core, "chat")
		before := must[[]ports.Record](t)(core.Queries.Events(ctx, "chat", domain.Span{}))
		view := reflect.ValueOf(core.As(member).Chats)
		for i := range view.NumMethod() {
			name := view.Type().Method(i).Name
			cmd := reflect.New(view.Method(i).Type().In(1)).Elem()
			if chat := cmd.FieldByName("Chat"); chat.IsValid() { // a direct chat follows from its users
				chat.SetString("chat")
			}
			cmd.FieldByName("Actor").SetString(string(owner))
			out := view.Method(i).Call([]reflect.Value{reflect.ValueOf(ctx), cmd})
			var invalid *domain.InvalidError
			if err, _ := out[len(out)-1].Interface().(error); !errors.As(err, &invalid) || invalid.Field != "actor" || !strings.Contains(invalid.Error(), `"member"`) {
				t.Errorf("%s in the name of another user: %v", name, err)
			}
		}
		if after := must[[]ports.Record](t)(core.Queries.Events(ctx, "chat", domain.Span{})); len(after) != len(before) {
			t.Errorf("%d events before the refused commands, %d after", len(before), len(after))
		}
		if _, err := core.As(member).Chats.Rename(ctx, domain.Rename{Chat: "chat", Actor: member, Title: "x"}); !errors.Is(err, domain.ErrForbidden) {
			t.Errorf("a command that names its user: %v", err)
		}
	})
}

// TestAs_Presence shows the presence of a user to those who share a chat, and to nobody else.
func TestAs_Presence(t *testing.T) {
	rows := map[string]func(ctx context.Context, p app.UserPresence) error{
		"Heartbeat": func(ctx context.Context, p app.UserPresence) error { return p.Heartbeat(ctx, "phone", "") },
		"SetStatus": func(ctx context.Context, p app.UserPresence) error {
			_, err := p.SetStatus(ctx, domain.Busy)
			return err
		},
		"Leave":    func(ctx context.Context, p app.UserPresence) error { return p.Leave(ctx, "phone", "") },
		"Statuses": nil,
		"IsOnline": nil,
	}
	checkRows(t, app.UserPresence{}, rows)
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		ctx, core := t.Context(), open(chatcore.Config{})
		if _, err := core.As(member).Presence.Statuses(ctx, owner); !errors.Is(err, chatcore.ErrNoViews) {
			t.Errorf("without views: %v", err)
		}
		must[[]domain.UserStatus](t)(core.As(member).Presence.Statuses(ctx, member))
		if err := core.SubscribeBuiltins(); err != nil {
			t.Fatal(err)
		}
		start(t, core)
		fillChat(t, core, "chat")
		must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "another", Actor: outsider, Members: []domain.UserID{"stranger"}}))
		wait.Until(t, "the read models have the memberships", func() bool {
			return len(must[[]domain.ChatID](t)(core.Queries.ChatsOf(ctx, returned))) == 1 && len(must[[]domain.ChatID](t)(core.Queries.ChatsOf(ctx, former))) == 0 &&
				len(must[[]domain.ChatID](t)(core.Queries.ChatsOf(ctx, "stranger"))) == 1
		})
		all := append(callers(), "never-seen", "stranger", owner)
		for _, user := range all {
			for _, name := range []string{"Heartbeat", "SetStatus"} {
				if user == "never-seen" {
					continue
				}
				if err := rows[name](ctx, core.As(user).Presence); err != nil {
					t.Fatal(err)
				}
			}
		}
		sharers := map[domain.UserID][]domain.UserID{
			owner: {owner, admin, member, returned}, admin: {owner, admin, member, returned}, member: {owner, admin, member, returned},
			returned: {owner, admin, member, returned}, former: {former}, outsider: {outsider, "stranger"}, lost: {lost},
		}
		for _, user := range callers() {
			statuses := must[[]domain.UserStatus](t)(core.As(user).Presence.Statuses(ctx, all...))
			online := must[[]bool](t)(core.As(user).Presence.IsOnline(ctx, all...))
			for i, other := range all {
				want, shares := domain.UserStatus{User: other}, slices.Contains(sharers[user], other)
				if shares {
					want = must[[]domain.UserStatus](t)(core.Presence.Statuses(ctx, other))[0]
				}
				if !reflect.DeepEqual(statuses[i], want) || online[i] != shares || shares != (want.Status == domain.Busy) {
					t.Errorf("%s sees %s as %+v, online %t, want %+v", user, other, statuses[i], online[i], want)
				}
			}
		}
		never := must[[]domain.UserStatus](t)(core.Presence.Statuses(ctx, "never-seen"))[0]
		if hidden := must[[]domain.UserStatus](t)(core.As(former).Presence.Statuses(ctx, owner))[0]; hidden != (domain.UserStatus{User: owner, Status: never.Status, LastSeen: never.LastSeen, At: never.At}) {
			t.Errorf("a hidden user is %+v, one that was never seen %+v", hidden, never)
		}
		if err := rows["Leave"](ctx, core.As(owner).Presence); err != nil || must[[]bool](t)(core.As(member).Presence.IsOnline(ctx, owner))[0] {
			t.Errorf("after the leave the user is online, error %v", err)
		}
		for _, ids := range [][]domain.UserID{{"a b", owner}, {owner, "a b"}} {
			if _, err := core.As(ids[0]).Presence.Statuses(ctx, ids[1]); !errors.Is(err, domain.ErrInvalid) {
				t.Errorf("%q asks about %q: %v", ids[0], ids[1], err)
			}
			if _, err := core.As(ids[0]).Presence.IsOnline(ctx, ids[1]); !errors.Is(err, domain.ErrInvalid) {
				t.Errorf("%q asks about %q: %v", ids[0], ids[1], err)
			}
		}
	})
}

// TestAs_Sessions has a user list, rotate and close the own sessions. Those of another user are out of reach.
func TestAs_Sessions(t *testing.T) {
	checkRows(t, app.UserSessions{}, map[string]bool{"List": true, "Close": true, "CloseAll": true, "Rotate": true})
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		ctx, core := t.Context(), open(chatcore.Config{})
		login := func(user domain.UserID) app.OpenedSession {
			return must[app.OpenedSession](t)(core.Sessions.Open(ctx, domain.OpenSession{User: user}))
		}
		ann, bob, more := login("ann"), login("bob"), login("ann")
		own := core.As("ann").Sessions
		if list := must[[]domain.Session](t)(own.List(ctx)); len(list) != 2 || list[0].ID != ann.ID {
			t.Errorf("the list is %+v", list)
		}
		rotated := must[app.OpenedSession](t)(own.Rotate(ctx, ann.Token))
		if rotated.ID != ann.ID || rotated.Token == ann.Token {
			t.Errorf("rotated to %+v", rotated)
		}
		if _, err := own.Rotate(ctx, bob.Token); !errors.Is(err, domain.ErrNoSession) {
			t.Errorf("another user's token: %v", err)
		}
		if _, err := own.Rotate(ctx, "no token"); !errors.Is(err, domain.ErrNoSession) {
			t.Errorf("no token: %v", err)
		}
		if err := own.Close(ctx, bob.ID); !errors.Is(err, domain.ErrNoSession) {
			t.Errorf("another user's session: %v", err)
		}
		if err := own.Close(ctx, more.ID); err != nil {
			t.Error(err)
		}
		if n := must[int](t)(own.CloseAll(ctx)); n != 1 {
			t.Errorf("%d sessions were closed", n)
		}
		if session, err := core.Sessions.Get(ctx, bob.Token); err != nil || session.ID != bob.ID {
			t.Errorf("the other user's session: %+v, %v", session, err)
		}
		if _, err := core.As("a b").Sessions.Rotate(ctx, bob.Token); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("a malformed user: %v", err)
		}
	})
}

// TestAs_FormerMembersReadNothing sets Config.Access.
func TestAs_FormerMembersReadNothing(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core := open(chatcore.Config{Access: chatcore.AccessConfig{FormerMembers: app.FormerMembersNothing}})
		fillChat(t, core, "chat")
		for name, call := range queryCalls() {
			if len(call.refused) == 0 {
				continue
			}
			if _, err := call.do(t.Context(), core.As(former), "chat"); !errors.Is(err, domain.ErrChatNotFound) {
				t.Errorf("%s as a former member: %v", name, err)
			}
			if _, err := call.do(t.Context(), core.As(owner), "chat"); err != nil {
				t.Errorf("%s as the owner: %v", name, err)
			}
		}
	})
	var invalid *domain.InvalidError
	if err := (chatcore.Config{Access: chatcore.AccessConfig{FormerMembers: 7}}).Validate(); !errors.As(err, &invalid) || invalid.Field != "Access.FormerMembers" {
		t.Errorf("an unknown value: %v", err)
	}
}

// TestAs_RoundTrips counts the script calls of commands and queries: a command of a view takes those of a plain one, a query one more.
func TestAs_RoundTrips(t *testing.T) {
	server := redistest.Start(t)
	ctx, client := t.Context(), server.Client(t)
	core := opened(t)(chatcore.New(ctx, chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}}))
	fillChat(t, core, "chat")
	view := core.As(member)
	calls := func(do func() (any, error)) int {
		must[any](t)(do()) // whatever is loaded once is loaded
		before := redistest.AllCommands(t, client)["evalsha"]
		must[any](t)(do())
		return redistest.AllCommands(t, client)["evalsha"] - before
	}
	for name, test := range map[string]struct {
		plain, viewed func() (any, error)
		more          int
	}{
		"Send": {
			func() (any, error) {
				return any1(core.Chats.Send(ctx, domain.Send{Chat: "chat", Actor: member, Content: "x"}))
			},
			func() (any, error) { return any1(view.Chats.Send(ctx, domain.Send{Chat: "chat", Content: "x"})) }, 0,
		},
		"Chat": {
			func() (any, error) { return any1(core.Queries.Chat(ctx, "chat")) },
			func() (any, error) { return any1(view.Queries.Chat(ctx, "chat")) }, 1,
		},
		"History": {
			func() (any, error) { return any1(core.Queries.History(ctx, "chat", domain.Span{})) },
			func() (any, error) { return any1(view.Queries.History(ctx, "chat", domain.Span{})) }, 1,
		},
	} {
		plain, viewed := calls(test.plain), calls(test.viewed)
		if plain == 0 || viewed != plain+test.more {
			t.Errorf("%s takes %d script calls, by a view %d", name, plain, viewed)
		}
	}
}

// TestAs_RemovedByAnotherProcess has one process remove a member whose membership another one has cached.
func TestAs_RemovedByAnotherProcess(t *testing.T) {
	open := func(c chatcore.Config) *chatcore.Core { return opened(t)(chatcore.New(t.Context(), c)) }
	config, ctx := chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.Start(t).URL()}}, t.Context()
	here, there := open(config), open(config)
	fillChat(t, here, "chat")
	before := must[[]app.MessageView](t)(here.As(member).Queries.History(ctx, "chat", domain.Span{}))
	must[app.Done](t)(there.Chats.Remove(ctx, domain.Remove{Chat: "chat", Actor: owner, User: member}))
	must[app.Sent](t)(there.Chats.Send(ctx, domain.Send{Chat: "chat", Actor: owner, Content: "not for the member"}))
	if after := must[[]app.MessageView](t)(here.As(member).Queries.History(ctx, "chat", domain.Span{})); !reflect.DeepEqual(after, before) {
		t.Errorf("after the removal the member reads %+v", after)
	}
}
