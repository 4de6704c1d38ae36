package connect_test

import (
	"testing"

	rpc "connectrpc.com/connect"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

// TestHideBlocks has one user block another: neither learns by the API that this is why nothing arrives.
func TestHideBlocks(t *testing.T) {
	w := memoryWorld(t, worldConfig{
		core: chatcore.Config{Limits: chatcore.LimitsConfig{CheckBlocks: true}}, api: connect.Config{HideBlocks: true},
	})
	group := w.chat(t)
	if _, err := w.core.Chats.Block(t.Context(), domain.BlockUser{Actor: "eve", User: "ada"}); err != nil {
		t.Fatal(err)
	}
	direct := string(domain.DirectID("ada", "eve"))
	const service = "chatcore.v1.ChatService."
	notDeliverable := func(what string, err error) {
		t.Helper()
		if r, ok := errorAs[*refusal](err); !ok || r.code != rpc.CodeFailedPrecondition || r.detail.GetReason() != "not_deliverable" || r.message != "cannot be delivered" {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, actor := range []string{"ada", "eve"} {
		message := &v1.SendMessageRequest{ChatId: direct, ActorId: actor, MessageId: w.id("message"), Content: "x"}
		_, err := call[*v1.SendMessageResponse](t, w, "chatcore.v1.MessageService.SendMessage", message)
		notDeliverable("a message of "+actor, err)
		sent, err := call[*v1.SendMessagesResponse](t, w, sendMessages, &v1.SendMessagesRequest{Messages: []*v1.SendMessageRequest{message}})
		if e := sent.GetResults()[0].GetError(); err != nil || e.GetCode() != "failed_precondition" || e.GetDetail().GetReason() != "not_deliverable" {
			t.Errorf("a batch of %s: %v %v", actor, e, err)
		}
		_, err = call[*v1.StartTypingResponse](t, w, "chatcore.v1.PresenceService.StartTyping", &v1.StartTypingRequest{ChatId: direct, ActorId: actor})
		notDeliverable("typing of "+actor, err)
	}
	_, err := call[*v1.AddMemberResponse](t, w, service+"AddMember", &v1.AddMemberRequest{CommandId: w.id("command"), ChatId: group, ActorId: "ada", UserId: "eve"})
	notDeliverable("an addition", err)
	added, err := call[*v1.AddMembersResponse](t, w, service+"AddMembers", &v1.AddMembersRequest{CommandId: w.id("command"), ChatId: group, ActorId: "ada", UserIds: []string{"eve", "dan"}})
	if err != nil || len(added.GetUsers()) != 2 || added.GetUsers()[0].GetAdmission() != v1.Admission_ADMISSION_REFUSED || added.GetUsers()[1].GetAdmission() != v1.Admission_ADMISSION_ADDED {
		t.Errorf("additions: %v %v", added, err)
	}
}

// TestHideReads refuses users, and answers a service.
func TestHideReads(t *testing.T) {
	w := memoryWorld(t, worldConfig{core: chatcore.Config{Access: chatcore.AccessConfig{HideReads: true}}})
	chat := w.chat(t)
	request := &v1.ListReadByRequest{ChatId: chat, MessageId: w.message(t, chat)}
	const method = "chatcore.v1.MessageService.ListReadBy"
	if _, err := call[*v1.ListReadByResponse](t, w, method, request); err != nil {
		t.Error(err)
	}
	_, err := callAs[*v1.ListReadByResponse](t, w, "ada", method, request)
	if r, ok := errorAs[*refusal](err); !ok || r.code != rpc.CodePermissionDenied || r.detail.GetReason() != "forbidden" {
		t.Errorf("a user: %v", err)
	}
}
