package connect_test

import (
	"net/http"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

// reply sends a reply of bob that mentions ada in the thread of a message.
func (w *world) reply(t *testing.T, chat, root string) string {
	t.Helper()
	id := w.id("reply")
	send := domain.Send{
		Chat: chatID(chat), Actor: "bob", MessageID: domain.MessageID(id), Content: "hello @ada", Thread: domain.MessageID(root), Mentions: []domain.UserID{"ada"},
	}
	if _, err := w.core.Chats.Send(t.Context(), send); err != nil {
		t.Fatal(err)
	}
	return id
}

// thread returns a chat with a message and two replies to it.
func (w *world) thread(t *testing.T) (chat, root string, replies []string) {
	t.Helper()
	chat = w.chat(t)
	root = w.message(t, chat)
	return chat, root, []string{w.reply(t, chat, root), w.reply(t, chat, root)}
}

func threadRows() map[string]row {
	const service = "chatcore.v1.MessageService."
	isThread := func(v *v1.Thread, root string, last string) bool {
		summary := v.GetRoot().GetThread()
		return v.GetRoot().GetId() == root && v.GetFollowing() && v.GetUnread() == 2 && !v.GetUnreadAtLeast() && summary.GetReplies() == 2 &&
			summary.GetLastMessageId() == last && summary.GetLastSenderId() == "bob" && summary.GetLastAt() != nil && summary.GetLastSeq() > 0 &&
			len(summary.GetParticipantIds()) == 1 && !summary.GetMoreParticipants()
	}
	return map[string]row{
		service + "MarkThread": {as: "ada", prepare: func(t *testing.T, w *world) prepared {
			chat, root, replies := w.thread(t)
			req := &v1.MarkThreadRequest{ChatId: chat, ThreadId: root, MessageId: replies[0]}
			return expect(req, func(t *testing.T, res *v1.MarkThreadResponse) {
				view, err := w.core.Queries.Thread(t.Context(), chatID(chat), domain.MessageID(root), "ada")
				if !res.GetRecorded() || !res.GetResult().GetChanged() || err != nil || view.Unread != 1 || !view.Following {
					t.Errorf("the response is %v, the thread %+v, error %v", res, view, err)
				}
			})
		}},
		service + "GetThread": {as: "ada", prepare: func(t *testing.T, w *world) prepared {
			chat, root, replies := w.thread(t)
			return expect(&v1.GetThreadRequest{ChatId: chat, ThreadId: root}, func(t *testing.T, res *v1.GetThreadResponse) {
				if !isThread(res.GetThread(), root, replies[1]) {
					t.Errorf("the thread is %v", res)
				}
			})
		}},
		service + "ListThreadMessages": {prepare: func(t *testing.T, w *world) prepared {
			chat, root, replies := w.thread(t)
			return expect(&v1.ListThreadMessagesRequest{ChatId: chat, ThreadId: root, PageSize: 1}, func(t *testing.T, res *v1.ListThreadMessagesResponse) {
				if m := res.GetMessages(); len(m) != 1 || m[0].GetId() != replies[1] || m[0].GetThreadId() != root || res.GetNextPageToken() == "" {
					t.Errorf("the list is %v", res)
				}
			})
		}},
		service + "ListThreads": {prepare: func(t *testing.T, w *world) prepared {
			chat, root, replies := w.thread(t)
			return expect(&v1.ListThreadsRequest{ChatId: chat, ActorId: "ada", Followed: true}, func(t *testing.T, res *v1.ListThreadsResponse) {
				if l := res.GetThreads(); len(l) != 1 || !isThread(l[0], root, replies[1]) || res.GetNextPageToken() != "" {
					t.Errorf("the list is %v", res)
				}
			})
		}},
		service + "ListMentions": {as: "ada", prepare: func(t *testing.T, w *world) prepared {
			chat, _, replies := w.thread(t)
			return expect(&v1.ListMentionsRequest{ChatId: chat, InThreads: true}, func(t *testing.T, res *v1.ListMentionsResponse) {
				if m := res.GetMessages(); len(m) != 2 || m[0].GetId() != replies[1] || m[1].GetId() != replies[0] {
					t.Errorf("the list is %v", res)
				}
			})
		}},
	}
}

// TestThreads_OverHTTP sends, edits and counts with the fields of threads and mentions, and lists what is refused.
func TestThreads_OverHTTP(t *testing.T) {
	onEachBackend(t, func(t *testing.T, w *world) {
		const service = "/chatcore.v1.MessageService/"
		chat := w.chat(t)
		root := w.message(t, chat)
		call := func(method, as string, body, reason string) string {
			t.Helper()
			status, _, answer := w.post(t, service+method, "application/json", body, "Authorization", w.header(t, as).Get("Authorization"))
			if (status == http.StatusOK) != (reason == "") || reasonOf([]byte(answer)) != reason {
				t.Errorf("%s %s: %d %s, want %q", method, body, status, answer, reason)
			}
			return answer
		}
		where := `"chatId":"` + chat + `",`
		call("SendMessage", "bob", `{`+where+`"messageId":"r1","content":"x","threadId":"`+root+`","inChat":true,"replyTo":"`+root+`"}`, "")
		call("SendMessage", "ada", `{`+where+`"messageId":"r2","content":"x","threadId":"`+root+`","broadcast":"BROADCAST_ALL"}`, "")
		call("SendMessage", "bob", `{`+where+`"messageId":"r3","content":"x","threadId":"r1"}`, "thread")
		call("SendMessage", "bob", `{`+where+`"messageId":"r3","content":"x","threadId":"none"}`, "message_not_found")
		call("SendMessage", "bob", `{`+where+`"messageId":"r3","content":"x","broadcast":"BROADCAST_HERE"}`, "forbidden")
		call("SendMessage", "bob", `{`+where+`"messageId":"r3","content":"x","inChat":true}`, "invalid")
		call("EditMessage", "ada", `{`+where+`"messageId":"r2","commandId":"c","content":"x","broadcast":"BROADCAST_ALL"}`, "invalid")
		call("MarkThread", "bob", `{`+where+`"threadId":"`+root+`"}`, "invalid")
		call("MarkThread", "bob", `{`+where+`"threadId":"r1","messageId":"r2"}`, "thread")
		call("GetThread", "bob", `{`+where+`"threadId":"r2"}`, "thread")
		call("ListThreadMessages", "bob", `{`+where+`"threadId":"none"}`, "message_not_found")

		var unread v1.GetUnreadResponse
		count := func(ignored string) *v1.GetUnreadResponse {
			t.Helper()
			unread.Reset()
			if err := protojson.Unmarshal([]byte(call("GetUnread", "bob", `{`+where+`"withMentions":true`+ignored+`}`, "")), &unread); err != nil {
				t.Fatal(err)
			}
			return &unread
		}
		if n := count(""); n.GetMessages() != 0 || n.GetMentions() != 0 || n.GetThreadMentions() != 1 || n.GetMentionsAtLeast() {
			t.Errorf("bob has %v", n)
		}
		if n := count(`,"ignoredSenderIds":["ada"]`); n.GetThreadMentions() != 0 {
			t.Errorf("without ada's bob has %v", n)
		}
		call("EditMessage", "ada", `{`+where+`"messageId":"r2","commandId":"c","content":"x","removeBroadcast":true}`, "")
		if n := count(""); n.GetThreadMentions() != 0 {
			t.Errorf("after the edit bob has %v", n)
		}
	})
}
