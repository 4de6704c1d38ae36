package eventlog_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/memory"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/chatcoretest"
	"chatcore/domain"
	"chatcore/ports"
)

// program is a process with its own codec. It shares its log with others.
type program struct {
	chats   *app.Chats
	queries *app.Queries
	log     *eventlog.Log
}

func newProgram(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys, ids *counted, options ...wireformat.Option) program {
	t.Helper()
	log, err := eventlog.Open(t.Context(), client, wireformat.New(options...), eventlog.Config{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	clock := chatcoretest.NewClock(time.Now())
	entities := entity.NewLoader(log, log, 1<<20)
	chats := app.NewChats(log, entities, nil, memory.NewTyping(clock), clock, ids, nil, app.Policy{}, nil)
	return program{chats, app.NewQueries(log, entities, projection.Views{}), log}
}

// next returns an option that writes an event type in its next version.
func next(typ string) wireformat.Option {
	return wireformat.WithUpcaster(typ, 1, func(map[string]json.RawMessage) error { return nil })
}

// TestTwoBuildsOfTheCodec has a newer build append events that an older one cannot decode: a newer version of a send and of an edit, and unknown
// event types. The older build shows the readable events, and validates no command against an event that it has not decoded.
func TestTwoBuildsOfTheCodec(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		keys, ids, ctx := rig.NewKeys(t, 4), &counted{}, t.Context()
		newer := newProgram(t, client, keys, ids, next(wireformat.TypeMessageNew), next(wireformat.TypeMessageEdit))
		middle := newProgram(t, client, keys, ids, next(wireformat.TypeMessageEdit))
		older := newProgram(t, client, keys, ids, wireformat.WithoutTypes(wireformat.TypeMessageReaction, wireformat.TypeReadReceipt))
		do := func(_ any, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		do(older.chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Members: []domain.UserID{"ben"}}))
		for _, m := range []domain.MessageID{"m1", "m2", "m3"} { // seqs 3 to 5
			do(older.chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: m, Content: "text of " + string(m)}))
		}
		do(middle.chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "ada", MessageID: "m2", Content: "hidden from the older"})) // 6
		do(middle.chats.React(ctx, domain.React{Chat: "c", Actor: "ben", MessageID: "m3", Emoji: "👍"}))                     // 7
		do(middle.chats.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: "ben", MessageID: "m3"}))                           // 8
		do(newer.chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "m4", Content: "of the newer"}))           // 9
		do(older.chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "m5", Content: "text of m5"}))             // 10

		// Shown: the whole page, with the events that need a newer program marked.
		records, err := older.queries.Events(ctx, "c", domain.Span{First: true})
		if err != nil || len(records) != 10 {
			t.Fatalf("%d events, %v", len(records), err)
		}
		for seq, want := range map[domain.Seq]domain.Unknown{
			6: {Type: wireformat.TypeMessageEdit, Version: 2, Newer: true, Message: "m2"},
			7: {Type: wireformat.TypeMessageReaction, Version: 1, Message: "m3"},
			8: {Type: wireformat.TypeReadReceipt, Version: 1, Message: "m3"},
			9: {Type: wireformat.TypeMessageNew, Version: 2, Newer: true, Sent: true, Message: "m4"},
		} {
			r := records[seq-1]
			e, ok := r.Event.(domain.Unknown)
			if !ok || r.Seq != seq || r.ID == "" || !json.Valid([]byte(e.Data)) || e.At.IsZero() || e.Chat != "c" {
				t.Errorf("seq %d is %+v", seq, r)
			}
			e.Chat, e.Data, e.At = "", "", time.Time{}
			if e != want {
				t.Errorf("seq %d is %+v, not %+v", seq, e, want)
			}
		}
		if records[8].Ordinal != 4 || records[9].Ordinal != 5 {
			t.Errorf("ordinals %d and %d", records[8].Ordinal, records[9].Ordinal)
		}
		for _, span := range []domain.Span{{First: true}, {}} {
			history, err := older.queries.History(ctx, "c", span)
			if err != nil || len(history) != 5 {
				t.Fatalf("%d messages, %v", len(history), err)
			}
			for i, m := range history {
				id := domain.MessageID("m" + string(rune('1'+i)))
				readable := i != 1 && i != 3
				if m.ID != id || m.Seq == 0 || m.SentAt.IsZero() || readable != (m.Unreadable == nil) || readable != (m.Content == domain.Content("text of "+string(id))) {
					t.Errorf("%s is %+v", id, m)
				}
				if !readable && (m.Content != "" || !errors.Is(m.Unreadable, ports.ErrNewerVersion)) {
					t.Errorf("%s is %+v", id, m)
				}
			}
		}
		audited := 0
		for r, err := range older.queries.Audit(ctx, "c", domain.Audit{User: "ben"}) {
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := r.Event.(domain.Unknown); ok {
				audited++
			}
		}
		if audited != 4 {
			t.Errorf("the audit of a user has %d of 4 events that may concern the user", audited)
		}
		if members, err := older.queries.Members(ctx, "c"); err != nil || len(members) != 2 {
			t.Errorf("%v, %v", members, err)
		}
		if m, err := older.queries.Message(ctx, "c", "m3"); err != nil || m.Content != "text of m3" {
			t.Errorf("a message with a reaction of an unknown type: %+v, %v", m, err)
		}

		// Refused: commands and queries that depend on an event that was not decoded.
		for name, call := range map[string]func() error{
			"message": func() error { _, err := older.queries.Message(ctx, "c", "m2"); return err },
			"at":      func() error { _, err := older.queries.At(9).Unread(ctx, "c", "ada"); return err },
			"edit": func() error {
				_, err := older.chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "ada", MessageID: "m2", Content: "over it"})
				return err
			},
			"delete": func() error {
				_, err := older.chats.Delete(ctx, domain.Delete{Chat: "c", Actor: "ada", MessageID: "m4"})
				return err
			},
			"send": func() error {
				_, err := older.chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "m4", Content: "of the newer"})
				return err
			},
			"unreact": func() error {
				_, err := older.chats.Unreact(ctx, domain.React{Chat: "c", Actor: "ben", MessageID: "m3", Emoji: "👍"})
				return err
			},
			"mark read": func() error {
				_, err := older.chats.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: "ben", MessageID: "m3"})
				return err
			},
		} {
			err := call()
			var unread *ports.NewerVersionError
			if !errors.Is(err, ports.ErrNewerVersion) || errors.Is(err, ports.ErrCorrupt) || !errors.As(err, &unread) || unread.Chat != "c" || unread.Seq < 6 || unread.Seq > 9 {
				t.Errorf("%s: %v", name, err)
			}
		}
		if page, err := older.log.Read(ctx, "c", ports.Range{Limit: 1}); err != nil || page.Head != 10 {
			t.Errorf("the head is %d, %v", page.Head, err)
		}

		// The read mark has the count of unread messages, so that no event is decoded.
		if unread, err := older.queries.Unread(ctx, "c", "ben"); err != nil || unread != 2 {
			t.Errorf("%d unread messages, %v", unread, err)
		}

		// Everything else works, and the newer build decodes all events.
		do(older.chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "ada", MessageID: "m1", Content: "text of m1, edited"}))
		do(newer.chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "ada", MessageID: "m2", Content: "edited by the newer"}))
		history, err := newer.queries.History(ctx, "c", domain.Span{First: true})
		if err != nil || len(history) != 5 || slices.ContainsFunc(history, func(m app.MessageView) bool { return m.Unreadable != nil || m.Content == "" }) {
			t.Errorf("%+v, %v", history, err)
		}
	})
}

