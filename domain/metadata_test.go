package domain_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/domain"
)

func described(set map[string]domain.JSON, unset ...string) domain.ChatMetadata {
	return domain.ChatMetadata{Chat: "c", Actor: "own", Set: set, Unset: unset, At: noon}
}

// metadataOf folds the metadata of a world.
func metadataOf(events ...domain.Durable) domain.Metadata {
	var m domain.Metadata
	for i, e := range events {
		m.Apply(domain.Seq(i+1), e) //nolint:gosec // an index
	}
	return m
}

func TestMetadata(t *testing.T) {
	values := func(pairs ...string) map[string]domain.JSON {
		set := make(map[string]domain.JSON)
		for i := 0; i < len(pairs); i += 2 {
			set[pairs[i]] = domain.JSON(pairs[i+1])
		}
		return set
	}
	many := make(map[string]domain.JSON)
	for i := range domain.MaxMetadataKeys {
		many[fmt.Sprint("k", i)] = "1"
	}
	large := domain.JSON(`"` + strings.Repeat("x", domain.MaxMetadataValue-2) + `"`)
	topic := described(values("topic", `"a"`))
	update := func(by domain.UserID, change domain.MetadataChange, before ...domain.Durable) decision {
		return func(w *world) ([]domain.Durable, error) {
			return w.chat.UpdateMetadata(w.member(by), metadataOf(before...), change, noon)
		}
	}
	set := func(v map[string]domain.JSON) domain.MetadataChange { return domain.MetadataChange{Set: v} }
	unset := func(keys ...string) domain.MetadataChange { return domain.MetadataChange{Unset: keys} }
	checkRules(t, []rule{
		{"an admin sets a key", usual(), update("own", set(values("topic", `"a"`))), []domain.Durable{topic}, nil},
		{"a member does not", usual(), update("ann", set(values("topic", `"a"`))), nil, domain.ErrForbidden},
		{"a member may if the policy says so", usual(policy(0, map[domain.Action]domain.Role{domain.ActionMetadata: domain.RoleMember})), func(w *world) ([]domain.Durable, error) {
			events, err := w.chat.UpdateMetadata(w.member("ann"), domain.Metadata{}, set(values("a", "1")), noon)
			return events, err
		}, []domain.Durable{domain.ChatMetadata{Chat: "c", Actor: "ann", Set: values("a", "1"), At: noon}}, nil},
		{"an outsider", usual(), update("eve", set(values("topic", `"a"`))), nil, domain.ErrNotMember},
		{"archived", usual(change("own", domain.Archived)), update("own", set(values("topic", `"a"`))), nil, domain.ErrArchived},
		{"a muted admin", usual(restricted("own", "adm", domain.Mute, noon.Add(1e9))), update("adm", set(values("a", "1"))), nil, domain.ErrMuted},
		{"in a direct chat", direct(), update("bob", set(values("a", "1"))), []domain.Durable{domain.ChatMetadata{Chat: "c", Actor: "bob", Set: values("a", "1"), At: noon}}, nil},
		{"in a blocked direct chat", direct(restricted("ann", "bob", domain.Block, time.Time{})), update("bob", set(values("a", "1"))), nil, domain.ErrBlocked},
		{"the same value", usual(), update("own", set(values("topic", `"a"`)), topic), nil, nil},
		{"one of two is new", usual(), update("own", set(values("topic", `"a"`, "b", "2")), topic), []domain.Durable{described(values("b", "2"))}, nil},
		{"remove", usual(), update("own", unset("topic", "none", "topic"), topic), []domain.Durable{described(nil, "topic")}, nil},
		{"nothing to remove", usual(), update("own", unset("none"), topic), nil, nil},
		{"nothing", usual(), update("own", domain.MetadataChange{}), nil, domain.ErrInvalid},
		{"set and removed", usual(), update("own", domain.MetadataChange{Set: values("a", "1"), Unset: []string{"a"}}), nil, domain.ErrInvalid},
		{"a wrong key", usual(), update("own", set(values("a b", "1"))), nil, domain.ErrInvalid},
		{"an empty key", usual(), update("own", unset("")), nil, domain.ErrInvalid},
		{"a long key", usual(), update("own", unset(strings.Repeat("k", domain.MaxMetadataKey+1))), nil, domain.ErrInvalid},
		{"a large value", usual(), update("own", set(map[string]domain.JSON{"a": large + " "})), nil, domain.ErrInvalid},
		{"too many keys", usual(), update("own", set(values("more", "1")), described(many)), nil, domain.ErrInvalid},
		{"one out, one in", usual(), update("own", domain.MetadataChange{Set: values("more", "1"), Unset: []string{"k0"}}, described(many)), []domain.Durable{described(values("more", "1"), "k0")}, nil},
		{"too large together", usual(), update("own", set(map[string]domain.JSON{"a": large, "b": large, "c": large, "d": large})), nil, domain.ErrInvalid},
	})
}

// TestMetadata_Fold folds random changes and compares the result with a plain map. A clone does not change.
func TestMetadata_Fold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m domain.Metadata
		plain := make(map[string]domain.JSON)
		for i := range rapid.IntRange(0, 9).Draw(t, "changes") {
			before := maps.Clone(m.Values)
			clone, _ := m.Clone().(*domain.Metadata)
			e := domain.ChatMetadata{Set: rapid.MapOf(rapid.SampledFrom([]string{"a", "b"}), rapid.Just(domain.JSON(fmt.Sprint(i)))).Draw(t, "set")}
			maps.Copy(plain, e.Set)
			for _, key := range rapid.SliceOf(rapid.SampledFrom([]string{"c", "d"})).Draw(t, "unset") {
				e.Unset = append(e.Unset, key)
				delete(plain, key)
			}
			clone.Apply(1, e)
			if !maps.Equal(m.Values, before) {
				t.Fatal("a clone shares its values")
			}
			if m = *clone; !maps.Equal(m.Values, plain) {
				t.Fatalf("%v, want %v", m.Values, plain)
			}
		}
	})
}

func TestNewJSON(t *testing.T) {
	for text, want := range map[string]domain.JSON{
		`"a"`: `"a"`, ` { "b" : [1, 2.50], "a":null } `: `{"a":null,"b":[1,2.50]}`, `12345678901234567890`: `12345678901234567890`, `"<\u0061>"`: `"<a>"`, `true`: `true`,
	} {
		if got, err := domain.NewJSON("x", text); err != nil || got != want {
			t.Errorf("%s is %s, error %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "{", "a", "1 2", `{"a":1,"a":2}`, "1e999", "\"\xff\"", `"` + strings.Repeat("x", domain.MaxMetadataValue) + `"`} {
		if got, err := domain.NewJSON("x", text); err == nil {
			t.Errorf("%.40s is %s", text, got)
		}
	}
}
