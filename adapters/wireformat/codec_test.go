package wireformat_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"pgregory.net/rapid"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

var update = flag.Bool("update", false, "write the golden files of events that have none")

var at = time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)

// samples has an event of every type and change, by the name of its golden file.
func samples() map[string]domain.Event {
	chat := func(c domain.Change, set func(*domain.ChatUpdate)) domain.ChatUpdate {
		u := domain.ChatUpdate{Chat: "room-1", Actor: "ada", Change: c, At: at}
		if set != nil {
			set(&u)
		}
		return u
	}
	return map[string]domain.Event{
		"message_new": domain.MessageNew{Chat: "room-1", Message: "m-1", Sender: "ada", Content: "hi", At: at},
		"message_new_full": domain.MessageNew{
			Chat: "room-1", Message: "m-2", Sender: "[ada]{x}", Content: "tab\t \"quoted\" \\ <b>&amp; \u2028 🍅", ReplyTo: "m-1", Mentions: []domain.UserID{"ben", "cem^"},
			Attachments: []domain.Attachment{{Name: "a.png", Type: "image/png", Size: 7, URL: "https://example.org/a.png"}}, ClientMeta: `{"app": {"v": 2}}`, At: at,
		},
		"message_edit": domain.MessageEdit{Chat: "room-1", Message: "m-1", Editor: "ada", Content: "ho", Revision: 2, At: at},
		"message_edit_full": domain.MessageEdit{
			Chat: "room-1", Message: "m-1", Editor: "ada", Content: "ho", Mentions: []domain.UserID{"ben"},
			Attachments: []domain.Attachment{{Name: "a.png", Type: "image/png", Size: 3, URL: "https://example.org/a.png"}}, Revision: 2, At: at,
		},
		"message_edit_empty": domain.MessageEdit{
			Chat: "room-1", Message: "m-1", Editor: "ada", Content: "ho", Mentions: []domain.UserID{}, Attachments: []domain.Attachment{}, Revision: 3, At: at,
		},
		"message_new_thread": domain.MessageNew{
			Chat: "room-1", Message: "m-3", Sender: "ada", Content: "hi", Mentions: []domain.UserID{"ben"}, Thread: "m-1", InChat: true, Broadcast: domain.BroadcastAll,
			Mentioned: true, At: at,
		},
		"message_new_here": domain.MessageNew{
			Chat: "room-1", Message: "m-3", Sender: "ada", Content: "hi", Thread: "018c3c5e-7b1a-7000-8000-0123456789ab", Broadcast: domain.BroadcastHere, At: at,
		},
		"message_edit_thread": domain.MessageEdit{
			Chat: "room-1", Message: "m-3", Editor: "ada", Content: "ho", Mentions: []domain.UserID{"ben", "cem"}, Revision: 2, Sent: 4, Thread: "m-1",
			MentionsAdded: []domain.UserID{"cem"}, BroadcastRemoved: true, Mentioned: true, At: at,
		},
		"message_delete_thread": domain.MessageDelete{
			Chat: "room-1", Message: "m-3", By: "ada", Sent: 4, Thread: "m-1", InChat: true, Pinned: true, Mentioned: true, At: at,
		},
		"message_new_erased":    domain.MessageNew{Chat: "room-1", Message: "m-2", Sender: "[ada]{x}", Erased: true, At: at},
		"message_edit_erased":   domain.MessageEdit{Chat: "room-1", Message: "m-1", Editor: "ada", Revision: 2, Erased: true, At: at},
		"message_delete_erased": domain.MessageDelete{Chat: "room-1", Message: "m-1", By: "ben", Erased: true, At: at},
		"message_erased":        domain.MessageErased{Chat: "room-1", Message: "m-1", Sent: 4, By: "ben", Reason: "request 7", At: at},
		"chat_deleted_content":  domain.ChatDeleted{Chat: "room-1", By: "ada", Reason: "request 7", ContentErased: true, At: at},
		"chat_created_erased":   domain.Erased(chat(domain.Created, func(u *domain.ChatUpdate) { u.Title = "Garden" })),
		"chat_metadata_erased":  domain.ChatMetadata{Chat: "room-1", Actor: "ada", Erased: true, At: at},
		"member_ban_erased":     domain.MemberRestriction{Chat: "room-1", Actor: "ada", User: "ben", Kind: domain.Ban, Erased: true, At: at},
		"message_delete":        domain.MessageDelete{Chat: "room-1", Message: "m-1", By: "ben", Reason: "spam", At: at},
		"message_reaction":      domain.MessageReaction{Chat: "room-1", Message: "m-1", User: "ben", Emoji: "👍", Action: domain.ReactionAdd, At: at},
		"message_unreact":       domain.MessageReaction{Chat: "room-1", Message: "m-1", User: "ben", Emoji: "👍", Action: domain.ReactionRemove, At: at},
		"read_receipt":          domain.ReadReceipt{Chat: "room-1", User: "ben", Message: "m-1", ReadSeq: 7, At: at},
		"chat_created":          chat(domain.Created, func(u *domain.ChatUpdate) { u.Title = "Garden" }),
		"chat_renamed":          chat(domain.Renamed, func(u *domain.ChatUpdate) { u.Title = "Allotment" }),
		"chat_added":            chat(domain.MemberAdded, func(u *domain.ChatUpdate) { u.User, u.Role = "ben", domain.RoleMember }),
		"chat_removed":          chat(domain.MemberRemoved, func(u *domain.ChatUpdate) { u.User, u.Previous = "ben", domain.RoleAdmin }),
		"chat_role":             chat(domain.RoleChanged, func(u *domain.ChatUpdate) { u.User, u.Role, u.Previous = "ben", domain.RoleOwner, domain.RoleMember }),
		"chat_archived":         chat(domain.Archived, nil),
		"chat_unarchived":       chat(domain.Unarchived, nil),
		"chat_deleted":          domain.ChatDeleted{Chat: "room-1", By: "ada", Reason: "request 7", At: at},
		"chat_direct":           chat(domain.Created, func(u *domain.ChatUpdate) { u.Kind = domain.Direct }),
		"chat_policy": domain.ChatPolicy{
			Chat: "room-1", Actor: "ada", Visibility: domain.Public,
			Permissions: map[domain.Action]domain.Role{domain.ActionRestrict: domain.RoleOwner, domain.ActionPost: domain.RoleAdmin, domain.ActionRename: domain.NoRole}, At: at,
		},
		"chat_policy_private": domain.ChatPolicy{Chat: "room-1", Actor: "ada", Visibility: domain.Private, At: at},
		"chat_metadata": domain.ChatMetadata{
			Chat: "room-1", Actor: "ada", Set: map[string]domain.JSON{"topic": `"Rele\u0061ses <b>"`, "limits": `{"a":[1,2.50]}`}, Unset: []string{"avatarUrl", "old"}, At: at,
		},
		"chat_metadata_unset": domain.ChatMetadata{Chat: "room-1", Actor: "ada", Unset: []string{"topic"}, At: at},
		"member_ban":          domain.MemberRestriction{Chat: "room-1", Actor: "ada", User: "ben", Kind: domain.Ban, Reason: "spam", At: at},
		"member_mute":         domain.MemberRestriction{Chat: "room-1", Actor: "ada", User: "ben", Kind: domain.Mute, Until: at.Add(time.Hour), At: at},
		"member_unblock":      domain.MemberRestriction{Chat: "room-1", Actor: "ada", User: "ben", Kind: domain.Block, Lifted: true, At: at},
		"chat_settings": domain.ChatSettings{
			Chat: "room-1", User: "ada", Notify: new(domain.NotifyMentions), MutedUntil: new(at.Add(time.Hour)), Favourite: new(true), Hidden: new(domain.HiddenUntilMessage),
			HiddenSeq: 4, UnreadSeq: new(domain.Seq(3)), At: at,
		},
		"chat_settings_default": domain.ChatSettings{
			Chat: "room-1", User: "ada", Notify: new(domain.NotifyDefault), MutedUntil: new(time.Time{}), Favourite: new(false), Hidden: new(domain.Shown),
			UnreadSeq: new(domain.Seq(0)), At: at,
		},
		"message_pin":    domain.MessagePin{Chat: "room-1", Message: "m-1", Sent: 4, Actor: "ada", Pinned: true, At: at},
		"message_unpin":  domain.MessagePin{Chat: "room-1", Message: "m-1", Sent: 4, Actor: "ada", At: at},
		"thread_read":    domain.ThreadMark{Chat: "room-1", Thread: "m-1", User: "ada", ReadSeq: 9, Message: "m-3", Following: domain.Follow, At: at},
		"thread_default": domain.ThreadMark{Chat: "room-1", Thread: "m-1", User: "ada", Following: domain.FollowingDefault, At: at},
		"user_status":    domain.UserStatus{User: "ben", Status: domain.Away, LastSeen: at.Add(-time.Minute), At: at},
		"typing_start":   domain.TypingStart{Chat: "room-1", User: "ben", ExpiresAt: at.Add(5 * time.Second), At: at},
		"typing_stop":    domain.TypingStop{Chat: "room-1", User: "ben", At: at},
	}
}

