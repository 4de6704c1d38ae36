package wireformat_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

const uuidText = "018c3c5e-7b1a-7000-8000-0123456789ab"

// stored returns the compact form of an event as a list has it.
func stored(t testing.TB, id domain.EventID, e domain.Durable, m ports.Meta, ordinal string) string {
	t.Helper()
	body, ok := wireformat.New().AppendCompact(nil, id, e, m)
	if !ok {
		t.Fatalf("%T has no compact form", e)
	}
	return "{\x02" + string(body[:1]) + ordinal + ":" + string(body[1:])
}

// compactSamples has the samples of events that have a compact form.
func compactSamples() map[string]domain.Durable {
	all := make(map[string]domain.Durable)
	for name, e := range samples() {
		stays := strings.HasPrefix(name, "member_") || strings.HasPrefix(name, "thread_") || slices.Contains([]string{"chat_created_erased", "chat_deleted", "chat_deleted_content", "chat_direct", "chat_policy", "chat_policy_private", "chat_metadata", "chat_metadata_erased", "chat_metadata_unset", "chat_settings", "chat_settings_default", "message_pin", "message_unpin"}, name)
		if durable, ok := e.(domain.Durable); ok && !stays {
			all[name] = durable
		}
	}
	return all
}

// anID draws an id: a canonical UUID, almost one, or any other text.
func anID(rt *rapid.T, name string) string {
	return rapid.OneOf(
		rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`),
		rapid.SampledFrom([]string{strings.ToUpper(uuidText), uuidText + "0", strings.ReplaceAll(uuidText, "-", "a"), strings.Repeat("x", 255), `"`, "\x01{é"}),
		rapid.StringN(1, 20, 255),
	).Draw(rt, name)
}

func aMeta(rt *rapid.T) ports.Meta {
	id := rapid.OneOf(rapid.Just(""), rapid.Custom(func(rt *rapid.T) string { return anID(rt, "reference") }), rapid.Just("\xff"))
	parents := []string{"", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x"}
	return ports.Meta{CorrelationID: id.Draw(rt, "correlation"), CausationID: domain.CommandID(id.Draw(rt, "causation")), TraceParent: rapid.SampledFrom(parents).Draw(rt, "traceparent")}
}

// anEvent draws a durable event of the core with any options.
func anEvent(rt *rapid.T) domain.Durable {
	chat, message, user := domain.ChatID(anID(rt, "chat")), domain.MessageID(anID(rt, "message")), domain.UserID(anID(rt, "user"))
	when := domain.Instant(time.UnixMilli(rapid.Int64Range(-62167219200000, 1<<47-1).Draw(rt, "at")))
	text := func(name string) string { return rapid.String().Draw(rt, name) }
	users := rapid.OneOf(rapid.Just([]domain.UserID(nil)), rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) domain.UserID { return domain.UserID(anID(rt, "mention")) }), 0, 3))
	files := rapid.OneOf(rapid.Just([]domain.Attachment(nil)), rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) domain.Attachment {
		name := rapid.SampledFrom([]string{"a.png", "<b>&\u2028", "é"})
		return domain.Attachment{Name: name.Draw(rt, "name"), Type: rapid.SampledFrom([]string{"", "image/png"}).Draw(rt, "type"), Size: rapid.Int64Range(0, 1<<62).Draw(rt, "size"), URL: name.Draw(rt, "url")}
	}), 0, 2))
	flag := func(name string) bool { return rapid.Bool().Draw(rt, name) }
	sent := func() domain.Seq {
		return rapid.OneOf(rapid.Just(domain.Seq(0)), rapid.Map(rapid.Uint64(), func(n uint64) domain.Seq { return domain.Seq(n) })).Draw(rt, "sent")
	}
	thread := func() domain.MessageID {
		if !flag("in a thread") {
			return ""
		}
		return domain.MessageID(anID(rt, "thread"))
	}
	role := rapid.SampledFrom([]domain.Role{domain.NoRole, domain.RoleMember, domain.RoleAdmin, domain.RoleOwner})
	erasable := func(e domain.Durable) domain.Durable {
		if flag("erased") {
			return domain.Erased(e)
		}
		return e
	}
	switch rapid.IntRange(0, 6).Draw(rt, "type") {
	case 0:
		e := domain.MessageNew{Chat: chat, Message: message, Sender: user, Content: domain.Content(text("content")), Mentions: users.Draw(rt, "mentions"), Attachments: files.Draw(rt, "files"), At: when}
		e.ClientMeta = domain.ClientMeta(rapid.SampledFrom([]string{"", "{}", ` {"a": [1]} `}).Draw(rt, "meta"))
		if rapid.Bool().Draw(rt, "answers") {
			e.ReplyTo = domain.MessageID(anID(rt, "replyTo"))
		}
		e.Thread, e.InChat, e.Mentioned = thread(), flag("inChat"), flag("mentioned")
		e.Broadcast = rapid.SampledFrom([]domain.Broadcast{domain.NoBroadcast, domain.BroadcastAll, domain.BroadcastHere}).Draw(rt, "broadcast")
		return erasable(e)
	case 1:
		e := domain.MessageEdit{Chat: chat, Message: message, Editor: user, Content: domain.Content(text("content")), Mentions: users.Draw(rt, "mentions"), Attachments: files.Draw(rt, "files"), Revision: rapid.Int().Draw(rt, "revision"), At: when}
		e.Sent, e.Thread, e.InChat, e.Mentioned, e.BroadcastRemoved = sent(), thread(), flag("inChat"), flag("mentioned"), flag("removed")
		if added := users.Draw(rt, "added"); len(added) > 0 {
			e.MentionsAdded = added
		}
		return erasable(e)
	case 2:
		e := domain.MessageDelete{Chat: chat, Message: message, By: user, Reason: domain.Reason(text("reason")), At: when}
		e.Sent, e.Thread, e.InChat, e.Mentioned, e.Pinned = sent(), thread(), flag("inChat"), flag("mentioned"), flag("pinned")
		return erasable(e)
	case 3:
		action := rapid.SampledFrom([]domain.ReactionAction{domain.ReactionAdd, domain.ReactionRemove}).Draw(rt, "action")
		return domain.MessageReaction{Chat: chat, Message: message, User: user, Emoji: domain.Emoji(text("emoji")), Action: action, At: when}
	case 4:
		return domain.MessageErased{Chat: chat, Message: message, Sent: max(sent(), 1), By: user, Reason: domain.Reason(text("reason")), At: when}
	case 5:
		return domain.ReadReceipt{Chat: chat, User: user, Message: message, ReadSeq: domain.Seq(rapid.Uint64().Draw(rt, "readSeq")), At: when}
	}
	e := domain.ChatUpdate{Chat: chat, Actor: user, Change: domain.Change(rapid.IntRange(1, 7).Draw(rt, "change")), Title: domain.Title(text("title")), Role: role.Draw(rt, "role"), Previous: role.Draw(rt, "previous"), At: when}
	if rapid.Bool().Draw(rt, "of a user") {
		e.User = domain.UserID(anID(rt, "member"))
	}
	return e
}

