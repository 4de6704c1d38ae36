package redisgroup

import (
	"fmt"
	"strings"
	"testing"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
)

// rangeReply is a reply to XRANGE in RESP with one entry.
func rangeReply(id string, fields ...string) []byte {
	var b strings.Builder
	text := func(s string) { fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(s), s) }
	b.WriteString("*1\r\n*2\r\n")
	text(id)
	fmt.Fprintf(&b, "*%d\r\n", len(fields))
	for _, field := range fields {
		text(field)
	}
	return []byte(b.String())
}

// FuzzStreamEntry reads entries with any fields of any sizes: each has an id and a bounded size, or a reason why not.
func FuzzStreamEntry(f *testing.F) {
	good := `{"messageId":"m","chatId":"c","senderId":"ben","content":"x"}`
	metadata := string(wireformat.EncodeMetadata(map[string]string{"type": "message:new"}))
	f.Add("message:new", "", "", good, "", "", 0)
	f.Add("", "id", metadata, good, "", "", 0)
	f.Add("", "id", metadata, good, "c", "1", 0)
	f.Add("", "id", "\xdf\xff\xff\xff\xff", good, "c", "x", 3)
	f.Add("poll:created", "", "", "[]", "", "0", 1<<21)
	f.Fuzz(func(t *testing.T, typ, uuid, metadata, payload, chat, seq string, pad int) {
		if pad = max(pad, 0) % (4 << 20); pad > 0 {
			payload += strings.Repeat(" ", pad)
		}
		var fields []string
		for _, field := range [][2]string{
			{"type", typ}, {wireformat.FieldUUID, uuid}, {"metadata", metadata}, {"payload", payload}, {"chat", chat}, {"seq", seq}, {typ, payload},
		} {
			if field[1] != "" {
				fields = append(fields, field[0], field[1])
			}
		}
		entries, err := parseRange(rangeReply("1-0", fields...))
		if err != nil || len(entries) != 1 {
			t.Fatalf("%d entries, %v", len(entries), err)
		}
		e := entries[0]
		switch {
		case len(e.Broken) > 1000:
			t.Errorf("the reason has %d bytes", len(e.Broken))
		case e.Broken != "":
		case e.UUID == "":
			t.Errorf("no id: %+v", e)
		case e.Seq == 0 && e.Chat != "":
			t.Errorf("an entry in no log has the chat %q", e.Chat)
		case e.Seq == 0 && (len(e.UUID) > domain.MaxIDBytes+len("entry:") || len(e.UUID)+len(e.Metadata)+len(e.Payload) > 2*maxForeign):
			t.Errorf("an id of %d bytes, metadata of %d, a payload of %d", len(e.UUID), len(e.Metadata), len(e.Payload))
		case e.Seq > 0 && (len(e.Chat) > domain.MaxIDBytes || e.Chat == ""):
			t.Errorf("a chat id of %d bytes", len(e.Chat))
		}
	})
}

// FuzzStreamReply reads any bytes as replies. Reading ends without a panic, and allocates in proportion to the input.
func FuzzStreamReply(f *testing.F) {
	f.Add(rangeReply("1-0", "type", "message:new", "payload", "{}"))
	f.Add([]byte("*9223372036854775807\r\n*2\r\n$3\r\n1-0\r\n%9223372036854775807\r\n"))
	f.Add([]byte("*1\r\n*2\r\n$9223372036854775807\r\n"))
	f.Add([]byte("*1\r\n*2\r\n$-5\r\n"))
	f.Fuzz(func(_ *testing.T, raw []byte) {
		_, _ = parseRange(raw)
		_, _ = parseRead(raw)
	})
}
