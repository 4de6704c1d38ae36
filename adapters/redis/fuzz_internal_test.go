package redis

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// FuzzEscape escapes any two texts: they stay distinct, contain no special characters of keys and patterns, and can be unescaped.
func FuzzEscape(f *testing.F) {
	for _, seed := range [][2]string{{"", ""}, {"room-1", "user-789"}, {"a:b", "a%3Ab"}, {"%", "%25"}, {"\xff", "\ufffd"}, {"\u2028", "ü 🍅"}, {"a+b", "a b"}, {`{}*?[]\`, "\x00\x7f"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, s := range []string{a, b} {
			escaped := escape(s)
			if back, err := url.PathUnescape(escaped); err != nil || back != s {
				t.Errorf("%q becomes %q, and %q again, error %v", s, escaped, back, err)
			}
			if strings.ContainsAny(escaped, ":{}*?[]\\ \n\r\t\x00\x7f") || !utf8.ValidString(escaped) {
				t.Errorf("%q becomes %q", s, escaped)
			}
			if appended := string(appendEscaped([]byte("x"), s)); appended != "x"+escaped {
				t.Errorf("%q becomes %q as a whole and %q as a part", s, escaped, appended)
			}
		}
		if (escape(a) == escape(b)) != (a == b) {
			t.Errorf("%q and %q become %q and %q", a, b, escape(a), escape(b))
		}
		if joined([]string{a, b}) != escape(a)+":"+escape(b) {
			t.Errorf("%q and %q are joined to %q", a, b, joined([]string{a, b}))
		}
	})
}

// FuzzReserved checks that every key of an event log and of chatcore's own records is reserved, in the namespace of the keys, in none and in any
// other one.
func FuzzReserved(f *testing.F) {
	f.Add("", "", 1, false, "room-1", "ada")
	f.Add("acme", "", 2, true, "a:b", "{x}")
	f.Add("", "acme:eu", 16, false, "cc:", "*")
	f.Add("a:b", "c", 100, true, "%", "\xff")
	f.Fuzz(func(t *testing.T, namespace, other string, partitions int, cluster bool, chat, name string) {
		k, err := NewKeys(namespace, partitions, cluster)
		if err != nil {
			return
		}
		asked, err := NewKeys(other, 1, false)
		if err != nil {
			return
		}
		for _, key := range ownKeys(k, domain.ChatID(chat), name) {
			if !k.reserved(key) || !asked.reserved(key) {
				t.Errorf("%q is not reserved under %q and %q: %t, %t", key, namespace, other, k.reserved(key), asked.reserved(key))
			}
		}
	})
}

// ownKeys returns keys that only chatcore uses.
func ownKeys(k Keys, chat domain.ChatID, name string) []string {
	p, user := k.Partition(chat), domain.UserID(name)
	keys := []string{
		k.log(), k.id(p), k.chats(p), k.count(p), k.confirm(p), k.witness(p, "process"), k.stream(p), k.chat(chat, "0"), k.chat(chat, "x"), k.typists(chat),
		k.record(user), k.due(k.shard(user)), k.sweeper(), k.added(), k.gcra([]string{name, string(chat)}), k.userChats(user), k.sessions(user),
		k.versions(k.unread(user)), k.versions(k.userChats(user)),
	}
	keys = append(keys, k.cached(ports.CacheKey{Prefix: "badge:", ID: name})[1:]...)
	for _, on := range []string{"", k.of("badges:ada"), k.of("badges:" + escape(name))} {
		if marker, ok := k.marker(on, name, "id"); ok {
			keys = append(keys, marker)
		}
	}
	for _, partition := range k.Partitions() {
		keys = append(keys, partition.Stream, partition.Base+"g:chats:"+escape(name))
	}
	return keys
}

// FuzzLoadEntry decodes any entries of a chat, index entries of commands and heads: each is valid for the requested entity, or corrupt.
func FuzzLoadEntry(f *testing.F) {
	codec := wireformat.New()
	sent := domain.MessageNew{Chat: "c", Message: "m", Sender: "ada", Content: "{x}", At: time.Unix(1700000000, 0)}
	encoded, err := codec.Encode("e", sent, ports.Meta{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("c", uint64(7), "m3r5"+string(encoded.Splice(7, 2)), "7:1:ff", "7:2")
	f.Add("c", uint64(7), string(encoded.Splice(8, 2)), "7:0:0", "7")
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
		if seq, ordinal, err := parseHead(head); err == nil {
			again, ordinal2, err := parseHead(strconv.FormatUint(uint64(seq), 10) + ":" + strconv.FormatUint(uint64(ordinal), 10))
			if seq == 0 || again != seq || ordinal2 != ordinal || err != nil {
				t.Errorf("%q is read as %d:%d", head, seq, ordinal)
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

// FuzzSessionRecord parses any records and fields of sessions. A parsed session has the requested user and id, and a valid device. The fast parser
// yields the same as encoding/json.
func FuzzSessionRecord(f *testing.F) {
	const field = "HASH 1 1700000000000 1700000003600 1700000000000 60000"
	f.Add("ada", "id", `{"_cc":{"id":"id"},"userId":"ada","deviceId":"phone","createdAt":1,"expiresAt":2}`, field)
	f.Add("ada", "id", `{"_cc":{"id":"id"},"userId":"ada","deviceName":"\n"}`, "HASH 1 1 1 1 9223372036854775807")
	f.Add("ada", "id", `{"userId":"ada","deviceId":5}`, "  ")
	f.Add("ben", "id", `{"_cc":{"id":"id"},"userId":"ada"}`, field+" ")
	f.Add("ada", "", `{"_cc":null,"userId":"ada"}`, "-1 -1 -1 -1 -1 -1")
	f.Fuzz(func(t *testing.T, user, id, record, field string) {
		if r, ok := plainSessionRecord(record); ok {
			var want sessionRecord
			if err := json.Unmarshal([]byte(record), &want); err != nil || !reflect.DeepEqual(r, want) {
				t.Errorf("%q is read as %+v, as JSON %+v, error %v", record, r, want, err)
			}
		}
		if s, _, ok := parseSession(domain.UserID(user), record, id, field); ok {
			if s.User != domain.UserID(user) || s.ID != domain.SessionID(id) || s.Idle < 0 || s.Device.Check() != nil || s.OpenedAt.Before(time.UnixMilli(0)) {
				t.Errorf("%q and %q are read as %+v", record, field, s)
			}
		}
		if s, ok := foreignSession(record); ok {
			if _, err := domain.ParseUserID(string(s.User)); err != nil || s.Device.Check() != nil {
				t.Errorf("%q is read as %+v", record, s)
			}
		}
		if sessions := several(domain.UserID(user), []any{record, id, field, nil, 1, record, field}); len(sessions) > 1 {
			t.Errorf("one session is read as %+v", sessions)
		}
	})
}

// FuzzCacheValue writes any value with metadata and reads it again, and reads any stored text: without valid metadata the value is the stored text.
func FuzzCacheValue(f *testing.F) {
	f.Add(`{"a":1}`, "", uint32(1), uint64(12), int64(1735689600000), "8c5a")
	f.Add(`{}`, "1 2 3 x", uint32(0), uint64(0), int64(0), "")
	f.Add(`{ }`, "1 2 3 x o", uint32(0), uint64(1<<53-1), int64(-1), "ab")
	f.Add(`{"_cc":{"s":1,"v":2,"f":3,"o":""}}`, "", uint32(1), uint64(1), int64(1), "x")
	f.Add(`{"_cc":{"s":1,"v":2,"f":3}`, "", uint32(1), uint64(1), int64(1), "x")
	f.Add(`[1]`, "1 2 3", uint32(1<<32-1), uint64(1), int64(1), "x")
	f.Fuzz(func(t *testing.T, stored, beside string, schema uint32, version uint64, fresh int64, origin string) {
		for _, object := range []bool{true, false} {
			e := entryOf(ports.CacheKey{Object: object}, stored, beside)
			if !e.Known && string(e.Value) != stored || e.Known && (e.Meta.Version >= 1<<53 || !plainOrigin(e.Meta.Origin)) {
				t.Errorf("%q with %q is read as %+v", stored, beside, e)
			}
			if e.Known && object && json.Valid([]byte(stored)) != json.Valid(e.Value) {
				t.Errorf("%q becomes %q", stored, e.Value)
			}
		}
		meta := ports.CacheMeta{Schema: schema, Version: version & (1<<53 - 1), Fresh: time.UnixMilli(fresh), Origin: origin}
		if !plainOrigin(origin) || stored == "" {
			return
		}
		if e := entryOf(ports.CacheKey{}, stored, besideOf([]byte(stored), meta)); !e.Known || !reflect.DeepEqual(e.Meta, meta) || string(e.Value) != stored {
			t.Errorf("%q with %+v is read as %+v", stored, meta, e)
		}
		var fields map[string]json.RawMessage
		if json.Unmarshal([]byte(stored), &fields) != nil || fields == nil || stored[0] != '{' {
			return
		}
		written := appendMember(nil, []byte(stored), meta)
		e := entryOf(ports.CacheKey{Object: true}, string(written), "")
		var got map[string]json.RawMessage
		if !e.Known || !reflect.DeepEqual(e.Meta, meta) || json.Unmarshal(e.Value, &got) != nil || !reflect.DeepEqual(got, fields) {
			t.Errorf("%q with %+v is stored as %q and read as %+v, %q", stored, meta, written, e, e.Value)
		}
	})
}