// TestCompact_IsTheJSON checks that the JSON rebuilt from the compact form has the bytes of the delivery stream, that both forms decode to the same
// record, and that a codec with another version of the type reads both alike.
func TestCompact_IsTheJSON(t *testing.T) {
	codec := wireformat.New()
	rapid.Check(t, func(rt *rapid.T) {
		id, e, m := domain.EventID(anID(rt, "id")), anEvent(rt), aMeta(rt)
		seq, ordinal := domain.Seq(rapid.Uint64Min(1).Draw(rt, "seq")), domain.Ordinal(rapid.Uint64().Draw(rt, "ordinal"))
		encoded, err := codec.Encode(id, e, m)
		if err != nil {
			rt.Fatal(err)
		}
		want := encoded.Splice(seq, ordinal)
		body, ok := codec.AppendCompact([]byte("p"), id, e, m)
		if reaction, is := e.(domain.MessageReaction); !ok && is && (strings.ContainsAny(string(reaction.Emoji+domain.Emoji(reaction.User)), "\"\\") || strings.ContainsFunc(string(reaction.Emoji+domain.Emoji(reaction.User)), func(r rune) bool { return r < ' ' }) || len(reaction.Emoji) > 255) {
			return
		}
		if !ok || body[0] != 'p' {
			rt.Fatalf("%+v has no compact form", e)
		}
		entry := "{\x02" + string(body[1:2]) + jsonNumber(uint64(ordinal)) + ":" + string(body[2:])
		if got, err := wireformat.CompactJSON(e.ChatID(), seq, entry); err != nil || !bytes.Equal(got, want) {
			rt.Fatalf("the JSON is\n%s, error %v, and in the stream\n%s", got, err, want)
		}
		for name, c := range map[string]*wireformat.Codec{
			"this": codec, "a newer": wireformat.New(wireformat.WithUpcaster(wireformat.Type(e), 1, func(map[string]json.RawMessage) error { return nil })),
			"an older": wireformat.New(wireformat.WithoutTypes(wireformat.Type(e))),
		} {
			fromJSON, err1 := c.Decode(want)
			compact, err2 := c.DecodeCompact(e.ChatID(), seq, entry)
			if !reflect.DeepEqual(compact, fromJSON) || errors.Is(err1, wireformat.ErrUnknownType) != errors.Is(err2, wireformat.ErrUnknownType) || (err1 == nil) != (err2 == nil) {
				rt.Fatalf("%s codec decodes\n%+v, error %v\nand the JSON as\n%+v, error %v", name, compact, err2, fromJSON, err1)
			}
		}
	})
}

