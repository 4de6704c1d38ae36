package object

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chatcore/domain"
)

// TestPack_RoundTrip packs JSON, and texts that are none, made of parts that have a short form and of those that nearly have one.
func TestPack_RoundTrip(t *testing.T) {
	part := rapid.OneOf(
		rapid.StringMatching(`[0-9a-f]{30,70}`),
		rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`),
		rapid.StringMatching(`[0-9a-f]{7,9}-[0-9a-f]{4}-[0-9A-F]{4}-[0-9a-f]{4}-[0-9a-f]{11,12}`),
		rapid.SampledFrom([]string{`"seq":7,"ordinal":3`, `"seq":8,"ordinal":3`, `"seq":7,"ordinal":33`, "{", "\n", "\x00", "\x01", "\x02", "\x03", "-", "f"}),
		rapid.String(),
	)
	rapid.Check(t, func(t *rapid.T) {
		events := make([]Event, rapid.IntRange(0, 4).Draw(t, "events"))
		for i := range events {
			events[i] = Event{ID: "e", Ordinal: 3, JSON: []byte(strings.Join(rapid.SliceOfN(part, 0, 5).Draw(t, "parts"), ""))}
		}
		seq := func(i int) domain.Seq { return domain.Seq(i) + 6 } //nolint:gosec // an index
		var w writer
		w.events(events, seq)
		r := &reader{rest: w.b, ids: w.ids}
		got := r.events(len(events), seq)
		if err := r.end(Name{}); err != nil || !slices.EqualFunc(got, events, sameEvent) {
			t.Fatalf("got %+v, error %v, want %+v", got, err, events)
		}
	})
}

// TestPack_Size compares the packed form of events as the log has them.
func TestPack_Size(t *testing.T) {
	id := "01a22ab6-fdcc-77f8-88a8-996526bc9b4b"
	json := fmt.Sprintf(`{"eventId":"%s","type":"message:new","v":1,"seq":7,"ordinal":3,"messageId":"m:%s","x":"%s"}`, id, strings.Repeat("0f", 16), strings.ToUpper(id))
	var p packer
	p.add(Event{ID: domain.EventID(id), Ordinal: 3, JSON: []byte(json)}, 7)
	want := "{\"eventId\":\"\x01\",\"type\":\"message:new\",\"v\":1,\x03,\"messageId\":\"m:\x02\",\"x\":\"" + strings.ToUpper(id) + "\"}\n"
	if string(p.text) != want || len(p.ids[0]) != 2 || len(p.verbatim.b) > 0 {
		t.Errorf("packed %q with %d ids, want %q", p.text, len(p.ids[0]), want)
	}
}

// TestPack_Transposed puts ids into columns: those of one event are not together.
func TestPack_Transposed(t *testing.T) {
	a, b, c := id{1, 2}, id{3, 4}, id{5, 6}
	got := transposed([][]id{{a, c}, nil, {b}})
	want := slices.Concat([]byte{1, 3, 2, 4}, make([]byte, 2*(len(id{})-2)), c[:])
	if !bytes.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
