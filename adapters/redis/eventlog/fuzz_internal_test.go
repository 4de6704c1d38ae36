package eventlog

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// FuzzLoadEntry decodes any entries of a chat, index entries of commands and heads: each is valid for the requested entity, or corrupt.
func FuzzLoadEntry(f *testing.F) {
	codec := wireformat.New()
	sent := domain.MessageNew{Chat: "c", Message: "m", Sender: "ada", Content: "{x}", At: time.Unix(1700000000, 0)}
	encoded, err := codec.Encode("e", sent, ports.Meta{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("c", uint64(7), "m3r5"+string(encoded.Splice(7, 2)), "7:1:ff", "7:2")
	f.Add("c", uint64(7), string(encoded.Splice(8, 2)), "7:0:0", "7:2:0:7")
	f.Add("d", uint64(7), "m3", "7:-1:ff", "0:0")
	f.Add("c", uint64(0), "{}", "::", "-1:+1")
	f.Add("c", uint64(1), `m1{"type":"poll:created","v":9,"seq":1,"chatId":"c"}`, "1:1:zz", "18446744073709551616:1")
	l := &Log{codec: codec, logger: slog.New(slog.DiscardHandler)}
	f.Fuzz(func(t *testing.T, chat string, seq uint64, entry, command, head string) {
		seq &= 1<<53 - 1
		corrupt := func(what string, err error) {
			var c *ports.CorruptError
			if !errors.Is(err, ports.ErrCorrupt) || !errors.As(err, &c) || c.Chat != domain.ChatID(chat) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if r, err := l.decode(domain.ChatID(chat), domain.Seq(seq), entry); err != nil {
			corrupt("entry", err)
		} else if r.Seq != domain.Seq(seq) || r.Event.ChatID() != domain.ChatID(chat) {
			t.Errorf("seq %d of chat %q is read as %+v", seq, chat, r)
		}
		for _, kind := range []domain.EntityKind{domain.KindChat, domain.KindMessage, domain.KindReactions, domain.KindMember, domain.KindRead} {
			w, into := walk{want: ports.LoadRequest{Entity: domain.Entity{Kind: kind, ID: "x"}}}, ports.EntityHistory{}
			reply := []any{int64(seq), int64(0), int64(0), "", int64(0), int64(seq), entry} //nolint:gosec // 53 bits
			if err := l.step(t.Context(), domain.ChatID(chat), reply, &w, &into); err != nil {
				corrupt("step", err)
			} else if into.Version != domain.Seq(seq) || len(into.Events) != 1 {
				t.Errorf("one event is read as %+v", into)
			}
			if s, err := readSnapshot(domain.ChatID(chat), w.want.Entity, 1, entry); err == nil && s.State == nil {
				t.Errorf("%q is a snapshot of nothing", entry)
			}
		}
		w, into := walk{want: ports.LoadRequest{Entity: domain.Entity{Kind: domain.KindCommand, ID: "x"}}}, ports.EntityHistory{}
		if err := l.step(t.Context(), domain.ChatID(chat), []any{int64(seq), int64(0), int64(0), command}, &w, &into); err != nil { //nolint:gosec // 53 bits
			corrupt("command", err)
		} else if into.Command.Events < 0 || command == "" && into.Command != (ports.CommandRecord{}) {
			t.Errorf("%q is read as %+v", command, into.Command)
		}
		if found, err := parseHead(head); err == nil {
			if again, err := parseHead(found.String()); found.last == 0 || again != found || err != nil {
				t.Errorf("%q is read as %+v", head, found)
			}
		}
	})
}

// FuzzIndexFields converts entities to fields of the index and back, and corrects any links.
func FuzzIndexFields(f *testing.F) {
	f.Add(uint8(domain.KindMessage), "m-1", "m3r5", uint64(4))
	f.Add(uint8(domain.KindMessage), "018c3c5e-7b1a-7000-8000-000000000001", "", uint64(0))
	f.Add(uint8(domain.KindMember), "u1", "c1u2", uint64(1<<60))
	f.Add(uint8(domain.KindReceipt), "v", "vvv", uint64(9))
	f.Fuzz(func(t *testing.T, kind uint8, id, links string, to uint64) {
		if _, err := domain.ParseMessageID(id); err != nil {
			return
		}
		e := domain.Entity{Kind: domain.KindChat + domain.EntityKind(kind)%domain.Kinds, ID: id}
		if e.Kind == domain.KindChat {
			e = domain.ChatEntity()
		}
		field := string(appendField(nil, e))
		switch {
		case fieldKind(field) != kindCode(e.Kind):
			t.Errorf("%s is in field %q of kind %s", e, field, fieldKind(field))
		case e.Kind != domain.KindCommand && fieldEntity(field) != e: // a command's field is a digest
			t.Errorf("%s is in field %q, which is that of %s", e, field, fieldEntity(field))
		case recorded(field) != (e.Kind == domain.KindCommand):
			t.Errorf("%s is recorded in field %q: %t", e, field, recorded(field))
		}
		corrected := linked(links, kindCode(e.Kind), to)
		if again := linked(corrected, kindCode(e.Kind), to); to > 0 && again != corrected {
			t.Errorf("%q is corrected to %q and then to %q", links, corrected, again)
		}
	})
}
