package connect_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	v1 "chatcore/gen/chatcore/v1"
)

func feedRows() map[string]row {
	const service = "chatcore.v1.FeedService."
	return map[string]row{
		service + "Watch": {as: "bob", prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			message := w.message(t, chat)
			request := &v1.WatchRequest{Chats: []*v1.ChatPosition{{ChatId: chat, AfterSeq: proto.Uint32(1)}}}
			return prepared{request, func(t *testing.T, responses []proto.Message) {
				messages := make([]*v1.WatchResponse, len(responses))
				for i, r := range responses {
					messages[i], _ = r.(*v1.WatchResponse)
				}
				if len(messages) != 4 || messages[0].GetStarted().GetLogId() != w.core.LogID() {
					t.Fatalf("the messages are %v", messages)
				}
				if added := messages[1].GetEvent(); added.GetSeq() != 2 || added.GetChatUpdate().GetUserId() != "bob" {
					t.Errorf("the first event is %v", added)
				}
				if sent := messages[2].GetEvent(); sent.GetSeq() != 3 || sent.GetMessageNew().GetMessageId() != message || sent.GetChatId() != chat {
					t.Errorf("the second event is %v", sent)
				}
				if c := messages[3].GetCaughtUp(); c.GetSeq() != 3 || c.GetChatId() != chat {
					t.Errorf("the last message is %v", c)
				}
			}}
		}},
		service + "CreateFeedTicket": {prepare: func(_ *testing.T, w *world) prepared {
			return expect(&v1.CreateFeedTicketRequest{ActorId: w.id("user")}, func(t *testing.T, res *v1.CreateFeedTicketResponse) {
				if left := time.Until(res.GetExpiresAt().AsTime()); len(res.GetTicket()) < 26 || left > 30*time.Second || left < 0 {
					t.Errorf("the response is %v", res)
				}
			})
		}},
	}
}
