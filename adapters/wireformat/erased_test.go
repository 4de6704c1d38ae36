package wireformat_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// TestErased_SamplesAreTheirErasedForms erases every sample. The result is the JSON of the event with Erased set.
func TestErased_SamplesAreTheirErasedForms(t *testing.T) {
	meta := ports.Meta{CorrelationID: "request-1", CausationID: "cmd-1", TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	all := samples()
	all["custom"] = domain.Custom{Chat: "room-1", Actor: "ada", Type: "poll:created", Version: 2, Entity: "p-1", Data: `{"a":{"b":["secret"]}}`, At: at}
	all["custom_empty"] = domain.Custom{Chat: "room-1", Actor: "ada", Type: "poll:created", Version: 2, Data: "{}", At: at}
	for name, e := range all {
		payload := encode(t, e, meta)
		want := payload
		if durable, ok := e.(domain.Durable); ok {
			want = encode(t, domain.Erased(durable), meta)
		}
		got, err := wireformat.Erased(payload)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s becomes\n%s, error %v, want\n%s", name, got, err, want)
		}
		if again, err := wireformat.Erased(got); err != nil || !bytes.Equal(again, got) {
			t.Errorf("%s becomes %s at the second time, error %v", name, again, err)
		}
	}
}

// TestErased_DropsUnknownFields erases an event of a later version: a field that this program does not know may have content.
func TestErased_DropsUnknownFields(t *testing.T) {
	got, err := wireformat.Erased([]byte(`{ "eventId":"e" ,"type":"message:new","v":7,"seq":3,"subject":"secret","content":{"html":"secret"},"senderId":"a\u0064a","\u0063ontentType":"secret"}`))
	if want := `{"eventId":"e","type":"message:new","v":7,"seq":3,"content":"","senderId":"a\u0064a","erased":true}`; err != nil || string(got) != want {
		t.Errorf("the erased form is %s, error %v, want %s", got, err, want)
	}
	got, err = wireformat.Erased([]byte(`{"eventId":"e","type":"chat:update","v":7,"seq":3,"chatId":"c","change":"archived","topic":"secret"}`))
	if want := `{"eventId":"e","type":"chat:update","v":7,"seq":3,"chatId":"c","change":"archived","erased":true}`; err != nil || string(got) != want {
		t.Errorf("the erased form is %s, error %v, want %s", got, err, want)
	}
}

func TestErased_RefusesOtherText(t *testing.T) {
	for _, text := range []string{``, `null`, `[]`, `{}`, `{"type":7}`, `{"type":"message:new"`, `{"type":"message:new","content":"a","content":"b"}`, "{\"type\":\"\xff\"}"} {
		got, err := wireformat.Erased([]byte(text))
		if !errors.Is(err, wireformat.ErrMalformed) {
			t.Errorf("%q becomes %q, error %v", text, got, err)
		}
	}
}

// FuzzErased checks that the erased form of whatever decodes as an event decodes as the same event without content, and is its own erased form.
func FuzzErased(f *testing.F) {
	for _, name := range slices.Sorted(maps.Keys(samples())) {
		f.Add(encode(f, samples()[name], ports.Meta{CorrelationID: "c"}))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		erased, err := wireformat.Erased(payload)
		if err != nil {
			return
		}
		if again, err := wireformat.Erased(erased); err != nil || !bytes.Equal(again, erased) {
			t.Fatalf("%q becomes %q and then %q, error %v", payload, erased, again, err)
		}
		var before, after map[string]json.RawMessage
		if json.Unmarshal(payload, &before) != nil || json.Unmarshal(erased, &after) != nil {
			t.Fatalf("%q becomes %q, one of which is no object", payload, erased)
		}
		codec := wireformat.New()
		was, err := codec.Decode(payload)
		if err != nil {
			return
		}
		is, err := codec.Decode(erased)
		if err != nil || is.ID != was.ID || is.Seq != was.Seq || is.Ordinal != was.Ordinal || is.Meta != was.Meta {
			t.Fatalf("%q is %+v, its erased form %+v, error %v", payload, was, is, err)
		}
		for _, field := range []string{"mentions", "attachments", "clientMeta", "replyTo", "reason", "set", "unset"} {
			_, left := after[field]
			if left && domain.IsErased(domain.Erased(was.Event)) {
				t.Fatalf("%q has a field %s in its erased form %q", payload, field, erased)
			}
		}
	})
}