func jsonNumber(n uint64) string {
	b, _ := json.Marshal(n)
	return string(b)
}

// TestCompact_StaysJSON lists events without a compact form.
func TestCompact_StaysJSON(t *testing.T) {
	reaction := samples()["message_reaction"].(domain.MessageReaction)
	quoted, long, late := reaction, reaction, reaction
	quoted.User, long.User, late.At = `a"b`, domain.UserID(strings.Repeat("x", 256)), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	newer := wireformat.New(wireformat.WithUpcaster(wireformat.TypeMessageReaction, 1, func(map[string]json.RawMessage) error { return nil }))
	for name, c := range map[string]struct {
		codec *wireformat.Codec
		event domain.Durable
	}{
		"a custom event":             {wireformat.New(), domain.Custom{Chat: "c", Actor: "ada", Type: "poll:created", Version: 1, Data: "{}", At: at}},
		"a reaction with an escape":  {wireformat.New(), quoted},
		"a long id":                  {wireformat.New(), long},
		"a time outside of 48 bits":  {wireformat.New(), late},
		"a later version":            {newer, reaction},
		"an erasure of no seq":       {wireformat.New(), domain.MessageErased{Chat: "c", Message: "m", By: "ada", At: at}},
		"a direct chat":              {wireformat.New(), samples()["chat_direct"].(domain.Durable)},
		"an erased title":            {wireformat.New(), samples()["chat_created_erased"].(domain.Durable)},
		"a policy":                   {wireformat.New(), samples()["chat_policy"].(domain.Durable)},
		"settings":                   {wireformat.New(), samples()["chat_settings"].(domain.Durable)},
		"a pin":                      {wireformat.New(), samples()["message_pin"].(domain.Durable)},
		"a mark of a thread":         {wireformat.New(), samples()["thread_read"].(domain.Durable)},
		"a restriction":              {wireformat.New(), samples()["member_ban"].(domain.Durable)},
		"an event of another reader": {wireformat.New(), domain.Unknown{Chat: "c", Type: wireformat.TypeMessageNew, At: at}},
	} {
		if buf, ok := c.codec.AppendCompact([]byte("p"), "e", c.event, ports.Meta{}); ok || string(buf) != "p" {
			t.Errorf("%s: %q", name, buf)
		}
	}
}

