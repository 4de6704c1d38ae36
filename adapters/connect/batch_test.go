package connect_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	rpc "connectrpc.com/connect"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

const sendMessages = "chatcore.v1.MessageService.SendMessages"

// TestSendMessages_Order has a batch to many chats be recorded in order in each chat, with its results in the order of the request, and be given again
// with the same results.
func TestSendMessages_Order(t *testing.T) {
	onEachBackend(t, func(t *testing.T, w *world) {
		var chats []string
		for range 20 {
			chats = append(chats, w.chat(t))
		}
		req := &v1.SendMessagesRequest{}
		sent := make(map[string][]string)
		for i := range 256 {
			chat, id := chats[rand.IntN(len(chats))], fmt.Sprint("m", i)
			sent[chat] = append(sent[chat], id)
			req.Messages = append(req.Messages, &v1.SendMessageRequest{ChatId: chat, ActorId: "ada", MessageId: id, Content: "x"})
		}
		for _, again := range []bool{false, true} {
			res, err := call[*v1.SendMessagesResponse](t, w, sendMessages, req)
			if err != nil || len(res.GetResults()) != 256 {
				t.Fatalf("%d results, error %v", len(res.GetResults()), err)
			}
			last := make(map[string]uint32)
			for i, r := range res.GetResults() {
				one := req.GetMessages()[i]
				if r.GetSent().GetMessageId() != one.GetMessageId() || r.GetSent().GetSeq() <= last[one.GetChatId()] || r.GetSent().GetDuplicate() != again {
					t.Fatalf("result %d is %v", i, r)
				}
				last[one.GetChatId()] = r.GetSent().GetSeq()
			}
		}
		for chat, ids := range sent {
			events, err := w.core.Queries.Events(t.Context(), chatID(chat), domain.Span{First: true, Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			var recorded []string
			for _, e := range events {
				if m, ok := e.Event.(domain.MessageNew); ok {
					recorded = append(recorded, string(m.Message))
				}
			}
			if strings.Join(recorded, " ") != strings.Join(ids, " ") {
				t.Errorf("chat %s has %v, want %v", chat, recorded, ids)
			}
		}
	})
}

// TestSendMessages_StopsAChatAtItsFirstFailure has the messages after a failed one not be tried in its chat, and be sent in others.
func TestSendMessages_StopsAChatAtItsFirstFailure(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	one, other := w.chat(t), w.chat(t)
	message := func(chat, id, actor, content string) *v1.SendMessageRequest {
		return &v1.SendMessageRequest{ChatId: chat, ActorId: actor, MessageId: id, Content: content}
	}
	req := &v1.SendMessagesRequest{Messages: []*v1.SendMessageRequest{
		message(one, "1", "ada", "x"), message(one, "2", "stranger", "x"), message(other, "1", "ada", "x"), message(one, "3", "ada", "x"),
		message(other, "2", "ada", ""), message("no such chat", "1", "ada", "x"), message("absent", "1", "ada", "x"), message(other, "3", "ada", "x"),
	}}
	res, err := call[*v1.SendMessagesResponse](t, w, sendMessages, req)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		"", "permission_denied not_member ", "", "aborted not_tried ", "invalid_argument invalid content", "invalid_argument invalid chat_id",
		"not_found chat_not_found ", "aborted not_tried ",
	} {
		e := res.GetResults()[i].GetError()
		got := ""
		if e != nil {
			got = fmt.Sprint(e.GetCode(), " ", e.GetDetail().GetReason(), " ", e.GetDetail().GetField())
		}
		if got != want {
			t.Errorf("message %d: %q, want %q", i, got, want)
		}
	}
}

// TestSendMessages_EndOfTheCall has the messages after one whose sending the deadline ended be not tried: it is known that they were not sent.
func TestSendMessages_EndOfTheCall(t *testing.T) {
	gate := func(ctx context.Context, q app.GateQuestion) error {
		if q.Kind != app.GateSend {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
	w := memoryWorld(t, worldConfig{options: []chatcore.Option{chatcore.WithGate(gate)}})
	body := strings.ReplaceAll(`{"messages":[{"chatId":"ID","actorId":"ada","messageId":"1","content":"x"},{"chatId":"ID","actorId":"ada","messageId":"2","content":"x"}]}`, "ID", w.chat(t))
	status, _, text := w.post(t, "/chatcore.v1.MessageService/SendMessages", "application/json", body, "Connect-Timeout-Ms", "50")
	if status != http.StatusOK || strings.Count(text, `"deadline_exceeded"`) == 0 || strings.Count(text, `"not_tried"`) != 1 || !strings.Contains(text, `"code":"aborted"`) {
		t.Errorf("status %d, %s", status, text)
	}
}

// TestSendMessages_Refused has a batch without messages, with too many, or with a message that has no id be refused as a whole, before anything is sent.
func TestSendMessages_Refused(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	chat := w.chat(t)
	many := make([]*v1.SendMessageRequest, 257)
	for i := range many {
		many[i] = &v1.SendMessageRequest{ChatId: chat, ActorId: "ada", MessageId: fmt.Sprint(i), Content: "x"}
	}
	for field, messages := range map[string][]*v1.SendMessageRequest{
		"messages": many, "messages[1].message_id": {many[0], {ChatId: chat, ActorId: "ada", Content: "x"}},
	} {
		_, err := call[*v1.SendMessagesResponse](t, w, sendMessages, &v1.SendMessagesRequest{Messages: messages})
		if r, ok := errorAs[*refusal](err); !ok || r.code != rpc.CodeInvalidArgument || r.detail.GetField() != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if r := w.postJSON(t, "/chatcore.v1.MessageService/SendMessages", `{}`); r == nil || r.detail.GetField() != "messages" {
		t.Errorf("no messages: %v", r)
	}
	events, err := w.core.Queries.Events(t.Context(), chatID(chat), domain.Span{})
	if err != nil || len(events) != 2 {
		t.Errorf("%d events, error %v", len(events), err)
	}
}

// TestRecordEvent_Refused has types that are not declared, versions beyond the declared one, data that is no JSON object, and conditions that do not hold be
// refused.
func TestRecordEvent_Refused(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	chat := w.chat(t)
	w.vote(t, chat)
	const path = "/chatcore.v1.MessageService/RecordEvent"
	for _, row := range []struct{ body, reason, field, allowed string }{
		{`"type":"poll:closed","data":"{}"`, "invalid", "type", "poll:voted"},
		{`"type":"message:new","data":"{}"`, "invalid", "type", "poll:voted"},
		{`"type":"poll:voted","typeVersion":4,"data":"{}"`, "invalid", "type_version", "1 to 3"},
		{`"type":"poll:voted","typeVersion":4294967295,"data":"{}"`, "invalid", "type_version", "1 to 3"},
		{`"type":"poll:voted"`, "invalid", "data", "one JSON object"},
		{`"type":"poll:voted","data":"[1]"`, "invalid", "data", "one JSON object"},
		{`"type":"poll:voted","data":"{} {}"`, "invalid", "data", "one JSON object"},
		{`"type":"poll:voted","data":"{\"a\":\"` + strings.Repeat("x", 70_000) + `\"}"`, "too_large", "", ""},
		{`"type":"poll:voted","data":"{}","conditions":[{"version":1}]`, "invalid", "conditions[0].entity", "custom_entity_id"},
		{`"type":"poll:voted","data":"{}","conditions":[{"messageId":"m"},{"memberUserId":"a b"}]`, "invalid", "conditions[1].member_user_id", "printable"},
		{`"type":"poll:voted","data":"{}","conditions":[{"messageId":"m","exists":true,"version":1}]`, "invalid", "conditions[0].version", "0"},
		{`"type":"poll:voted","data":"{}","conditions":[` + strings.Repeat(`{"messageId":"m"},`, 16) + `{"messageId":"m"}]`, "invalid", "conditions", "at most 16"},
		{`"type":"poll:voted","data":"{}","conditions":[{"customEntityId":"poll","version":2}]`, "conflict", "", ""},
		{`"type":"poll:voted","data":"{}","conditions":[{"customEntityId":"other","exists":true}]`, "conflict", "", ""},
	} {
		r := w.postJSON(t, path, fmt.Sprintf(`{"chatId":%q,"actorId":"ada","commandId":%q,%s}`, chat, w.id("c"), row.body))
		if r == nil || r.detail.GetReason() != row.reason || r.detail.GetField() != row.field || !strings.Contains(r.detail.GetAllowed(), row.allowed) {
			t.Errorf("%.100s: %v", row.body, r)
			continue
		}
		if row.reason == "conflict" && (r.code != rpc.CodeAborted || r.detail.GetRetryable() || r.detail.GetEntity() == "") {
			t.Errorf("%s: %v", row.body, r)
		}
	}
	if r := w.postJSON(t, path, fmt.Sprintf(`{"chatId":%q,"actorId":"ada","commandId":"ok","type":"poll:voted","data":"{}","conditions":[{"customEntityId":"poll","version":3}]}`, chat)); r != nil {
		t.Errorf("a condition that holds: %v", r)
	}
}
