package wireformat_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
)

// TestErased_OfCompactEvents erases events that were decoded from the compact form: the compact form of the result has the JSON that the erasure of the JSON gives.
func TestErased_OfCompactEvents(t *testing.T) {
	codec := wireformat.New()
	rapid.Check(t, func(rt *rapid.T) {
		id, e, m := domain.EventID(anID(rt, "id")), anEvent(rt), aMeta(rt)
		const seq, ordinal = 7, 5
		body, ok := codec.AppendCompact(nil, id, e, m)
		if !ok {
			return
		}
		record, json, err := wireformat.CompactRecord(e.ChatID(), seq, wireformat.StoredCompact(body, ordinal))
		if err != nil {
			rt.Fatal(err)
		}
		want, err := wireformat.Erased(json)
		if err != nil {
			rt.Fatal(err)
		}
		erased := domain.Erased(record.Event)
		if body, ok = codec.AppendCompact(nil, record.ID, erased, record.Meta); !ok {
			switch erased.(type) {
			case domain.MessageNew, domain.MessageEdit, domain.MessageDelete:
				rt.Fatalf("%+v has no compact form", erased)
			}
			return
		}
		if got, err := wireformat.CompactJSON(e.ChatID(), seq, wireformat.StoredCompact(body, record.Ordinal)); err != nil || !bytes.Equal(got, want) {
			rt.Fatalf("%+v is erased as\n%s, error %v, want\n%s", e, got, err, want)
		}
	})
}