// TestCompact_GoldenFiles pins the bytes of the compact form.
func TestCompact_GoldenFiles(t *testing.T) {
	meta := ports.Meta{CorrelationID: "request-1", CausationID: uuidText, TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	for name, durable := range compactSamples() {
		path := filepath.Join("testdata", name+".compact")
		got := hex.EncodeToString([]byte(stored(t, uuidText, durable, meta, "3"))) + "\n"
		golden, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) && *update {
			golden, err = []byte(got), os.WriteFile(path, []byte(got), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got != string(golden) {
			t.Errorf("%s is written as\n%sand was\n%s", name, got, golden)
		}
		entry, err := hex.DecodeString(strings.TrimSpace(string(golden)))
		if err != nil {
			t.Fatal(err)
		}
		r, err := wireformat.New().DecodeCompact(durable.ChatID(), 7, string(entry))
		if want := (ports.Record{ID: uuidText, Seq: 7, Ordinal: 3, Event: durable, Meta: meta}); err != nil || !reflect.DeepEqual(r, want) {
			t.Errorf("%s is read as %+v, error %v", name, r, err)
		}
	}
}

// TestCompact_Damage cuts entries short, flips each of their bytes and reads them as those of another chat.
func TestCompact_Damage(t *testing.T) {
	check := func(chat domain.ChatID, entry string) {
		t.Helper()
		var wrong *wireformat.Error
		if r, err := wireformat.New().DecodeCompact(chat, 7, entry); !errors.Is(err, wireformat.ErrMalformed) || !errors.As(err, &wrong) {
			t.Errorf("%q is read as %+v, error %v", entry, r, err)
		}
	}
	for _, durable := range compactSamples() {
		entry := stored(t, uuidText, durable, ports.Meta{CorrelationID: "r"}, "3")
		check("room-2", entry)
		check("room-1", entry+"x")
		for i := range len(entry) {
			check("room-1", entry[:i])
			if i != len("{\x02n") { // the ordinal is compared with those of its neighbors
				check("room-1", entry[:i]+string(entry[i]^1)+entry[i+1:])
			}
		}
	}
}

// TestCompact_FlagOfErasedForms refuses the flag of an erased form in an event that has none.
func TestCompact_FlagOfErasedForms(t *testing.T) {
	for name, durable := range compactSamples() {
		body, _ := wireformat.New().AppendCompact(nil, uuidText, durable, ports.Meta{})
		flags := 1 + 6 // behind the letter and the time
		if receipt, is := durable.(domain.ReadReceipt); is {
			flags += len(jsonNumber(uint64(receipt.ReadSeq)) + ":")
		}
		body[flags] |= 0x80
		marked := wireformat.Checked("room-1", body[:len(body)-2])
		r, err := wireformat.New().DecodeCompact("room-1", 7, wireformat.StoredCompact(marked, 3))
		_, update := durable.(domain.ChatUpdate) // whose erased forms are JSON
		if erasable := !update && domain.IsErased(domain.Erased(durable)); erasable != (err == nil && domain.IsErased(r.Event)) || !erasable && !errors.Is(err, wireformat.ErrMalformed) {
			t.Errorf("%s with the flag is read as %+v, error %v", name, r.Event, err)
		}
	}
}

func FuzzCompact(f *testing.F) {
	for _, durable := range compactSamples() {
		f.Add(stored(f, uuidText, durable, ports.Meta{CausationID: uuidText}, "3")[3:], byte('n'))
	}
	f.Fuzz(func(t *testing.T, rest string, letter byte) {
		ordinal, body, _ := strings.Cut(rest, ":")
		for _, entry := range []string{"{\x02" + string(letter) + rest, "{\x02" + string(letter) + ordinal + ":" + string(wireformat.Checked("room-1", append([]byte{letter}, body...))[1:])} {
			r, err := wireformat.New().DecodeCompact("room-1", 7, entry)
			if err != nil {
				if !errors.Is(err, wireformat.ErrMalformed) {
					t.Fatal(err)
				}
				continue
			}
			same, rebuilt, err := wireformat.CompactRecord("room-1", 7, entry)
			if err != nil {
				if !errors.Is(err, wireformat.ErrMalformed) {
					t.Fatal(err)
				}
				continue
			}
			again, err := wireformat.New().Decode(rebuilt)
			if err != nil || again.ID != r.ID || again.Meta != r.Meta || again.Seq != same.Seq || again.Ordinal != same.Ordinal || again.Event.ChatID() != same.Event.ChatID() || domain.InTimeline(again.Event) != domain.InTimeline(same.Event) {
				t.Fatalf("%+v is\n%s\nas JSON, which is read as %+v, error %v", r, rebuilt, again, err)
			}
		}
	})
}

// aSend is a send with the ids that a core makes.
func aSend() (domain.EventID, domain.MessageNew, ports.Meta) {
	return uuidText, domain.MessageNew{Chat: "room-1", Message: uuidText, Sender: uuidText, Content: domain.Content(strings.Repeat("x", 100)), At: at}, ports.Meta{CorrelationID: uuidText}
}

func TestCompact_Allocations(t *testing.T) {
	id, e, m := aSend()
	entry, codec := stored(t, id, e, m, "3"), wireformat.New()
	if n := testing.AllocsPerRun(100, func() { _, _ = codec.DecodeCompact("room-1", 7, entry) }); n > 6 {
		t.Errorf("decoding takes %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = wireformat.CompactJSON("room-1", 7, entry) }); n > 5 {
		t.Errorf("the JSON takes %v allocations", n)
	}
	buf, event := make([]byte, 0, 1024), domain.Durable(e)
	if n := testing.AllocsPerRun(100, func() { buf, _ = codec.AppendCompact(buf[:0], id, event, m) }); n > 0 {
		t.Errorf("encoding takes %v allocations", n)
	}
}

func BenchmarkCompact(b *testing.B) {
	id, e, m := aSend()
	entry, codec := stored(b, id, e, m, "3"), wireformat.New()
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		buf, event := make([]byte, 0, 1024), domain.Durable(e)
		for b.Loop() {
			buf, _ = codec.AppendCompact(buf[:0], id, event, m)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = codec.DecodeCompact("room-1", 7, entry)
		}
	})
	b.Run("json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = wireformat.CompactJSON("room-1", 7, entry)
		}
	})
}
