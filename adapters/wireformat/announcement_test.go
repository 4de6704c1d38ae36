package wireformat_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports/groups"
)

func id(ms, n uint64) groups.StreamID { return groups.StreamID{Milliseconds: ms, Number: n} }

func TestAnnouncement_Text(t *testing.T) {
	a := wireformat.Announcement{Previous: id(5, 1), Events: []wireformat.Announced{
		{ID: id(6, 0), Seq: 7, Chat: "c:ü", JSON: []byte(`{"a":"b c"}`)},
		{ID: id(6, 1), Seq: 1, Chat: "d", JSON: []byte("{\n}")},
	}}
	const want = "5-1\n6-0 7 c:ü 11 {\"a\":\"b c\"}\n6-1 1 d 3 {\n}\n"
	if text := string(a.Append(nil)); text != want {
		t.Errorf("the text is %q, want %q", text, want)
	}
	var parsed wireformat.Announcement
	if err := parsed.Parse(want); err != nil || !reflect.DeepEqual(parsed, a) {
		t.Errorf("%q is %v, error %v", want, parsed, err)
	}
}

func TestAnnouncement_Malformed(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                  "",
		"no id":                    "x\n6-0 7 c 2 {}\n",
		"no new line":              "5-1",
		"no event":                 "5-1\n",
		"an event without id":      "5-1\n6 7 c 2 {}\n",
		"an event without seq":     "5-1\n6-0  c 2 {}\n",
		"seq 0":                    "5-1\n6-0 0 c 2 {}\n",
		"a signed seq":             "5-1\n6-0 +7 c 2 {}\n",
		"a seq with a zero before": "5-1\n6-0 07 c 2 {}\n",
		"a length with a zero":     "5-1\n6-0 7 c 02 {}\n",
		"an event without chat":    "5-1\n6-0 7  2 {}\n",
		"a chat with a new line":   "5-1\n6-0 7 c\nd 2 {}\n",
		"no length":                "5-1\n6-0 7 c  {}\n",
		"a negative length":        "5-1\n6-0 7 c -1 {}\n",
		"a short length":           "5-1\n6-0 7 c 1 {}\n",
		"a long length":            "5-1\n6-0 7 c 3 {}\n",
		"a length beyond the end":  "5-1\n6-0 7 c 4 {}\n",
		"a huge length":            "5-1\n6-0 7 c 18446744073709551615 {}\n",
		"a cut event":              "5-1\n6-0 7 c 2 {}\n6-1 8 c",
		"an empty line":            "5-1\n6-0 7 c 2 {}\n\n",
		"the previous id again":    "5-1\n5-1 7 c 2 {}\n",
		"an id again":              "5-1\n6-0 7 c 2 {}\n6-0 8 c 2 {}\n",
		"falling ids":              "5-1\n6-1 7 c 2 {}\n6-0 8 c 2 {}\n",
	} {
		a := wireformat.Announcement{Previous: id(1, 1), Events: make([]wireformat.Announced, 1)}
		if err := a.Parse(text); !errors.Is(err, wireformat.ErrMalformed) || a.Previous != id(0, 0) || len(a.Events) != 0 {
			t.Errorf("%s: %q is %v, error %v", name, text, a, err)
		}
	}
}

// TestAnnouncement_SharesNothingWithOthers changes the JSON of an event by appending to it, which must not change the event after it.
func TestAnnouncement_SharesNothingWithOthers(t *testing.T) {
	var a wireformat.Announcement
	if err := a.Parse("0-0\n6-0 7 c 2 {}\n6-1 8 c 2 []\n"); err != nil {
		t.Fatal(err)
	}
	_ = append(a.Events[0].JSON, strings.Repeat("x", 20)...)
	if string(a.Events[1].JSON) != "[]" {
		t.Errorf("the JSON of the second event is %q", a.Events[1].JSON)
	}
}

// TestAnnouncement_Allocations counts the allocations of a message of 64 events: one copy of its text, whatever the number of events.
func TestAnnouncement_Allocations(t *testing.T) {
	text := announcementOf(64)
	var a wireformat.Announcement
	if n := testing.AllocsPerRun(100, func() {
		if err := a.Parse(text); err != nil {
			t.Error(err)
		}
	}); n != 1 {
		t.Errorf("an announcement of %d events takes %v allocations", len(a.Events), n)
	}
}

func announcementOf(events int) string {
	var a wireformat.Announcement
	for i := range events {
		json := `{"eventId":"` + strings.Repeat("e", 36) + `","content":"` + strings.Repeat("x", 250) + `"}`
		a.Events = append(a.Events, wireformat.Announced{ID: id(1700000000000, uint64(i)), Seq: domain.Seq(i + 1), Chat: "chat-123456", JSON: []byte(json)})
	}
	return string(a.Append(nil))
}

func BenchmarkAnnouncement_Parse(b *testing.B) {
	text := announcementOf(1)
	var a wireformat.Announcement
	b.ReportAllocs()
	for b.Loop() {
		if err := a.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzAnnouncement parses any text. An announcement that is accepted is written as the same text.
func FuzzAnnouncement(f *testing.F) {
	f.Add("")
	f.Add(announcementOf(2))
	f.Add("5-1\n6-0 7 c 2 {}\n6-1 8 d 3 {\n}\n")
	f.Add("0-0\n6-0 7 c 0 \n")
	f.Fuzz(func(t *testing.T, text string) {
		var a wireformat.Announcement
		if err := a.Parse(text); err != nil {
			if !errors.Is(err, wireformat.ErrMalformed) || a.Previous != id(0, 0) || len(a.Events) != 0 {
				t.Errorf("%q is %v, error %v", text, a, err)
			}
			return
		}
		if again := string(a.Append(nil)); again != text {
			t.Errorf("%q is written as %q", text, again)
		}
	})
}