func encode(t testing.TB, e domain.Event, m ports.Meta) []byte {
	t.Helper()
	codec := wireformat.New()
	if durable, ok := e.(domain.Durable); ok {
		encoded, err := codec.Encode("e-1", durable, m)
		if err != nil {
			t.Fatal(err)
		}
		return encoded.Splice(7, 3)
	}
	payload, err := codec.EncodeLive("e-1", e.(domain.Ephemeral), m)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// TestGoldenFiles pins the JSON of events, and that events written by earlier versions can be read.
func TestGoldenFiles(t *testing.T) {
	meta := ports.Meta{CorrelationID: "request-1", CausationID: "cmd-1", TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	for name, e := range samples() {
		path := filepath.Join("testdata", name+".json")
		got := encode(t, e, meta)
		golden, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) && *update {
			golden, err = append(got, '\n'), os.WriteFile(path, append(got, '\n'), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		golden = bytes.TrimSuffix(golden, []byte("\n"))
		if !bytes.Equal(got, golden) {
			t.Errorf("%s is written as\n%s\nand was\n%s", name, got, golden)
		}
		in, err := wireformat.New().DecodeLenient("", golden, time.Time{})
		if err != nil || !reflect.DeepEqual(in.Event, e) || in.ID != "e-1" || in.Foreign || in.Meta != meta {
			t.Errorf("%s is read as %+v, error %v", name, in, err)
		}
		if _, durable := e.(domain.Durable); durable {
			r, err := wireformat.New().Decode(golden)
			if err != nil || r.Seq != 7 || r.Ordinal != 3 || !reflect.DeepEqual(r.Event, e) {
				t.Errorf("%s is read from a log as %+v, error %v", name, r, err)
			}
		}
	}
}

// TestFieldsAreThoseOfTheContract lists the fields that other programs rely on.
func TestFieldsAreThoseOfTheContract(t *testing.T) {
	common := []string{"eventId", "type", "timestamp", "v"}
	for name, fields := range map[string]string{
		"message_new":      "seq messageId chatId senderId content",
		"message_new_full": "seq messageId chatId senderId content replyTo mentions attachments clientMeta",
		"message_edit":     "seq messageId chatId editorId content revision",
		"message_delete":   "seq messageId chatId deletedBy reason",
		"message_erased":   "seq messageId chatId messageSeq erasedBy reason",
		"message_reaction": "seq messageId chatId userId emoji action",
		"read_receipt":     "seq chatId userId messageId readSeq",
		"chat_created":     "seq chatId actorId change title",
		"chat_added":       "seq chatId actorId change userId role",
		"chat_archived":    "seq chatId actorId change",
		"user_status":      "userId status lastSeen",
		"typing_start":     "chatId userId expiresAt",
		"typing_stop":      "chatId userId",
	} {
		e := samples()[name]
		var got map[string]any
		if err := json.Unmarshal(encode(t, e, ports.Meta{}), &got); err != nil {
			t.Fatal(err)
		}
		want := slices.Concat(common, strings.Fields(fields))
		if _, durable := e.(domain.Durable); durable {
			want = append(want, "ordinal")
		}
		slices.Sort(want)
		if have := slices.Sorted(maps.Keys(got)); !slices.Equal(have, want) {
			t.Errorf("%s has the fields %q, want %q", name, have, want)
		}
		if got["type"] != wireformat.Type(e) || got["v"] != 1.0 || got["timestamp"] != "2026-01-02T03:04:05.006Z" {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	payload := bytes.Replace(encode(t, samples()["message_new"], ports.Meta{}), []byte(`{`), []byte(`{"later":{"a":[1]},`), 1)
	if r, err := wireformat.New().Decode(payload); err != nil || !reflect.DeepEqual(r.Event, samples()["message_new"]) {
		t.Errorf("%+v, error %v", r, err)
	}
}

func TestWhatIsNoEventIsRefused(t *testing.T) {
	good := string(encode(t, samples()["message_new"], ports.Meta{}))
	for name, tc := range map[string]struct {
		payload string
		want    error
	}{
		"nothing":         {"", wireformat.ErrMalformed},
		"null":            {"null", wireformat.ErrMalformed},
		"a list":          {"[]", wireformat.ErrMalformed},
		"cut short":       {good[:len(good)-1], wireformat.ErrMalformed},
		"not UTF-8":       {strings.Replace(good, "hi", "\xff", 1), wireformat.ErrMalformed},
		"a newer version": {strings.Replace(good, `"v":1`, `"v":2`, 1), wireformat.ErrNewerVersion},
		"another type":    {strings.Replace(good, "message:new", "poll:created", 1), wireformat.ErrUnknownType},
		"no seq":          {strings.Replace(good, `"seq"`, `"sex"`, 1), wireformat.ErrMalformed},
		"seq 0":           {strings.Replace(good, `"seq":7`, `"seq":0`, 1), wireformat.ErrMalformed},
		"no sender":       {strings.Replace(good, `"senderId"`, `"sender"`, 1), wireformat.ErrMalformed},
		"a number as id":  {strings.Replace(good, `"m-1"`, `1`, 1), wireformat.ErrMalformed},
		"no time":         {strings.Replace(good, `2026-01-02T`, `soon`, 1), wireformat.ErrMalformed},
		"an ephemeral":    {string(encode(t, samples()["typing_stop"], ports.Meta{})), wireformat.ErrUnknownType},
	} {
		if _, err := wireformat.New().Decode([]byte(tc.payload)); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

// TestForeignPayloads decodes payloads of programs with the TypeScript module: no eventId, v, type or expiresAt.
func TestForeignPayloads(t *testing.T) {
	now := at.Add(time.Hour)
	for _, tc := range []struct {
		typ, payload string
		want         domain.Event
	}{
		{"typing:start", `{"chatId":"c","userId":"u"}`, domain.TypingStart{Chat: "c", User: "u", ExpiresAt: now.Add(5 * time.Second), At: now}},
		{"typing:stop", `{"chatId":"c","userId":"u","extra":1}`, domain.TypingStop{Chat: "c", User: "u", At: now}},
		{"message:new", `{"messageId":"m","chatId":"c","senderId":"u","content":"x","timestamp":"2026-01-02T03:04:05.006Z"}`, domain.MessageNew{Chat: "c", Message: "m", Sender: "u", Content: "x", At: at}},
	} {
		in, err := wireformat.New().DecodeLenient(tc.typ, []byte(tc.payload), now)
		if err != nil || !in.Foreign || in.Seq != 0 || in.ID != "" || !reflect.DeepEqual(in.Event, tc.want) {
			t.Errorf("%s is read as %+v, error %v", tc.payload, in, err)
		}
	}
	for _, payload := range []string{`{}`, `{"chatId":1,"userId":"u"}`, `{"chatId":"a b","userId":"u"}`, `{"chatId":"c","userId":null}`} {
		if _, err := wireformat.New().DecodeLenient("typing:start", []byte(payload), now); !errors.Is(err, wireformat.ErrMalformed) {
			t.Errorf("%s: %v", payload, err)
		}
	}
}

func TestAnEventTooLargeIsRefused(t *testing.T) {
	e := domain.MessageNew{Chat: "c", Message: "m", Sender: "u", Content: domain.Content(strings.Repeat("\"", 40<<10)), At: at}
	if _, err := wireformat.New().Encode("e", e, ports.Meta{}); !errors.Is(err, ports.ErrTooLarge) {
		t.Errorf("80 KiB of JSON: %v", err)
	}
}

// TestStockMarshallerUnderstandsUs packs metadata in one program and unpacks it in the other, both ways.
func TestStockMarshallerUnderstandsUs(t *testing.T) {
	stock := redisstream.DefaultMarshallerUnmarshaller{}
	rapid.Check(t, func(rt *rapid.T) {
		metadata := rapid.MapOf(rapid.String(), rapid.String()).Draw(rt, "metadata")
		payload := rapid.SliceOf(rapid.Byte()).Draw(rt, "payload")
		msg, err := stock.Unmarshal(map[string]any{
			wireformat.FieldUUID: "e-1", wireformat.FieldMetadata: string(wireformat.EncodeMetadata(metadata)), wireformat.FieldPayload: string(payload),
		})
		if err != nil || msg.UUID != "e-1" || !bytes.Equal(msg.Payload, payload) || len(metadata)+len(msg.Metadata) > 0 && !maps.Equal(map[string]string(msg.Metadata), metadata) {
			rt.Fatalf("the stock one reads %+v, error %v", msg, err)
		}
		theirs := message.NewMessage("e-1", payload)
		theirs.Metadata = metadata
		values, err := stock.Marshal("topic", theirs)
		if err != nil {
			rt.Fatal(err)
		}
		if got, err := wireformat.DecodeMetadata(values[wireformat.FieldMetadata].([]byte)); err != nil || !maps.Equal(got, metadata) {
			rt.Fatalf("we read %q, error %v", got, err)
		}
	})
}

func TestTextComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.String().Draw(rt, "text")
		want := domain.MessageNew{Chat: "c", Message: "m", Sender: "u", Content: domain.Content(text), At: at}
		encoded, err := wireformat.New().Encode("e", want, ports.Meta{})
		if err != nil {
			rt.Fatal(err)
		}
		payload := encoded.Splice(1, 1)
		var plain struct{ Content string }
		if err := json.Unmarshal(payload, &plain); err != nil || plain.Content != text {
			rt.Fatalf("JSON.parse gives %q, error %v", plain.Content, err)
		}
		if r, err := wireformat.New().Decode(payload); err != nil || !reflect.DeepEqual(r.Event, want) {
			rt.Fatalf("decoded %+v, error %v", r, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, e := range samples() {
		f.Add("", encode(f, e, ports.Meta{}))
	}
	f.Add("typing:start", []byte(`{"chatId":"c","userId":"u"}`))
	f.Fuzz(func(t *testing.T, typ string, payload []byte) {
		codec := wireformat.New()
		_, _ = codec.DecodeLenient(typ, payload, at)
		r, err := codec.Decode(payload)
		if err != nil {
			return
		}
		encoded, err := codec.Encode(r.ID, r.Event, r.Meta)
		if errors.Is(err, ports.ErrTooLarge) {
			return
		}
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if again, err := codec.Decode(encoded.Splice(r.Seq, r.Ordinal)); err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v came back as %+v, error %v", r, again, err)
		}
	})
}

func FuzzMetadata(f *testing.F) {
	f.Add(wireformat.EncodeMetadata(map[string]string{"type": "message:new", "chat_id": "c"}))
	f.Fuzz(func(t *testing.T, packed []byte) {
		metadata, err := wireformat.DecodeMetadata(packed)
		if err != nil {
			return
		}
		if again, err := wireformat.DecodeMetadata(wireformat.EncodeMetadata(metadata)); err != nil || !maps.Equal(again, metadata) {
			t.Fatalf("%q came back as %q, error %v", metadata, again, err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	codec, e := wireformat.New(), samples()["message_new"].(domain.Durable)
	for b.Loop() {
		if _, err := codec.Encode("e-1", e, ports.Meta{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	codec, payload := wireformat.New(), encode(b, samples()["message_new"], ports.Meta{})
	for b.Loop() {
		if _, err := codec.Decode(payload); err != nil {
			b.Fatal(err)
		}
	}
}

// TestSnapshotsOfOldReactions folds snapshots again that an older program folded by the spelling of the emoji.
func TestSnapshotsOfOldReactions(t *testing.T) {
	entity := domain.ReactionsEntity("m")
	old := []byte(`{"v":1,"reactions":{"❤":{"ann":5},"❤️":{"ann":9}}}`)
	if _, err := wireformat.DecodeState("c", entity, old); err == nil || !wireformat.OutdatedState(entity.Kind, old) {
		t.Errorf("a snapshot of version 1 is read: %v", err)
	}
	var r domain.Reactions
	r.Apply(5, domain.MessageReaction{User: "ann", Emoji: "❤", Action: domain.ReactionAdd})
	raw, err := wireformat.EncodeState(&r)
	if err != nil || wireformat.OutdatedState(entity.Kind, raw) {
		t.Fatalf("%s, error %v", raw, err)
	}
	state, err := wireformat.DecodeState("c", entity, raw)
	if got, _ := state.(*domain.Reactions); err != nil || !got.Has("ann", "❤️") || !got.Has("ann", "❤") {
		t.Errorf("%s is %+v, error %v", raw, state, err)
	}
	if message := []byte(`{"v":1,"message":{"Chat":"c","ID":"m"}}`); wireformat.OutdatedState(domain.KindMessage, message) {
		t.Error("a snapshot of a message is outdated")
	}
}

// TestReactionsOfOtherPrograms reads any text without spaces as an emoji, as before, and gives its normal form.
func TestReactionsOfOtherPrograms(t *testing.T) {
	for text, want := range map[string]domain.Emoji{"❤": "❤️", "like": "like", ":+1:": ":+1:"} {
		payload := fmt.Sprintf(`{"messageId":"m","chatId":"c","userId":"u","emoji":%q,"action":"add"}`, text)
		in, err := wireformat.New().DecodeLenient(wireformat.TypeMessageReaction, []byte(payload), time.Time{})
		if got, _ := in.Event.(domain.MessageReaction); err != nil || got.Emoji != want {
			t.Errorf("%q is %q, error %v", text, got.Emoji, err)
		}
	}
}
