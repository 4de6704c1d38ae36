package live_test

import (
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"chatcore/adapters/pubsub/live"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestTail_EphemeralOfOtherPrograms hears payloads as other programs write them, and counts those that name neither chat nor user.
func TestTail_EphemeralOfOtherPrograms(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := newTailRig(t, redistest.Shared(t), rigConfig{tail: live.TailConfig{Now: func() time.Time { return at }}})
	var mu sync.Mutex
	var heard []ports.EphemeralNotice
	stop, err := r.WatchEphemeral(t.Context(), func(n ports.EphemeralNotice) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, n)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, typ, payload string
		chat               domain.ChatID
		user               domain.UserID
		want               domain.Ephemeral // nil if the payload is dropped
	}{
		{"typing", "typing:start", `{"chatId":"c","userId":"u"}`, "c", "u", domain.TypingStart{Chat: "c", User: "u", ExpiresAt: at.Add(5 * time.Second), At: at}},
		{
			"spaces, escapes and nested names", "typing:stop",
			"\n{ \"meta\" : {\"userId\":\"no\",\"x\":[1,{\"chatId\":\"no\"}],\"t\":\"}\\\"\"} ,\t\"chatId\":\"c\\u00e9\", \"user\\u0049d\":\"u\\\"\" }", "cé", `u"`,
			domain.TypingStop{Chat: "cé", User: `u"`, At: at},
		},
		{"status", "user:status", `{"userId":"u","status":"away","chatId":"c"}`, "", "u", domain.UserStatus{User: "u", Status: domain.Away, LastSeen: at, At: at}},
		{"no chat", "typing:start", `{"userId":"u"}`, "", "", nil},
		{"no user", "user:status", `{"status":"away"}`, "", "", nil},
		{"a number as the user", "typing:start", `{"chatId":"c","userId":7}`, "", "", nil},
		{"a list", "typing:start", `["chatId","c","userId","u"]`, "", "", nil},
		{"no JSON", "typing:start", `chatId`, "", "", nil},
		{"cut short", "typing:stop", `{"chatId":"c","userId":"u"`, "", "", nil},
		{"nothing", "typing:stop", ``, "", "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			mu.Lock()
			heard = nil
			mu.Unlock()
			malformed := r.Malformed()
			if err := r.client.Publish(t.Context(), r.keys.Channel(test.typ), test.payload).Err(); err != nil {
				t.Fatal(err)
			}
			var got []ports.EphemeralNotice
			wait.Until(t, "the payload is heard or dropped", func() bool {
				mu.Lock()
				defer mu.Unlock()
				got = heard
				return len(got) == 1 || r.Malformed() == malformed+1
			})
			if test.want == nil {
				if len(got) > 0 {
					t.Errorf("heard %+v", got[0])
				}
				return
			}
			want := ports.EphemeralNotice{Type: test.typ, Chat: test.chat, User: test.user, JSON: []byte(test.payload)}
			if len(got) != 1 || !reflect.DeepEqual(got[0], want) {
				t.Fatalf("heard %+v, want %+v", got, want)
			}
			e, _, err := r.DecodeEphemeral(got[0])
			if err != nil || !reflect.DeepEqual(e, test.want) {
				t.Errorf("decodes as %+v, %v; want %+v", e, err, test.want)
			}
		})
	}
	stop()
	for _, n := range []ports.EphemeralNotice{
		{Type: "message:new", JSON: []byte(`{"messageId":"m","chatId":"c","senderId":"u","content":"x"}`)},
		{Type: "typing:start", JSON: []byte(`{"chatId":"c"}`)},
		{Type: "typing:start", JSON: []byte(`{"chatId":"c","userId":"` + strings.Repeat("u", domain.MaxIDBytes+1) + `"}`)},
	} {
		if e, _, err := r.DecodeEphemeral(n); err == nil {
			t.Errorf("%s decodes as %+v", n.JSON, e)
		}
	}
}
