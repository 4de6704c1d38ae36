package app_test

import (
	"context"
	"errors"
	"fmt"
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

// interleaved is the log of a process. Before its first append, another process acts; and appends are counted.
type interleaved struct {
	*memory.Log
	before  func()
	appends int
}

func (l *interleaved) Append(ctx context.Context, a ports.Append) (ports.Appended, error) {
	if before := l.before; before != nil {
		l.before = nil
		before()
	}
	l.appends++
	return l.Log.Append(ctx, a)
}

// act is a command in the chat c, by a user whose name differs from that of others.
type act func(ctx context.Context, chats *app.Chats) error

// acts are the commands of the tables of conflicts, by users that have nothing to do with each other.
func acts() map[string]act {
	on := func(fn func(ctx context.Context, chats *app.Chats) (app.Done, error)) act {
		return func(ctx context.Context, chats *app.Chats) error { return failed(fn(ctx, chats)) }
	}
	send := func(user domain.UserID) act {
		return func(ctx context.Context, chats *app.Chats) error {
			return failed(chats.Send(ctx, domain.Send{Chat: "c", Actor: user, Content: "x"}))
		}
	}
	set := func(by domain.UserID, key string) act {
		return on(func(ctx context.Context, chats *app.Chats) (app.Done, error) {
			return chats.UpdateMetadata(ctx, domain.UpdateMetadata{Chat: "c", Actor: by, Set: map[string]string{key: "1"}})
		})
	}
	join := func(user domain.UserID) act {
		return on(func(ctx context.Context, chats *app.Chats) (app.Done, error) {
			return chats.Join(ctx, domain.Join{Chat: "c", Actor: user})
		})
	}
	restrict := func(user domain.UserID, kind domain.RestrictionKind) act {
		return on(func(ctx context.Context, chats *app.Chats) (app.Done, error) {
			return chats.Restrict(ctx, domain.Restrict{Chat: "c", Actor: "own", User: user, Kind: kind})
		})
	}
	return map[string]act{
		"ann sends": send("ann"), "bob sends": send("bob"), "eve joins": join("eve"), "fay joins": join("fay"),
		"own sets key a": set("own", "a"), "adm sets key b": set("adm", "b"),
		"bob is banned": restrict("bob", domain.Ban), "bob is muted": restrict("bob", domain.Mute), "ann is muted": restrict("ann", domain.Mute), "ann is banned": restrict("ann", domain.Ban),
		"bob reacts": on(func(ctx context.Context, chats *app.Chats) (app.Done, error) {
			return chats.React(ctx, domain.React{Chat: "c", Actor: "bob", MessageID: "m", Emoji: "👍"})
		}),
		"ann reacts to another": on(func(ctx context.Context, chats *app.Chats) (app.Done, error) {
			return chats.React(ctx, domain.React{Chat: "c", Actor: "ann", MessageID: "n", Emoji: "👍"})
		}),
		"bob reads": func(ctx context.Context, chats *app.Chats) error {
			return failed(chats.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: "bob", MessageID: "m", AwaitRecorded: true}))
		},
		"bob edits": on(func(ctx context.Context, chats *app.Chats) (app.Done, error) {
			return chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "bob", MessageID: "n", Content: "y"})
		}),
		"own edits": on(func(ctx context.Context, chats *app.Chats) (app.Done, error) {
			return chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "own", MessageID: "m", Content: "y"})
		}),
		"bob deletes": on(func(ctx context.Context, chats *app.Chats) (app.Done, error) {
			return chats.Delete(ctx, domain.Delete{Chat: "c", Actor: "bob", MessageID: "n"})
		}),
		"bob leaves": on(func(ctx context.Context, chats *app.Chats) (app.Done, error) {
			return chats.Leave(ctx, domain.Leave{Chat: "c", Actor: "bob"})
		}),
		"the policy changes": on(func(ctx context.Context, chats *app.Chats) (app.Done, error) {
			return chats.SetPolicy(ctx, domain.SetPolicy{Chat: "c", Actor: "own", Policy: domain.PolicyChange{Permissions: map[domain.Action]domain.Role{domain.ActionPin: domain.RoleOwner}}})
		}),
		"the title changes": on(func(ctx context.Context, chats *app.Chats) (app.Done, error) {
			return chats.Rename(ctx, domain.Rename{Chat: "c", Actor: "own", Title: "other"})
		}),
		"the chat is archived": on(func(ctx context.Context, chats *app.Chats) (app.Done, error) {
			return chats.Archive(ctx, domain.Archive{Chat: "c", Actor: "own"})
		}),
		"adm becomes owner": on(func(ctx context.Context, chats *app.Chats) (app.Done, error) {
			return chats.Promote(ctx, domain.Promote{Chat: "c", Actor: "own", User: "adm", Role: domain.RoleOwner})
		}),
		"bob becomes admin": on(func(ctx context.Context, chats *app.Chats) (app.Done, error) {
			return chats.Promote(ctx, domain.Promote{Chat: "c", Actor: "own", User: "bob", Role: domain.RoleAdmin})
		}),
	}
}

