package app_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// capped reports whether an error names a cap and its value.
func capped(err error, which domain.Cap, most int) bool {
	var e *domain.CapError
	var refusal *domain.Refusal
	return errors.Is(err, domain.ErrCapReached) && errors.As(err, &e) && e.Cap == which && e.Max == most && errors.As(err, &refusal)
}

func TestCaps_OfReactions(t *testing.T) {
	chats, _, clock := limitedStage(t, true, nil, app.Policy{Caps: app.Caps{EmojisPerMessage: 3, ReactionsPerUser: 2}})
	react := func(chats *app.Chats, by domain.UserID, emoji string) error {
		_, err := chats.React(t.Context(), domain.React{Chat: "c", Actor: by, MessageID: "m0", Emoji: ":e" + emoji + ":"})
		return err
	}
	for _, emoji := range []string{"1", "2"} {
		if err := react(chats, "own", emoji); err != nil {
			t.Fatal(err)
		}
	}
	if err := react(chats, "own", "3"); !capped(err, domain.CapReactions, 2) {
		t.Errorf("the user's third: %v", err)
	}
	if err := react(chats, "own", "2"); err != nil {
		t.Errorf("one that is there: %v", err)
	}
	if err := react(chats, "ann", "3"); err != nil {
		t.Errorf("the third emoji: %v", err)
	}
	if err := react(chats, "ann", "4"); !capped(err, domain.CapEmojis, 3) {
		t.Errorf("the fourth emoji: %v", err)
	}
	if err := react(chats, "ann", "1"); err != nil {
		t.Errorf("another user with an emoji that is there: %v", err)
	}
	if _, err := chats.Unreact(t.Context(), domain.React{Chat: "c", Actor: "own", MessageID: "m0", Emoji: ":e2:"}); err != nil {
		t.Fatal(err)
	}
	if err := react(chats, "own", "4"); err != nil {
		t.Errorf("after one was taken back: %v", err)
	}
	if err := react(chats.Backdated(clock.Now()), "own", "5"); err != nil {
		t.Errorf("an import: %v", err)
	}
}

func TestCaps_OfMembers(t *testing.T) {
	chats, _, _ := limitedStage(t, true, nil, app.Policy{Caps: app.Caps{MembersPerCommand: 2}})
	create := func(chat domain.ChatID, members ...domain.UserID) error {
		_, err := chats.Create(t.Context(), domain.Create{Chat: chat, Actor: "own", Members: members})
		return err
	}
	if err := create("two", "a", "b", "b", "own"); err != nil {
		t.Errorf("two members: %v", err)
	}
	if err := create("three", "a", "b", "c"); !capped(err, domain.CapMembers, 2) || !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("three members: %v", err)
	}
}

// views has users with a given number of chats.
type views struct {
	*memory.UserView
	asked int
}

func (v *views) Of(ctx context.Context, log string, user domain.UserID) (map[domain.ChatID]uint64, error) {
	v.asked++
	return v.UserView.Of(ctx, log, user)
}

