package connect_test

import (
	"errors"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"chatcore/app"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

func logRows() map[string]row {
	const service = "chatcore.v1.LogService."
	return map[string]row{
		service + "ListEvents": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			message := w.message(t, chat)
			return expect(&v1.ListEventsRequest{ChatId: chat, PageSize: 2}, func(t *testing.T, res *v1.ListEventsResponse) {
				events := res.GetEvents()
				if len(events) != 2 || res.GetNextPageToken() == "" {
					t.Fatalf("the events are %v", res)
				}
				added, sent := events[0], events[1]
				if u := added.GetChatUpdate(); added.GetSeq() != 2 || u.GetChange() != v1.ChatChange_CHAT_CHANGE_MEMBER_ADDED || u.GetUserId() != "bob" || u.GetRole() != v1.Role_ROLE_MEMBER {
					t.Errorf("the first event is %v", added)
				}
				if m := sent.GetMessageNew(); sent.GetSeq() != 3 || sent.GetType() != "message:new" || sent.GetActorId() != "ada" || m.GetMessageId() != message || m.GetContent() != "hello" {
					t.Errorf("the second event is %v", sent)
				}
			})
		}},
		service + "ListAuditEvents": {as: "ada", prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			message := w.message(t, chat)
			request := &v1.ListAuditEventsRequest{ChatId: chat, About: &v1.ListAuditEventsRequest_MessageId{MessageId: message}}
			return expect(request, func(t *testing.T, res *v1.ListAuditEventsResponse) {
				if events := res.GetEvents(); len(events) != 1 || events[0].GetSeq() != 3 || res.GetNextPageToken() != "" {
					t.Errorf("the events are %v", res)
				}
			})
		}},
	}
}

// online has a new user send a heartbeat, and returns the user.
func (w *world) online(t *testing.T) string {
	t.Helper()
	user := w.id("user")
	if err := w.core.Presence.Heartbeat(t.Context(), userID(user), "d", ""); err != nil {
		t.Fatal(err)
	}
	return user
}

// statusNow returns a user's present status.
func (w *world) statusNow(t *testing.T, user string) domain.Status {
	t.Helper()
	statuses, err := w.core.Presence.Statuses(t.Context(), userID(user))
	if err != nil {
		t.Fatal(err)
	}
	return statuses[0].Status
}

// typingNow returns the users that type in a chat.
func (w *world) typingNow(t *testing.T, chat string) []domain.UserID {
	t.Helper()
	users, err := w.core.Queries.Typing(t.Context(), chatID(chat))
	if err != nil {
		t.Fatal(err)
	}
	return users
}

// typing has ada type in a new chat, and returns the chat.
func (w *world) typing(t *testing.T) string {
	t.Helper()
	chat := w.chat(t)
	if published, err := w.core.Chats.StartTyping(t.Context(), domain.Typing{Chat: chatID(chat), Actor: "ada"}); err != nil || !published {
		t.Fatal(published, err)
	}
	return chat
}

func presenceRows() map[string]row {
	const service = "chatcore.v1.PresenceService."
	isNow := func(w *world, user string, want domain.Status) func(*testing.T) {
		return func(t *testing.T) {
			if got := w.statusNow(t, user); got != want {
				t.Errorf("the status is %d, want %d", got, want)
			}
		}
	}
	return map[string]row{
		service + "Heartbeat": {prepare: func(_ *testing.T, w *world) prepared {
			user := w.id("user")
			holds := isNow(w, user, domain.Online)
			return expect(&v1.HeartbeatRequest{UserId: user, DeviceId: "d", ConnectionId: "1"}, func(t *testing.T, _ *v1.HeartbeatResponse) { holds(t) })
		}},
		service + "Disconnect": {prepare: func(t *testing.T, w *world) prepared {
			user := w.online(t)
			holds := isNow(w, user, domain.Offline)
			return expect(&v1.DisconnectRequest{UserId: user, DeviceId: "d"}, func(t *testing.T, _ *v1.DisconnectResponse) { holds(t) })
		}},
		service + "SetStatus": {prepare: func(t *testing.T, w *world) prepared {
			user := w.online(t)
			holds := isNow(w, user, domain.Away)
			return expect(&v1.SetStatusRequest{UserId: user, Status: v1.Status_STATUS_AWAY}, func(t *testing.T, res *v1.SetStatusResponse) {
				if holds(t); !res.GetPublished() {
					t.Error("nothing was published")
				}
			})
		}},
		service + "GetStatuses": {prepare: func(t *testing.T, w *world) prepared {
			user := w.online(t)
			return expect(&v1.GetStatusesRequest{UserIds: []string{"nobody-knows", user}}, func(t *testing.T, res *v1.GetStatusesResponse) {
				s := res.GetStatuses()
				if len(s) != 2 || s[0].GetStatus() != v1.Status_STATUS_OFFLINE || s[0].GetLastSeenAt() != nil || s[1].GetUserId() != user || s[1].GetStatus() != v1.Status_STATUS_ONLINE || s[1].GetLastSeenAt() == nil {
					t.Errorf("the statuses are %v", res)
				}
			})
		}},
		service + "StreamOnlineUsers": {prepare: func(t *testing.T, w *world) prepared {
			user := w.online(t)
			return prepared{&v1.StreamOnlineUsersRequest{}, func(t *testing.T, responses []proto.Message) {
				for _, res := range responses {
					if chunk, ok := res.(*v1.StreamOnlineUsersResponse); ok && slices.Contains(chunk.GetUserIds(), user) {
						return
					}
				}
				t.Errorf("%s is not in %v", user, responses)
			}}
		}},
		service + "StartTyping": {as: "ada", prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			return expect(&v1.StartTypingRequest{ChatId: chat}, func(t *testing.T, res *v1.StartTypingResponse) {
				if now := w.typingNow(t, chat); !res.GetPublished() || !slices.Equal(now, []domain.UserID{"ada"}) {
					t.Errorf("%v type, %v", now, res)
				}
			})
		}},
		service + "StopTyping": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.typing(t)
			return expect(&v1.StopTypingRequest{ChatId: chat, ActorId: "ada"}, func(t *testing.T, _ *v1.StopTypingResponse) {
				if now := w.typingNow(t, chat); len(now) > 0 {
					t.Errorf("%v type", now)
				}
			})
		}},
		service + "ListTyping": {as: "bob", prepare: func(t *testing.T, w *world) prepared {
			return expect(&v1.ListTypingRequest{ChatId: w.typing(t)}, func(t *testing.T, res *v1.ListTypingResponse) {
				if !slices.Equal(res.GetUserIds(), []string{"ada"}) {
					t.Errorf("%v type", res.GetUserIds())
				}
			})
		}},
	}
}