// TestConflicts has the second command recorded between the decision and the append of the first one. conflicts is how often the first one decides again.
func TestConflicts(t *testing.T) {
	type conflict struct {
		first, second string
		conflicts     int
		err           error // of the first
	}
	table := []conflict{
		{"ann sends", "the policy changes", 1, nil},
		{"ann sends", "the title changes", 1, nil},
		{"ann sends", "adm becomes owner", 1, nil},
		{"ann sends", "the chat is archived", 1, domain.ErrArchived},
		{"ann sends", "ann is muted", 1, domain.ErrMuted},
		{"ann sends", "ann is banned", 1, domain.ErrNotMember},
		{"own sets key a", "adm sets key b", 1, nil},
		{"eve joins", "the chat is archived", 1, domain.ErrArchived},
		{"own edits", "the chat is archived", 0, nil},
	}
	for _, first := range []string{"ann sends", "eve joins", "own sets key a", "ann reacts to another", "own edits"} {
		for _, second := range []string{
			"bob sends", "fay joins", "bob reacts", "bob reads", "bob edits", "bob deletes", "bob leaves", "bob becomes admin", "bob is banned", "bob is muted",
		} {
			if first == "ann reacts to another" && (second == "bob edits" || second == "bob deletes") {
				continue // the message that is reacted to
			}
			table = append(table, conflict{first, second, 0, nil})
		}
	}
	all := acts()
	for _, c := range table {
		t.Run(fmt.Sprintf("%s, %s", c.first, c.second), func(t *testing.T) {
			log, other := conflictStage(t)
			entities := entity.NewLoader(log, log, 1<<20)
			chats := app.NewChats(log, entities, silent{}, log.Typing(), clock{}, ids{}, nil, app.Policy{}, nil)
			log.before = func() {
				if err := all[c.second](t.Context(), other); err != nil {
					t.Errorf("the second: %v", err)
				}
			}
			if err := all[c.first](t.Context(), chats); !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Errorf("the first: %v, want %v", err, c.err)
			}
			want := 1 + c.conflicts
			if c.err != nil {
				want-- // it is refused when it is decided again
			}
			if log.appends != want {
				t.Errorf("%d appends, want %d", log.appends, want)
			}
		})
	}
}

