package wireformat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"chatcore/domain"
)

// checkSplit compares split with encoding/json.
func checkSplit(t *testing.T, payload []byte) (fast bool) {
	t.Helper()
	if !utf8.Valid(payload) {
		return false
	}
	text := bytes.Clone(payload)
	var got object
	ok := got.split(text)
	clear(text) // the fields do not share its memory
	var want map[string]json.RawMessage
	err := json.Unmarshal(payload, &want)
	switch {
	case ok && (err != nil || want == nil):
		t.Errorf("%q is no object, but was split into %q", payload, got.mapped())
	case ok && !maps.EqualFunc(got.mapped(), want, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }):
		t.Errorf("%q was split into %q; encoding/json says %q", payload, got.mapped(), want)
	}
	return ok
}

func TestSplit(t *testing.T) {
	for _, payload := range []string{
		`{"a":1}`, `{"a":0,"b":18446744073709551615}`, `{"a":"x","b":"","c":"ü€😀"}`, `{"a":"\"\\\/\b\f\n\r\t\u00e9\uD83d"}`, `{"a":true,"b":false,"c":null}`,
		`{"a":{},"b":[],"c":{"d":[1,{"e":"]}"}],"f":-1.5e+3}}`, `{"a":1,"a":2}`, `{"":""}`,
	} {
		if !checkSplit(t, []byte(payload)) {
			t.Errorf("%q was not split", payload)
		}
	}
	for _, payload := range []string{
		``, `{`, `{}`, ` {"a":1}`, `{"a":1} `, `{"a": 1}`, `{"a" :1}`, `{ "a":1}`, `{"a":1,}`, `{"a":1}}`, `{"a":1`, `{"a":`, `{"a"`, `{"a`, `{"a":1,"b"}`, `{a:1}`,
		`{"a\u0062":1}`, `{"a":01}`, `{"a":-1}`, `{"a":1.5}`, `{"a":1e3}`, `{"a":+1}`, `{"a":tru}`, `{"a":truer}`, `{"a":nul`, `{"a":"\x"}`, `{"a":"\u12g4"}`,
		`{"a":"\u12"}`, `{"a":"\`, "{\"a\":\"\n\"}", `{"a":[}`, `{"a":[1,]}`, `{"a":{"b"}}`, `{"a":[1}`, `{"a":["}`, `null`, `[]`, `{"a":1 ,"b":2}`, `{"a":1x}`, `{"a":12}3`,
		`{"a":` + string(bytes.Repeat([]byte{'['}, 200)) + string(bytes.Repeat([]byte{']'}, 200)) + `}`,
	} {
		if checkSplit(t, []byte(payload)) {
			t.Errorf("%q was split", payload)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte(`{"eventId":"e","type":"message:new","v":1,"seq":1,"ordinal":0,"content":"a\nb","attachments":[{"url":"u"}],"replyTo":null}`))
	f.Fuzz(func(t *testing.T, payload []byte) { checkSplit(t, payload) })
}

// TestDecode_Allocations counts the allocations for a message: its event and its texts. With encoding/json there were 47.
func TestDecode_Allocations(t *testing.T) {
	payload := []byte(`{"eventId":"e-1","type":"message:new","v":1,"timestamp":"2025-11-25T10:00:00.000Z","seq":1,"ordinal":1,"correlationId":"c-1","chatId":"c","messageId":"m",` +
		`"senderId":"u","content":"hi"}`)
	codec := New()
	if _, err := codec.Decode(payload); err != nil {
		t.Fatal(err)
	}
	const most = 2
	if n := testing.AllocsPerRun(100, func() { _, _ = codec.Decode(payload) }); n > most {
		t.Errorf("%v allocations; allowed: %d", n, most)
	}
}

// TestDecode_IDsHoldNoContent shows that a program which keeps an id does not keep the memory of the event's content.
func TestDecode_IDsHoldNoContent(t *testing.T) {
	const events, content = 1000, 20_000
	codec := New()
	kept := make([]domain.Event, 0, events)
	for range events {
		r, err := codec.Decode([]byte(`{"eventId":"e-1","type":"message:new","v":1,"timestamp":"2025-11-25T10:00:00.000Z","seq":1,"ordinal":1,"chatId":"c","messageId":"m",` +
			`"senderId":"u","content":"` + strings.Repeat("x", content) + `"}`))
		if err != nil {
			t.Fatal(err)
		}
		e, _ := r.Event.(domain.MessageNew)
		kept = append(kept, domain.MessageNew{Chat: e.Chat, Message: e.Message, Sender: e.Sender})
	}
	runtime.GC()
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	if now.HeapAlloc > events*content/2 {
		t.Errorf("the ids of %d events hold %d bytes", events, now.HeapAlloc)
	}
	runtime.KeepAlive(kept)
}

// TestObject_GetInAnyOrder reads fields in random orders, also of objects that have a name twice: the last one counts, as for encoding/json.
func TestObject_GetInAnyOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		names := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "aa", "type", "seq"}), 1, 20).Draw(rt, "names")
		var text strings.Builder
		last := make(map[string]string)
		for i, name := range names {
			last[name] = strconv.Itoa(i)
			fmt.Fprintf(&text, "%c%q:%d", "{,"[min(i, 1)], name, i)
		}
		var o object
		if !o.split([]byte(text.String() + "}")) {
			rt.Fatalf("%s is no object", text.String())
		}
		for _, name := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "aa", "type", "seq", "absent"}), 1, 20).Draw(rt, "reads") {
			want, there := last[name]
			if got, ok := o.get(name); got != want || ok != there {
				rt.Fatalf("%s of %s} is %q, %t, want %q", name, text.String(), got, ok, want)
			}
		}
	})
}