// session opens a session of a new user.
func (w *world) session(t *testing.T) app.OpenedSession {
	t.Helper()
	opened, err := w.core.Sessions.Open(t.Context(), domain.OpenSession{User: userID(w.id("user")), Device: domain.Device{Name: "phone"}})
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// liveSession returns the id of the session of a token, or "" if it opens none.
func (w *world) liveSession(t *testing.T, token string) string {
	t.Helper()
	s, err := w.core.Sessions.Get(t.Context(), app.SessionToken(token))
	if err != nil && !errors.Is(err, domain.ErrNoSession) {
		t.Fatal(err)
	}
	return string(s.ID)
}

func sessionRows() map[string]row {
	const service = "chatcore.v1.SessionService."
	closed := func(t *testing.T, w *world, s app.OpenedSession) {
		t.Helper()
		if id := w.liveSession(t, string(s.Token)); id != "" {
			t.Errorf("session %s lives", id)
		}
	}
	return map[string]row{
		service + "OpenSession": {prepare: func(_ *testing.T, w *world) prepared {
			user := w.id("user")
			return expect(&v1.OpenSessionRequest{UserId: user, Device: &v1.Device{Name: "phone"}}, func(t *testing.T, res *v1.OpenSessionResponse) {
				if s := res.GetSession(); s.GetUserId() != user || s.GetDevice().GetName() != "phone" || w.liveSession(t, res.GetToken()) != s.GetId() {
					t.Errorf("the session is %v", s)
				}
			})
		}},
		service + "GetSession": {prepare: func(t *testing.T, w *world) prepared {
			opened := w.session(t)
			return expect(&v1.GetSessionRequest{Token: string(opened.Token)}, func(t *testing.T, res *v1.GetSessionResponse) {
				if s := res.GetSession(); s.GetId() != string(opened.ID) || s.GetUserId() != string(opened.User) || s.GetOpenedAt() == nil || s.GetExpiresAt() == nil {
					t.Errorf("the session is %v", s)
				}
			})
		}},
		service + "RotateSession": {prepare: func(t *testing.T, w *world) prepared {
			opened := w.session(t)
			return expect(&v1.RotateSessionRequest{Token: string(opened.Token)}, func(t *testing.T, res *v1.RotateSessionResponse) {
				if closed(t, w, opened); w.liveSession(t, res.GetToken()) != string(opened.ID) || res.GetSession().GetId() != string(opened.ID) {
					t.Errorf("the session is %v", res.GetSession())
				}
			})
		}},
		service + "ListSessions": {prepare: func(t *testing.T, w *world) prepared {
			opened := w.session(t)
			return expect(&v1.ListSessionsRequest{UserId: string(opened.User)}, func(t *testing.T, res *v1.ListSessionsResponse) {
				if len(res.GetSessions()) != 1 || res.GetSessions()[0].GetId() != string(opened.ID) {
					t.Errorf("the sessions are %v", res)
				}
			})
		}},
		service + "CloseSession": {prepare: func(t *testing.T, w *world) prepared {
			opened := w.session(t)
			return expect(&v1.CloseSessionRequest{UserId: string(opened.User), SessionId: string(opened.ID)}, func(t *testing.T, _ *v1.CloseSessionResponse) { closed(t, w, opened) })
		}},
		service + "CloseAllSessions": {prepare: func(t *testing.T, w *world) prepared {
			opened := w.session(t)
			return expect(&v1.CloseAllSessionsRequest{UserId: string(opened.User)}, func(t *testing.T, res *v1.CloseAllSessionsResponse) {
				if closed(t, w, opened); res.GetClosed() != 1 {
					t.Errorf("%d were closed", res.GetClosed())
				}
			})
		}},
	}
}
