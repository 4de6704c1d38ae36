package connect_test

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/gen/chatcore/v1/chatcorev1connect"
	"chatcore/tests/wait"
)

// pinned pins a message of ada.
func (w *world) pinned(t *testing.T, chat string) (message string) {
	t.Helper()
	message = w.message(t, chat)
	if _, err := w.core.Chats.Pin(t.Context(), domain.Pin{Chat: chatID(chat), Actor: "ada", MessageID: domain.MessageID(message)}); err != nil {
		t.Fatal(err)
	}
	return message
}

// pinsNow returns the number of pins of a chat.
func (w *world) pinsNow(t *testing.T, chat string) int {
	t.Helper()
	pins, err := w.core.Queries.Pins(t.Context(), chatID(chat))
	if err != nil {
		t.Fatal(err)
	}
	return len(pins)
}

// settingsRows are the methods of settings, pins and what others have read.
func settingsRows() map[string]row {
	const chats, messages = "chatcore.v1.ChatService.", "chatcore.v1.MessageService."
	return map[string]row{
		chats + "SetChatSettings": {as: "bob", prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			message := w.message(t, chat)
			until := time.Now().Add(time.Hour).Truncate(time.Millisecond)
			req := &v1.SetChatSettingsRequest{
				ChatId: chat, CommandId: w.id("c"), Notify: v1.NotifyLevel_NOTIFY_LEVEL_MENTIONS, MutedUntil: timestamppb.New(until), Favourite: new(true),
				Hidden: v1.Hiding_HIDING_ALWAYS, UnreadFrom: &message,
			}
			return recorded(req, func() bool {
				all, err := w.core.Queries.Settings(t.Context(), chatID(chat), "bob")
				s := all[0]
				return err == nil && s.Notify == domain.NotifyMentions && s.MutedUntil.Equal(until) && s.Favourite && s.Hidden == domain.HiddenAlways && s.UnreadSeq > 0
			})
		}},
		chats + "GetChatSettings": {as: "bob", prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			change := domain.SettingsChange{Notify: new(domain.NotifyNone), Hidden: new(domain.HiddenUntilMessage)}
			done, err := w.core.Chats.SetSettings(t.Context(), domain.SetSettings{Chat: chatID(chat), Actor: "bob", Settings: change})
			if err != nil {
				t.Fatal(err)
			}
			return expect(&v1.GetChatSettingsRequest{ChatId: chat}, func(t *testing.T, res *v1.GetChatSettingsResponse) {
				s := res.GetSettings()
				if s.GetNotify() != v1.NotifyLevel_NOTIFY_LEVEL_NONE || s.GetHidden() != v1.Hiding_HIDING_UNTIL_MESSAGE || domain.Seq(s.GetHiddenSeq()) != done.Seq-1 || s.GetMutedUntil() != nil {
					t.Errorf("the settings are %v", s)
				}
			})
		}},
		messages + "PinMessage": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			req := &v1.PinMessageRequest{ChatId: chat, ActorId: "ada", CommandId: w.id("c"), MessageId: w.message(t, chat)}
			return recorded(req, func() bool { return w.pinsNow(t, chat) == 1 })
		}},
		messages + "UnpinMessage": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			req := &v1.UnpinMessageRequest{ChatId: chat, ActorId: "ada", CommandId: w.id("c"), MessageId: w.pinned(t, chat)}
			return recorded(req, func() bool { return w.pinsNow(t, chat) == 0 })
		}},
		messages + "ListPins": {as: "bob", prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			message := w.pinned(t, chat)
			return expect(&v1.ListPinsRequest{ChatId: chat}, func(t *testing.T, res *v1.ListPinsResponse) {
				if m := res.GetMessages(); len(m) != 1 || m[0].GetId() != message || m[0].GetPinnedBy() != "ada" || m[0].GetPinnedAt() == nil {
					t.Errorf("the pins are %v", m)
				}
			})
		}},
		messages + "ListReadBy": {as: "bob", prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			message := w.message(t, chat)
			mark := domain.MarkRead{Chat: chatID(chat), Actor: "bob", MessageID: domain.MessageID(message), AwaitRecorded: true}
			if _, err := w.core.Chats.MarkRead(t.Context(), mark); err != nil {
				t.Fatal(err)
			}
			return expect(&v1.ListReadByRequest{ChatId: chat, MessageId: message}, func(t *testing.T, res *v1.ListReadByResponse) {
				if !slices.Equal(res.GetUserIds(), []string{"bob"}) {
					t.Errorf("the readers are %v", res.GetUserIds())
				}
			})
		}},
		messages + "GetUnreadTotals": {prepare: func(t *testing.T, w *world) prepared {
			chat, user := w.chat(t), w.id("reader")
			w.add(t, chat, user)
			w.message(t, chat)
			w.listed(t, user, chat)
			if _, err := w.core.Chats.SetSettings(t.Context(), domain.SetSettings{
				Chat: chatID(chat), Actor: userID(user), Settings: domain.SettingsChange{Notify: new(domain.NotifyNone)},
			}); err != nil {
				t.Fatal(err)
			}
			wait.Until(t, "the totals leave a silent chat out", func() bool {
				totals, err := w.core.Queries.UnreadTotals(t.Context(), userID(user), false)
				return err == nil && totals.Chats == 0
			})
			return expect(&v1.GetUnreadTotalsRequest{UserId: user, IncludeMuted: true}, func(t *testing.T, res *v1.GetUnreadTotalsResponse) {
				if res.GetChats() != 1 || res.GetMessages() != 1 {
					t.Errorf("the totals are %v", res)
				}
			})
		}},
	}
}

// TestListMessages_WithChanges pages through messages and changes of a chat.
func TestListMessages_WithChanges(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	chat := w.chat(t)
	message := w.pinned(t, chat)
	client := chatcorev1connect.NewMessageServiceClient(w.client(t), w.url)
	req := &v1.ListMessagesRequest{ChatId: chat, PageSize: 2, IncludeChanges: true}
	var types []string
	for {
		res, err := client.ListMessages(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(res.GetMessages()) + len(res.GetChanges()); n > 2 {
			t.Errorf("a page of 2 has %d items", n)
		}
		for _, m := range res.GetMessages() {
			if m.GetId() != message {
				t.Errorf("a message is %v", m)
			}
			types = append(types, "message")
		}
		for _, e := range res.GetChanges() {
			if e.GetId() == "" || e.GetSeq() == 0 || e.GetActorId() != "ada" {
				t.Errorf("a change is %v", e)
			}
			types = append(types, e.GetType())
		}
		if req.PageToken = res.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	slices.Sort(types)
	if want := []string{"chat:update", "chat:update", "message", "message:pin"}; !slices.Equal(types, want) {
		t.Errorf("the page has %v, want %v", types, want)
	}
}
