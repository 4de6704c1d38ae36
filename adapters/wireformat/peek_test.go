package wireformat_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chatcore/adapters/wireformat"
)

// TestPeek_AgreesWithTheWholePayload compares PeekType and InLog with the recorded payloads, as they are and with their fields in another order.
func TestPeek_AgreesWithTheWholePayload(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		payload, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(payload), `"type":"`)
		typ, _, _ := strings.Cut(rest, `"`)
		durable := slices.Contains(wireformat.DurableTypes(), typ) || strings.Contains(string(payload), `"seq":7`)
		turned := `{"chatId":"x",` + string(payload[1:])
		for _, text := range []string{string(payload), turned} {
			if got := string(wireformat.PeekType([]byte(text))); got != typ {
				t.Errorf("%s: the type is %q, want %q", text, got, typ)
			}
			if got := wireformat.InLog([]byte(text)); got != durable {
				t.Errorf("%s: it is in a log: %t", text, got)
			}
		}
		if durable {
			if n := testing.AllocsPerRun(100, func() { wireformat.PeekType(payload); wireformat.InLog(payload) }); n > 0 {
				t.Errorf("%s: a peek makes %v allocations", file, n)
			}
		}
	}
}

// TestPeek_OtherPayloads has what other programs publish.
func TestPeek_OtherPayloads(t *testing.T) {
	for payload, want := range map[string]struct {
		typ   string
		inLog bool
	}{
		``:                                     {},
		`null`:                                 {},
		`"text"`:                               {},
		`{"eventId":"e`:                        {},
		`{"eventId":"e","type":"a:b"`:          {typ: "a:b"}, // a decoder refuses it
		`{"eventId":"e\"","type":"a:b"}`:       {typ: "a:b"},
		`{"eventId":"e","type":"a\u003ab"}`:    {typ: "a:b"},
		`{"eventId":"e","seq":1,"type":"a:b"}`: {typ: "a:b", inLog: true},
		`{"chatId":"c","content":"\"eventId\":1,\"seq\":2"}`:                               {},
		`{"eventId":"e","type":"a:b","v":1,"timestamp":"t","clientMeta":{"seq":1}}`:        {typ: "a:b"},
		`{"eventId":"e","type":"a:b","v":1,"timestamp":"t","clientMeta":{},"seq":1}`:       {typ: "a:b", inLog: true},
		`{"eventId":"e","type":"message:new","v":1,"timestamp":"2026","seq":1,"x":"\xff"}`: {typ: "message:new", inLog: true},
	} {
		if typ, inLog := string(wireformat.PeekType([]byte(payload))), wireformat.InLog([]byte(payload)); typ != want.typ || inLog != want.inLog {
			t.Errorf("%s: type %q, in a log %t", payload, typ, inLog)
		}
	}
}

// TestPeekPlaced_AgreesWithTheDecodedEvent compares PeekPlaced with what a codec decodes, also of payloads with their fields in another order.
func TestPeekPlaced_AgreesWithTheDecodedEvent(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	codec, compared := wireformat.New(), 0
	for _, file := range files {
		payload, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		turned := `{"chatId":"x",` + string(payload[1:])
		for _, text := range []string{string(payload), turned} {
			want, unknown := codec.DecodeUnknown([]byte(text))
			got, err := wireformat.PeekPlaced([]byte(text))
			if inLog := unknown == nil; inLog != (err == nil) {
				t.Errorf("%s: the error is %v, of decoding it %v", file, err, unknown)
			} else if at := want.Event; inLog && (got.ID != want.ID || got.Seq != want.Seq || got.Ordinal != want.Ordinal || !got.At.Equal(at.OccurredAt())) {
				t.Errorf("%s: %+v, want %+v", file, got, want)
			} else if inLog {
				compared++
			}
		}
		if _, err := wireformat.PeekPlaced(payload); err == nil {
			if n := testing.AllocsPerRun(100, func() { _, _ = wireformat.PeekPlaced(payload) }); n > 1 {
				t.Errorf("%s: a peek makes %v allocations", file, n)
			}
		}
	}
	if compared == 0 {
		t.Error("no event was compared")
	}
	for _, text := range []string{
		``, `{}`, `{"eventId":"e","type":"a:b","v":1,"timestamp":"2026-01-01T00:00:00.000Z","seq":0,"ordinal":1}`,
		`{"eventId":"e","type":"a:b","v":1,"timestamp":"2026-01-01T00:00:00.000Z","seq":1,"ordinal":-1}`,
		`{"eventId":"","type":"a:b","v":1,"timestamp":"2026-01-01T00:00:00.000Z","seq":1,"ordinal":1}`,
		`{"eventId":"e","type":"a:b","v":1,"timestamp":"t","seq":1,"ordinal":1}`,
	} {
		if got, err := wireformat.PeekPlaced([]byte(text)); err == nil {
			t.Errorf("%s gives %+v", text, got)
		}
	}
}
