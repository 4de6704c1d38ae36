package wireformat_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// TestOwnTypeFree_ReservedNames refuses names that the core may use later, to record and to define; events of that name that were recorded before the
// names were reserved are read.
func TestOwnTypeFree_ReservedNames(t *testing.T) {
	codec := wireformat.New()
	for _, first := range []string{"chat", "message", "member", "thread", "read", "user", "typing"} {
		typ := domain.CustomType(first + ":later")
		var invalid *domain.InvalidError
		if err := wireformat.CheckCustomType(typ); !errors.As(err, &invalid) || !strings.Contains(err.Error(), first+": is reserved") {
			t.Errorf("%s: %v", typ, err)
		}
		own := domain.Custom{Chat: "c", Actor: "ada", Type: typ, Version: 1, Data: `{"a":1}`, At: time.UnixMilli(0)}
		if _, err := codec.Encode("e", own, ports.Meta{}); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%s was encoded: %v", typ, err)
		}
		recorded := `{"eventId":"e","type":"` + string(typ) + `","v":3,"timestamp":"2026-01-01T00:00:00.000Z","seq":1,"ordinal":0,"chatId":"c","actorId":"ada","data":{"a":1}}`
		r, err := codec.Decode([]byte(recorded))
		if e, ok := r.Event.(domain.Custom); err != nil || !ok || e.Type != typ || e.Version != 3 {
			t.Errorf("%s reads as %+v, %v", typ, r, err)
		}
		if _, err := codec.Decode([]byte(strings.Replace(recorded, `,"data":{"a":1}`, "", 1))); !errors.Is(err, wireformat.ErrUnknownType) {
			t.Errorf("%s of a later core: %v", typ, err)
		}
	}
	for _, free := range []domain.CustomType{"poll:created", "chats:x", "my.chat:x", "message-board:post"} {
		if err := wireformat.CheckCustomType(free); err != nil {
			t.Error(err)
		}
	}
}

// TestCodec_DecodeUnknown decodes every durable event as a build does that does not know its type, and checks that writing it is refused.
func TestCodec_DecodeUnknown(t *testing.T) {
	for _, typ := range wireformat.DurableTypes() {
		newer := wireformat.New(wireformat.WithUpcaster(typ, 1, func(map[string]json.RawMessage) error { return nil }))
		for name, event := range samples() {
			durable, ok := event.(domain.Durable)
			if !ok || wireformat.Type(event) != typ {
				continue
			}
			encoded, err := newer.Encode("e-1", durable, ports.Meta{CorrelationID: "r", CausationID: "k", TraceParent: "t"})
			if err != nil {
				t.Fatal(err)
			}
			payload := encoded.Splice(7, 3)
			for reason, build := range map[error]*wireformat.Codec{
				wireformat.ErrNewerVersion: wireformat.New(), wireformat.ErrUnknownType: wireformat.New(wireformat.WithoutTypes(typ)),
			} {
				if _, err := build.Decode(payload); !errors.Is(err, reason) || errors.Is(err, wireformat.ErrMalformed) {
					t.Errorf("%s: %v, not %v", name, err, reason)
				}
				r, err := build.DecodeUnknown(payload)
				e, _ := r.Event.(domain.Unknown)
				if err != nil || r.ID != "e-1" || r.Seq != 7 || r.Ordinal != 3 || r.Meta != (ports.Meta{CorrelationID: "r", CausationID: "k", TraceParent: "t"}) {
					t.Errorf("%s: %+v, %v", name, r, err)
				}
				if e.Chat != durable.ChatID() || e.Type != typ || e.Version != 2 || e.Data != string(payload) || !e.At.Equal(domain.Instant(durable.OccurredAt())) ||
					e.Newer != errors.Is(reason, wireformat.ErrNewerVersion) || e.Sent != (typ == wireformat.TypeMessageNew) || wireformat.Type(e) != typ {
					t.Errorf("%s: %+v", name, e)
				}
				if _, err := build.Encode("e-1", e, ports.Meta{}); !errors.Is(err, wireformat.ErrUnknownType) {
					t.Errorf("%s was written again: %v", name, err)
				}
			}
		}
	}
	if !errors.Is(wireformat.ErrNewerVersion, ports.ErrNewerVersion) {
		t.Error("the codec's error is not the ports'")
	}
}