func TestCaps_OfChats(t *testing.T) {
	view := &views{UserView: memory.NewUserView()}
	chats, log, _ := limitedStage(t, true, nil, app.Policy{Caps: app.Caps{ChatsPerUser: 2}, Views: projection.Views{Log: "l", Chats: view}})
	for n := range 2 {
		if err := view.Put(t.Context(), "l", ports.ChatEntries{
			Chat: domain.ChatID(fmt.Sprint("other", n)), Entries: []ports.UserEntry{{User: "bob", Version: 1, Number: 1}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	before := lastSeq(t, log, "c")
	_, err := chats.Add(t.Context(), domain.Add{Chat: "c", Actor: "own", User: "bob"})
	if !capped(err, domain.CapChats, 2) || lastSeq(t, log, "c") != before {
		t.Errorf("a user who is in two chats: %v", err)
	}
	for what, create := range map[string]domain.Create{"owner": {Chat: "new", Actor: "bob"}, "member": {Chat: "new", Actor: "own", Members: []domain.UserID{"cid", "bob"}}} {
		if _, err := chats.Create(t.Context(), create); !capped(err, domain.CapChats, 2) {
			t.Errorf("as the %s of a new chat: %v", what, err)
		}
	}
	view.asked = 0
	if _, err := chats.Add(t.Context(), domain.Add{Chat: "c", Actor: "ann", User: "bob"}); !errors.Is(err, domain.ErrForbidden) || view.asked != 0 {
		t.Errorf("by one who may not: %v; %d views were read", err, view.asked)
	}
	if _, err := chats.Add(t.Context(), domain.Add{Chat: "c", Actor: "own", User: "ann"}); err != nil {
		t.Errorf("a member already: %v", err)
	}
	if _, err := chats.Add(t.Context(), domain.Add{Chat: "c", Actor: "own", User: "cid"}); err != nil {
		t.Errorf("a user in no chat: %v", err)
	}
	if _, err := chats.Backdated(time.Now()).Add(t.Context(), domain.Add{Chat: "c", Actor: "own", User: "bob"}); err != nil {
		t.Errorf("an import: %v", err)
	}
}

func TestCaps_Check(t *testing.T) {
	if err := (app.Caps{EmojisPerMessage: app.MaxEmojisPerMessage, ReactionsPerUser: app.MaxReactionsPerUser, ChatsPerUser: 1, MembersPerCommand: app.MaxMembersPerCommand, PinsPerChat: app.MaxPins}).Check(); err != nil {
		t.Error(err)
	}
	err := app.Caps{EmojisPerMessage: -1, ReactionsPerUser: -1, ChatsPerUser: -1, MembersPerCommand: app.MaxMembersPerCommand + 1, PinsPerChat: app.MaxPins + 1}.Check()
	var all interface{ Unwrap() []error }
	if !errors.As(err, &all) || len(all.Unwrap()) != 5 || !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

// TestCaps_Settings checks defaults, and the errors for bad numbers.
func TestCaps_Settings(t *testing.T) {
	want := app.Caps{
		EmojisPerMessage: 50, ReactionsPerUser: 20, ChatsPerUser: 10_000, MembersPerCommand: 256, PinsPerChat: 50, MetadataKeys: 64, MetadataValue: 4 << 10, MetadataBytes: 16 << 10,
	}
	if got := (app.Caps{}).WithDefaults(); got != want {
		t.Errorf("the defaults are %+v", got)
	}
	own := app.Caps{
		EmojisPerMessage: 1, ReactionsPerUser: 2, ChatsPerUser: 3, MembersPerCommand: 4, PinsPerChat: 5, MetadataKeys: 6, MetadataValue: 7, MetadataBytes: 8,
	}
	if got := own.WithDefaults(); got != own {
		t.Errorf("caps of one's own become %+v", got)
	}
	for caps, text := range map[app.Caps]string{
		{ChatsPerUser: -1}: "a number from 0", {EmojisPerMessage: app.MaxEmojisPerMessage + 1}: "0 to 200", {ReactionsPerUser: app.MaxReactionsPerUser + 1}: "0 to 50", {MembersPerCommand: -1}: "0 to ", {MembersPerCommand: app.MaxMembersPerCommand + 1}: "0 to ",
		{MetadataKeys: domain.MaxMetadataKeys + 1}: "0 to 256", {MetadataValue: domain.MaxMetadataValue + 1}: "0 to 16384", {MetadataBytes: domain.MaxMetadataBytes + 1}: "0 to 49152",
	} {
		if err := caps.Check(); !errors.Is(err, domain.ErrInvalid) || !strings.Contains(err.Error(), text) {
			t.Errorf("%+v: %v", caps, err)
		}
	}
	if err := (app.Caps{MembersPerCommand: app.MaxMembersPerCommand}).Check(); err != nil {
		t.Error(err)
	}
	d := newDeciding(t)
	policy := app.Policy{Caps: app.Caps{MembersPerCommand: 2}}
	chats := app.NewChats(d.log, entity.NewLoader(d.log, nil, 0), silent{}, d.log.Typing(), clock{}, ids{}, nil, policy, nil)
	if _, err := chats.Create(t.Context(), domain.Create{Chat: "d", Actor: "ann", Members: []domain.UserID{"bob", "cem", "ann", "bob", "cem"}}); err != nil {
		t.Errorf("two members, twice: %v", err)
	}
	var exceeded *domain.CapError
	if _, err := chats.Create(t.Context(), domain.Create{Chat: "e", Actor: "ann", Members: []domain.UserID{"bob", "cem", "dan"}}); !errors.As(err, &exceeded) || exceeded.Cap != domain.CapMembers {
		t.Errorf("three members: %v", err)
	}
}
