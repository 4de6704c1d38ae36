package app_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/domain"
)

// TestCreate_Metadata creates a chat with metadata: it is one append, and the values are canonical.
func TestCreate_Metadata(t *testing.T) {
	log := memory.New(wireformat.New(), clock{}, nil)
	chats, queries := openChats(log, app.Policy{})
	create := domain.Create{Chat: "c", Actor: "own", Members: []domain.UserID{"ann"}, Command: "create", Metadata: map[string]string{"topic": ` "Garden" `, "open": "true"}}
	done, err := chats.Create(t.Context(), create)
	if err != nil || done.Seq != 3 {
		t.Fatalf("%+v, error %v", done, err)
	}
	got, err := queries.Metadata(t.Context(), "c")
	if want := map[string]domain.JSON{"topic": `"Garden"`, "open": "true"}; err != nil || !maps.Equal(got.Values, want) || got.Version != 2 {
		t.Errorf("%+v, error %v", got, err)
	}
	create.Metadata["topic"] = `"Garden"`
	if again, err := chats.Create(t.Context(), create); err != nil || !again.Duplicate {
		t.Errorf("given again: %+v, error %v", again, err)
	}
	create.Metadata["topic"] = `"Sea"`
	if _, err := chats.Create(t.Context(), create); !errors.Is(err, domain.ErrCommandReused) {
		t.Errorf("given again with another topic: %v", err)
	}
	create.Chat, create.Metadata = "d", map[string]string{"a b": "1"}
	if _, err := chats.Create(t.Context(), create); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("with a wrong key: %v", err)
	}
	if _, err := queries.Chat(t.Context(), "d"); !errors.Is(err, domain.ErrChatNotFound) {
		t.Errorf("a refused creation: %v", err)
	}
}

// TestCaps_OfMetadata exceeds each cap of the metadata by one, in a creation and in a change.
func TestCaps_OfMetadata(t *testing.T) {
	for _, test := range []struct {
		name   string
		caps   app.Caps
		within map[string]string
		beyond map[string]string
		which  domain.Cap
		most   int
	}{
		{"keys", app.Caps{MetadataKeys: 2}, map[string]string{"a": "1", "b": "1"}, map[string]string{"a": "1", "b": "1", "c": "1"}, domain.CapMetadataKeys, 2},
		{"a value", app.Caps{MetadataValue: 5}, map[string]string{"a": `"abc"`}, map[string]string{"a": `"abcd"`}, domain.CapMetadataValue, 5},
		{"all bytes", app.Caps{MetadataBytes: 4}, map[string]string{"a": "1", "b": "1"}, map[string]string{"a": "1", "b": "12"}, domain.CapMetadata, 4},
		{
			"the highest",
			app.Caps{MetadataKeys: domain.MaxMetadataKeys, MetadataValue: domain.MaxMetadataValue, MetadataBytes: domain.MaxMetadataBytes},
			large(3, domain.MaxMetadataValue-1), large(4, domain.MaxMetadataValue-1), domain.CapMetadata, domain.MaxMetadataBytes,
		},
	} {
		log := memory.New(wireformat.New(), clock{}, nil)
		chats, queries := openChats(log, app.Policy{Caps: test.caps})
		if _, err := chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "own", Metadata: test.beyond}); !capped(err, test.which, test.most) || !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%s, created beyond: %v", test.name, err)
		}
		if _, err := chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "own", Metadata: test.within}); err != nil {
			t.Errorf("%s, created within: %v", test.name, err)
		}
		if _, err := chats.UpdateMetadata(t.Context(), domain.UpdateMetadata{Chat: "c", Actor: "own", Set: test.beyond}); !capped(err, test.which, test.most) {
			t.Errorf("%s, changed beyond: %v", test.name, err)
		}
		if got, err := queries.Metadata(t.Context(), "c"); err != nil || len(got.Values) != len(test.within) {
			t.Errorf("%s: %d keys, error %v", test.name, len(got.Values), err)
		}
	}
}

// large returns values that have a number of bytes each, with their keys.
func large(n, size int) map[string]string {
	values := make(map[string]string, n)
	for i := range n {
		values[fmt.Sprint(i)] = `"` + strings.Repeat("x", size-3) + `"`
	}
	return values
}
