package connect_test

import (
	"slices"
	"testing"

	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

// messageNow returns a message's present state.
func (w *world) messageNow(t *testing.T, chat, message string) (content string, deleted bool, reactions int) {
	t.Helper()
	m, err := w.core.Queries.Message(t.Context(), chatID(chat), domain.MessageID(message))
	if err != nil {
		t.Fatal(err)
	}
	return string(m.Content), m.Deleted(), len(m.Reactions)
}

func messageRows() map[string]row {
	const service = "chatcore.v1.MessageService."
	return map[string]row{
		service + "SendMessage": {prepare: func(t *testing.T, w *world) prepared {
			chat, id := w.chat(t), w.id("m")
			replied := w.message(t, chat)
			req := &v1.SendMessageRequest{
				ChatId: chat, ActorId: "ada", MessageId: id, Content: "hi @bob", ReplyTo: replied, Mentions: []string{"bob", "stranger"},
				Attachments: []*v1.Attachment{{Name: "a.png", Type: "image/png", Size: 1 << 40, Url: "https://files/a"}}, ClientMeta: `{"a": 1}`,
			}
			return expect(req, func(t *testing.T, res *v1.SendMessageResponse) {
				if res.GetMessageId() != id || res.GetSeq() == 0 || res.GetDuplicate() || res.GetDiffers() {
					t.Errorf("the response is %v", res)
				}
				m, err := w.core.Queries.Message(t.Context(), chatID(chat), domain.MessageID(id))
				if err != nil || m.Content != "hi @bob" || m.ReplyTo != domain.MessageID(replied) || m.ClientMeta != `{"a":1}` || m.Attachments[0].Size != 1<<40 ||
					!slices.Equal(m.Mentions, []domain.UserID{"bob"}) {
					t.Errorf("the message is %+v, error %v", m, err)
				}
			})
		}},
		service + "SendMessages": {as: "ada", prepare: func(t *testing.T, w *world) prepared {
			one, other := w.chat(t), w.chat(t)
			req := &v1.SendMessagesRequest{Messages: []*v1.SendMessageRequest{
				{ChatId: one, MessageId: "1", Content: "a"}, {ChatId: other, MessageId: "1", Content: "b"}, {ChatId: one, MessageId: "2", Content: "c"},
			}}
			return expect(req, func(t *testing.T, res *v1.SendMessagesResponse) {
				var seqs []uint32
				for _, r := range res.GetResults() {
					seqs = append(seqs, r.GetSent().GetSeq())
				}
				if len(seqs) != 3 || seqs[0] == 0 || seqs[1] != seqs[0] || seqs[2] != seqs[0]+1 {
					t.Errorf("the results are %v", res)
				}
			})
		}},
		service + "EditMessage": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			message := w.message(t, chat)
			req := &v1.EditMessageRequest{
				ChatId: chat, ActorId: "ada", CommandId: w.id("c"), MessageId: message, Content: "better", Mentions: &v1.MentionList{UserIds: []string{"bob"}},
				Attachments: &v1.AttachmentList{},
			}
			return recorded(req, func() bool {
				m, err := w.core.Queries.Message(t.Context(), chatID(chat), domain.MessageID(message))
				return err == nil && m.Content == "better" && m.Revision == 1 && len(m.Mentions) == 1
			})
		}},
		service + "DeleteMessage": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			message := w.message(t, chat)
			req := &v1.DeleteMessageRequest{ChatId: chat, ActorId: "ada", CommandId: w.id("c"), MessageId: message, Reason: "typo"}
			return recorded(req, func() bool { _, deleted, _ := w.messageNow(t, chat, message); return deleted })
		}},
		service + "EraseMessage": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			message := w.message(t, chat)
			req := &v1.EraseMessageRequest{ChatId: chat, ActorId: "ada", CommandId: w.id("c"), MessageId: message, Reason: "law"}
			return recorded(req, func() bool {
				m, err := w.core.Queries.Message(t.Context(), chatID(chat), domain.MessageID(message))
				return err == nil && m.Erased && m.Content == ""
			})
		}},
		service + "AddReaction": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			message := w.message(t, chat)
			req := &v1.AddReactionRequest{ChatId: chat, ActorId: "bob", CommandId: w.id("c"), MessageId: message, Emoji: "👍"}
			return recorded(req, func() bool { _, _, reactions := w.messageNow(t, chat, message); return reactions == 1 })
		}},
		service + "RemoveReaction": {as: "bob", prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			message := w.message(t, chat)
			react := domain.React{Chat: chatID(chat), Actor: "bob", MessageID: domain.MessageID(message), Emoji: "👍"}
			if _, err := w.core.Chats.React(t.Context(), react); err != nil {
				t.Fatal(err)
			}
			req := &v1.RemoveReactionRequest{ChatId: chat, CommandId: w.id("c"), MessageId: message, Emoji: "👍"}
			return recorded(req, func() bool { _, _, reactions := w.messageNow(t, chat, message); return reactions == 0 })
		}},
		service + "MarkRead": {as: "bob", prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			message := w.message(t, chat)
			req := &v1.MarkReadRequest{ChatId: chat, Position: &v1.MarkReadRequest_MessageId{MessageId: message}, AwaitRecorded: true}
			return expect(req, func(t *testing.T, res *v1.MarkReadResponse) {
				unread, err := w.core.Queries.Unread(t.Context(), chatID(chat), "bob")
				if !res.GetRecorded() || res.GetResult().GetSeq() == 0 || err != nil || unread != 0 {
					t.Errorf("the response is %v, unread %d, error %v", res, unread, err)
				}
			})
		}},
		service + "RecordEvent": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			req := &v1.RecordEventRequest{
				ChatId: chat, ActorId: "bob", CommandId: w.id("c"), Type: "poll:voted", TypeVersion: 2, Data: ` {"choice": "yes"}`, EntityId: "poll",
				Conditions: []*v1.EntityCondition{{Entity: &v1.EntityCondition_CustomEntityId{CustomEntityId: "poll"}}},
			}
			return recorded(req, func() bool {
				view, err := w.core.Queries.Custom(t.Context(), chatID(chat), "poll")
				if err != nil || len(view.Events) != 1 {
					return false
				}
				e, _ := view.Events[0].Event.(domain.Custom)
				return e.Version == 2 && e.Data == `{"choice":"yes"}`
			})
		}},
		service + "GetMessage": {as: "bob", prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			message := w.message(t, chat)
			return expect(&v1.GetMessageRequest{ChatId: chat, MessageId: message}, func(t *testing.T, res *v1.GetMessageResponse) {
				if m := res.GetMessage(); m.GetId() != message || m.GetContent() != "hello" || m.GetSenderId() != "ada" || m.GetSentAt() == nil || m.GetEditedAt() != nil {
					t.Errorf("the message is %v", m)
				}
			})
		}},
		service + "ListMessages": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			message := w.message(t, chat)
			return expect(&v1.ListMessagesRequest{ChatId: chat}, func(t *testing.T, res *v1.ListMessagesResponse) {
				if len(res.GetMessages()) != 1 || res.GetMessages()[0].GetId() != message || res.GetNextPageToken() != "" {
					t.Errorf("the list is %v", res)
				}
			})
		}},
		service + "GetUnread": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			w.message(t, chat)
			return expect(&v1.GetUnreadRequest{ChatId: chat, UserId: "bob"}, func(t *testing.T, res *v1.GetUnreadResponse) {
				if res.GetMessages() != 1 {
					t.Errorf("the response is %v", res)
				}
			})
		}},
		service + "ListUnread": {prepare: func(t *testing.T, w *world) prepared {
			user, chat := w.id("user"), w.chat(t)
			w.add(t, chat, user)
			w.message(t, chat)
			w.listed(t, user, chat)
			return expect(&v1.ListUnreadRequest{UserId: user}, func(t *testing.T, res *v1.ListUnreadResponse) {
				if len(res.GetChats()) != 1 || res.GetChats()[0].GetChatId() != chat || res.GetChats()[0].GetMessages() != 1 {
					t.Errorf("the response is %v", res)
				}
			})
		}},
		service + "ListEntityEvents": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			for range 3 {
				w.vote(t, chat)
			}
			return expect(&v1.ListEntityEventsRequest{ChatId: chat, EntityId: "poll"}, func(t *testing.T, res *v1.ListEntityEventsResponse) {
				events := res.GetEvents()
				if len(events) != 3 || events[0].GetSeq() != res.GetVersion() || events[0].GetSeq() <= events[1].GetSeq() || events[0].GetCustom().GetData() != `{"n":1}` ||
					events[0].GetType() != "poll:voted" || events[0].GetActorId() != "ada" || events[0].GetChatId() != chat {
					t.Errorf("the list is %v", res)
				}
			})
		}},
	}
}

type vote struct{}

func (vote) Custom() (domain.Custom, error) {
	return domain.Custom{Type: "poll:voted", Version: 1, Data: `{"n":1}`}, nil
}

// vote records an event of the entity poll.
func (w *world) vote(t testing.TB, chat string) {
	t.Helper()
	record := domain.Record{Chat: chatID(chat), Actor: "ada", Event: vote{}, Entity: "poll", Command: domain.CommandID(w.id("c"))}
	if _, err := w.core.Chats.Record(t.Context(), record); err != nil {
		t.Fatal(err)
	}
}
