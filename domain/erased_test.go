package domain_test

import (
	"reflect"
	"testing"

	"chatcore/domain"
)

// TestErased_KeepsTheRules folds the erased form of a chat's events: everything but the title is as before, so that the same commands are allowed.
func TestErased_KeepsTheRules(t *testing.T) {
	renamed := change("own", domain.Renamed)
	renamed.Title = "second"
	muted := restricted("own", "bob", domain.Mute, noon.Add(1e9))
	muted.Reason = "reason"
	events := append(usual(), renamed, muted, domain.ChatPolicy{Chat: "c", Actor: "own", Visibility: domain.Public, At: noon})
	erased := make([]domain.Durable, len(events))
	for i, e := range events {
		erased[i] = domain.Erased(e)
		if moved := domain.Moves(erased[i]); !reflect.DeepEqual(moved, domain.Moves(e)) {
			t.Errorf("%+v moves %v, and its erased form %v", e, domain.Moves(e), moved)
		}
	}
	for _, entity := range []domain.Entity{domain.ChatEntity(), domain.MemberEntity("bob"), domain.MemberEntity("own")} {
		want, got := folded(entity, events), folded(entity, erased)
		if chat, is := want.(*domain.Chat); is {
			chat.Title = ""
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %+v, want %+v", entity, got, want)
		}
	}
}

func folded(e domain.Entity, events []domain.Durable) domain.State {
	state := domain.NewState("c", e)
	for i, event := range events {
		for _, moved := range domain.Moves(event) {
			if moved == e {
				state.Apply(domain.Seq(i)+1, event) //nolint:gosec // an index
			}
		}
	}
	return state
}

// TestChat_Empty says once that the content of a deleted chat is erased, and again after a further erasure.
func TestChat_Empty(t *testing.T) {
	said := domain.ChatDeleted{Chat: "c", By: "service", Reason: "law", ContentErased: true, At: noon}
	closed := domain.ChatDeleted{Chat: "c", By: "own", At: noon}
	began := change("own", domain.Created)
	for name, c := range map[string]struct {
		events  []domain.Durable
		further bool
		says    bool
	}{
		"a chat that is not deleted": {usual(), true, false},
		"a deleted chat":             {usual(closed), false, true},
		"said already":               {usual(closed, said), false, false},
		"erased further":             {usual(closed, said), true, true},
		"begun again":                {usual(closed, said, began), true, false},
		"deleted anew":               {usual(closed, said, began, closed), false, true},
	} {
		chat, _ := folded(domain.ChatEntity(), c.events).(*domain.Chat)
		events := chat.Empty("service", "law", c.further, noon)
		if want := []domain.Durable{said}; c.says != (len(events) > 0) || c.says && !reflect.DeepEqual(events, want) {
			t.Errorf("%s: %+v", name, events)
		}
	}
}
