package connect_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	rpc "connectrpc.com/connect"
)

const renamePath = "/chatcore.v1.ChatService/RenameChat"

// TestIdempotencyKey has the header give the id of a command, and be refused where it contradicts the field or is no id.
func TestIdempotencyKey(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	chat := w.chat(t)
	body := func(command string) string {
		return fmt.Sprintf(`{"chatId":%q,"actorId":"ada","commandId":%q,"title":"New"}`, chat, command)
	}
	for _, row := range []struct {
		name, command string
		keys          []string
		field         string // "": the command is accepted
	}{
		{"neither", "", nil, "command_id"},
		{"field", "f1", nil, ""},
		{"header", "", []string{"h1"}, ""},
		{"both the same", "b1", []string{"b1"}, ""},
		{"both, different", "b2", []string{"b3"}, "command_id"},
		{"two headers", "", []string{"h2", "h2"}, "Idempotency-Key"},
		{"empty header", "", []string{""}, "Idempotency-Key"},
		{"empty header beside the field", "f2", []string{""}, "Idempotency-Key"},
		{"space", "", []string{"a b"}, "Idempotency-Key"},
		{"quotes", "", []string{`"8e03978e-40d5-43dd-bc93-6894a57f9324"`}, ""},
		{"UTF-8", "", []string{"é"}, ""},
		{"no UTF-8", "", []string{"\xe9"}, "Idempotency-Key"},
		{"128 bytes", "", []string{strings.Repeat("x", 128)}, ""},
		{"129 bytes", "", []string{strings.Repeat("x", 129)}, "Idempotency-Key"},
		{"malformed field", "a b", nil, "command_id"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var header []string
			for _, k := range row.keys {
				header = append(header, "Idempotency-Key", k)
			}
			r := w.postJSON(t, renamePath, body(row.command), header...)
			switch {
			case row.field == "" && r != nil:
				t.Error(r)
			case row.field != "" && (r == nil || r.code != rpc.CodeInvalidArgument || r.detail.GetField() != row.field || r.detail.GetAllowed() == ""):
				t.Errorf("the error is %v", r)
			}
		})
	}
}

// TestIdempotencyKey_RepeatsACall has a repeated call under the same header return the first result, of commands and of sends, and another command under
// it be refused.
func TestIdempotencyKey_RepeatsACall(t *testing.T) {
	onEachBackend(t, func(t *testing.T, w *world) {
		chat := w.chat(t)
		rename := fmt.Sprintf(`{"chatId":%q,"actorId":"ada","title":"Third"}`, chat)
		send := fmt.Sprintf(`{"chatId":%q,"actorId":"ada","content":"x"}`, chat)
		for _, row := range []struct{ path, body, first, second string }{
			{renamePath, rename, `{"result":{"seq":3,"changed":true}}`, `{"result":{"seq":3,"changed":true,"duplicate":true}}`},
			{sendPath, send, `{"messageId":"key","seq":4}`, `{"messageId":"key","seq":4,"duplicate":true}`},
		} {
			for _, want := range []string{row.first, row.second} {
				if status, _, text := w.post(t, row.path, "application/json", row.body, "Idempotency-Key", "key"); status != http.StatusOK || text != want {
					t.Errorf("status %d, %s; want %s", status, text, want)
				}
			}
		}
		r := w.postJSON(t, renamePath, strings.Replace(rename, "Third", "Fourth", 1), "Idempotency-Key", "key")
		if r == nil || r.code != rpc.CodeAlreadyExists || r.detail.GetReason() != "command_reused" {
			t.Errorf("the error is %v", r)
		}
	})
}

// TestIdempotencyKey_OfABatch has the header count for nothing on a batch: each message has its own id, and a message without one is refused.
func TestIdempotencyKey_OfABatch(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	const path = "/chatcore.v1.MessageService/SendMessages"
	chat := w.chat(t)
	for _, key := range []string{"key", "m1", "a b"} {
		body := strings.NewReplacer("CHAT", chat, "KEY", strings.ReplaceAll(key, " ", "-")).Replace(
			`{"messages":[{"chatId":"CHAT","actorId":"ada","messageId":"KEY-1","content":"x"},{"chatId":"CHAT","actorId":"ada","messageId":"KEY-2","content":"x"}]}`)
		status, _, text := w.post(t, path, "application/json", body, idempotencyKey, key)
		if status != http.StatusOK || strings.Count(text, `"sent":`) != 2 || strings.Contains(text, "duplicate") {
			t.Errorf("status %d, %s", status, text)
		}
	}
	r := w.postJSON(t, path, fmt.Sprintf(`{"messages":[{"chatId":%q,"actorId":"ada","content":"x"}]}`, chat), idempotencyKey, "key")
	if r == nil || r.detail.GetField() != "messages[0].message_id" {
		t.Errorf("a message without an id: %v", r)
	}
}

const idempotencyKey = "Idempotency-Key"

// TestMarkRead_NeedsNoID has a mark be given without an id, and an id that is given be checked.
func TestMarkRead_NeedsNoID(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	chat := w.chat(t)
	w.message(t, chat)
	body := fmt.Sprintf(`{"chatId":%q,"actorId":"bob","seq":3}`, chat)
	if r := w.postJSON(t, markPath, body); r != nil {
		t.Error(r)
	}
	if r := w.postJSON(t, markPath, body, "Idempotency-Key", "a b"); r == nil || r.detail.GetField() != "Idempotency-Key" {
		t.Errorf("the error is %v", r)
	}
	r := w.postJSON(t, markPath, strings.Replace(body, `"seq":3`, `"seq":9`, 1))
	if r == nil || r.code != rpc.CodeOutOfRange || r.detail.GetHeadSeq() != 4 { // the mark is an event too
		t.Errorf("the error is %v", r)
	}
}