// conflictStage is a public chat with messages of own and bob, and the commands of another process.
func conflictStage(t *testing.T) (*interleaved, *app.Chats) {
	t.Helper()
	log := &interleaved{Log: memory.New(wireformat.New(), clock{}, nil)}
	other, _ := openChats(log.Log, app.Policy{})
	for _, err := range []error{
		failed(other.Create(t.Context(), domain.Create{Chat: "c", Actor: "own", Members: []domain.UserID{"adm", "ann", "bob"}})),
		failed(other.Promote(t.Context(), domain.Promote{Chat: "c", Actor: "own", User: "adm", Role: domain.RoleAdmin})),
		failed(other.SetPolicy(t.Context(), domain.SetPolicy{Chat: "c", Actor: "own", Policy: domain.PolicyChange{Visibility: domain.Public}})),
		failed(other.Send(t.Context(), domain.Send{Chat: "c", Actor: "own", MessageID: "m", Content: "x"})),
		failed(other.Send(t.Context(), domain.Send{Chat: "c", Actor: "bob", MessageID: "n", Content: "x"})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return log, other
}

// TestMetadata_DisturbsNoSend has metadata set before the append of each of 100 sends: none decides again, and both keys of two changes hold.
func TestMetadata_DisturbsNoSend(t *testing.T) {
	log, other := conflictStage(t)
	chats := app.NewChats(log, entity.NewLoader(log, log, 1<<20), silent{}, log.Typing(), clock{}, ids{}, nil, app.Policy{}, nil)
	const sends = 100
	for i := range sends {
		log.before = func() {
			if _, err := other.UpdateMetadata(t.Context(), domain.UpdateMetadata{Chat: "c", Actor: "own", Set: map[string]string{"n": fmt.Sprint(i)}}); err != nil {
				t.Error(err)
			}
		}
		if _, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", Content: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if log.appends != sends {
		t.Errorf("%d appends of %d sends", log.appends, sends)
	}
	log.before = func() { _ = acts()["adm sets key b"](t.Context(), other) }
	if err := acts()["own sets key a"](t.Context(), chats); err != nil {
		t.Fatal(err)
	}
	got, err := app.NewQueries(log, entity.NewLoader(log, nil, 0), projection.Views{}).Metadata(t.Context(), "c")
	if err != nil || len(got.Values) != 3 || got.Values["a"] != "1" || got.Values["b"] != "1" {
		t.Errorf("%v, error %v", got.Values, err)
	}
}

// TestMute_Outlasts has a muted user leave, join and write in each way; and the mute end at its time, without an event.
func TestMute_Outlasts(t *testing.T) {
	clock := &stepping{At: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}
	log := memory.New(wireformat.New(), clock, nil)
	entities := entity.NewLoader(log, log, 1<<20)
	chats := app.NewChats(log, entities, silent{}, log.Typing(), clock, ids{}, nil, app.Policy{}, nil)
	queries := app.NewQueries(log, entities, projection.Views{}).WithClock(clock)
	until := clock.At.Add(time.Hour)
	for _, err := range []error{
		failed(chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "own", Members: []domain.UserID{"ann"}})),
		failed(chats.SetPolicy(t.Context(), domain.SetPolicy{Chat: "c", Actor: "own", Policy: domain.PolicyChange{Visibility: domain.Public}})),
		failed(chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", MessageID: "m", Content: "x"})),
		failed(chats.Restrict(t.Context(), domain.Restrict{Chat: "c", Actor: "own", User: "ann", Kind: domain.Mute, Until: until})),
		failed(chats.Leave(t.Context(), domain.Leave{Chat: "c", Actor: "ann"})),
		failed(chats.Join(t.Context(), domain.Join{Chat: "c", Actor: "ann"})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	writes := func() map[string]error {
		return map[string]error{
			"send":   failed(chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", Content: "x"})),
			"edit":   failed(chats.Edit(t.Context(), domain.Edit{Chat: "c", Actor: "ann", MessageID: "m", Content: "y"})),
			"react":  failed(chats.React(t.Context(), domain.React{Chat: "c", Actor: "ann", MessageID: "m", Emoji: "👍"})),
			"record": failed(chats.Record(t.Context(), domain.Record{Chat: "c", Actor: "ann", Event: custom{"{}"}})),
			"typing": failed(chats.StartTyping(t.Context(), domain.Typing{Chat: "c", Actor: "ann"})),
		}
	}
	for what, err := range writes() {
		if !errors.Is(err, domain.ErrMuted) {
			t.Errorf("a muted user's %s: %v", what, err)
		}
	}
	head := headOf(t.Context(), t, log, "c")
	clock.At = until
	if list, err := queries.Restrictions(t.Context(), "c", domain.Page{}); err != nil || len(list.Items) != 0 {
		t.Errorf("in force at the end: %+v, error %v", list.Items, err)
	}
	if now := headOf(t.Context(), t, log, "c"); now != head {
		t.Errorf("the mute ended with the event %d", now)
	}
	for what, err := range writes() {
		if err != nil {
			t.Errorf("after the mute, %s: %v", what, err)
		}
	}
}
