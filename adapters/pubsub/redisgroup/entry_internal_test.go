package pubsub

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

type noClock struct{}

func (noClock) Now() time.Time                               { return time.Unix(0, 0) }
func (noClock) Sleep(ctx context.Context, _ time.Time) error { return ctx.Err() }

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

// handled passes an entry to a consumer as an owner of a partition would, and reports whether a handler was called.
func handled(t *testing.T, e *entry) (called bool) {
	t.Helper()
	handle := func(_ context.Context, d ports.Delivery) error {
		called = true
		if d.Event == nil || d.Event.ChatID() == "" || len(d.ID.Event) > domain.MaxIDBytes || d.ID.Event == "" {
			t.Errorf("delivered %+v", d)
		}
		return nil
	}
	consume := NewConsumer(wireformat.New(), "log", noClock{}, map[string]Handler{AnyType: handle}, &Counters{})
	p := &record{queue: &chatQueue{}, owned: &ownedPartition{}}
	p.open(e)
	p.seq = 0
	msg, err := p.message(t.Context(), false, wireformat.New())
	if err == nil {
		err = consume(msg)
	}
	if called == (err != nil) {
		t.Errorf("handled %v, error %v", called, err)
	}
	if len(p.broken) > 1000 {
		t.Errorf("the reason has %d bytes", len(p.broken))
	}
	return called
}

// FuzzStreamEntry reads entries with any fields of any sizes: each reaches a handler or has a reason why not.
func FuzzStreamEntry(f *testing.F) {
	good := `{"messageId":"m","chatId":"c","senderId":"ben","content":"x"}`
	metadata := string(wireformat.EncodeMetadata(message.Metadata{"type": "message:new"}))
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
		if e := &entries[0]; e.seq == 0 {
			handled(t, e)
		} else if len(e.chat) > domain.MaxIDBytes || e.chat == "" {
			t.Errorf("a chat id of %d bytes", len(e.chat))
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