// TestMalformedIsNotNewer distinguishes damaged events from newer ones.
func TestMalformedIsNotNewer(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		keys := rig.NewKeys(t, 1)
		log := rig.Open(t, client, keys)
		rig.Appended(t, log, rig.Created("c"))
		rig.Appended(t, log, rig.Sent("c", "m"))
		list := keys.Prefix() + "cc:{" + keys.Prefix() + "message-delivery-stream}:c:0"
		stored, err := client.LIndex(t.Context(), list, 1).Result()
		if err != nil {
			t.Fatal(err)
		}
		for name, entry := range map[string]string{
			"no JSON": "{", "another seq": `{"eventId":"e","type":"poll:x","v":1,"timestamp":"2026-01-01T00:00:00.000Z","seq":9,"ordinal":1,"chatId":"c"}`,
			"an unknown type without a chat": `{"eventId":"e","type":"chat:x","v":1,"timestamp":"2026-01-01T00:00:00.000Z","seq":2,"ordinal":1}`,
			"an unknown type of a chat":      `{"eventId":"e","type":"chat:x","v":1,"timestamp":"2026-01-01T00:00:00.000Z","seq":2,"ordinal":1,"chatId":"c"}`,
			"no type":                        `{"eventId":"e","v":9,"timestamp":"2026-01-01T00:00:00.000Z","seq":2,"ordinal":1,"chatId":"c"}`,
			"nothing":                        "",
		} {
			must(t, client.LSet(t.Context(), list, 1, entry).Err())
			_, err := log.Read(t.Context(), "c", ports.Range{Limit: 10})
			if readable := name == "an unknown type of a chat"; readable != (err == nil) || !readable && !errors.Is(err, ports.ErrCorrupt) {
				t.Errorf("%s: %v", name, err)
			}
		}
		must(t, client.LSet(t.Context(), list, 1, stored).Err())
	})
}
