package connect_test

import (
	"context"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/tests/wait"
)

func userID(id string) domain.UserID { return domain.UserID(id) }
func chatID(id string) domain.ChatID { return domain.ChatID(id) }

// commandResponse is the response of a command.
type commandResponse interface {
	proto.Message
	GetResult() *v1.CommandResult
}

// recorded returns a prepared command that records an event, and what then holds of its chat.
func recorded(request proto.Message, holds func() bool) prepared {
	return expect(request, func(t *testing.T, res commandResponse) {
		t.Helper()
		if r := res.GetResult(); r.GetSeq() == 0 || !r.GetChanged() || r.GetDuplicate() {
			t.Errorf("the result is %v", r)
		}
		if holds != nil && !holds() {
			t.Error("the command had no effect")
		}
	})
}

// chatNow returns a chat's present state.
func (w *world) chatNow(t *testing.T, chat string) domain.Chat {
	t.Helper()
	c, err := w.core.Queries.Chat(t.Context(), chatID(chat))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// roleNow returns a user's present role.
func (w *world) roleNow(t *testing.T, chat, user string) domain.Role {
	t.Helper()
	members, err := w.core.Queries.Members(t.Context(), chatID(chat))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if m.User == userID(user) {
			return m.Role
		}
	}
	return domain.NoRole
}

// listed waits until the read model of a user has a chat.
func (w *world) listed(t *testing.T, user, chat string) {
	t.Helper()
	wait.Until(t, "the user's chats have the new one", func() bool {
		chats, err := w.core.Queries.ChatsOf(context.Background(), userID(user))
		return err == nil && slices.Contains(chats, chatID(chat))
	})
}

func chatRows() map[string]row {
	const service = "chatcore.v1.ChatService."
	return map[string]row{
		service + "CreateChat": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.id("chat")
			req := &v1.CreateChatRequest{ChatId: chat, ActorId: "ada", CommandId: w.id("c"), Title: "Plans", MemberIds: []string{"bob", "eve"}, Metadata: map[string]string{"topic": "1"}}
			return recorded(req, func() bool {
				return w.chatNow(t, chat).Title == "Plans" && w.roleNow(t, chat, "ada") == domain.RoleOwner && w.roleNow(t, chat, "eve") == domain.RoleMember
			})
		}},
		service + "RenameChat": {as: "ada", prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			return recorded(&v1.RenameChatRequest{ChatId: chat, CommandId: w.id("c"), Title: "Other"}, func() bool { return w.chatNow(t, chat).Title == "Other" })
		}},
		service + "ArchiveChat": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			return recorded(&v1.ArchiveChatRequest{ChatId: chat, ActorId: "ada", CommandId: w.id("c")}, func() bool { return w.chatNow(t, chat).Archived })
		}},
		service + "DeleteChat": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			return recorded(&v1.DeleteChatRequest{ChatId: chat, ActorId: "ada", CommandId: w.id("c"), Reason: "law"}, func() bool { return w.chatNow(t, chat).Deleted() })
		}},
		service + "UnarchiveChat": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			if _, err := w.core.Chats.Archive(t.Context(), domain.Archive{Chat: chatID(chat), Actor: "ada"}); err != nil {
				t.Fatal(err)
			}
			return recorded(&v1.UnarchiveChatRequest{ChatId: chat, ActorId: "ada", CommandId: w.id("c")}, func() bool { return !w.chatNow(t, chat).Archived })
		}},
		service + "AddMember": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			req := &v1.AddMemberRequest{ChatId: chat, ActorId: "ada", CommandId: w.id("c"), UserId: "eve"}
			return recorded(req, func() bool { return w.roleNow(t, chat, "eve") == domain.RoleMember })
		}},
		service + "AddMembers": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			req := &v1.AddMembersRequest{ChatId: chat, ActorId: "ada", CommandId: w.id("c"), UserIds: []string{"bob", "eve"}}
			return recorded(req, func() bool { return w.roleNow(t, chat, "eve") == domain.RoleMember })
		}},
		service + "JoinChat": {as: "eve", prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			public := domain.SetPolicy{Chat: chatID(chat), Actor: "ada", Policy: domain.PolicyChange{Visibility: domain.Public}}
			if _, err := w.core.Chats.SetPolicy(t.Context(), public); err != nil {
				t.Fatal(err)
			}
			return recorded(&v1.JoinChatRequest{ChatId: chat, CommandId: w.id("c")}, func() bool { return w.roleNow(t, chat, "eve") == domain.RoleMember })
		}},
		service + "SetChatPolicy": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			req := &v1.SetChatPolicyRequest{
				ChatId: chat, ActorId: "ada", CommandId: w.id("c"), Visibility: v1.Visibility_VISIBILITY_PUBLIC, Permissions: map[string]v1.Role{"post": v1.Role_ROLE_ADMIN},
			}
			return recorded(req, func() bool {
				c := w.chatNow(t, chat)
				return c.IsPublic() && c.RoleFor(domain.ActionPost) == domain.RoleAdmin
			})
		}},
		service + "UpdateChatMetadata": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			req := &v1.UpdateChatMetadataRequest{ChatId: chat, ActorId: "ada", CommandId: w.id("c"), Set: map[string]string{"topic": ` {"a": 1} `}}
			return recorded(req, func() bool {
				m, err := w.core.Queries.Metadata(t.Context(), chatID(chat))
				return err == nil && m.Values["topic"] == `{"a":1}`
			})
		}},
		service + "GetChatMetadata": {as: "bob", prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			done, err := w.core.Chats.UpdateMetadata(t.Context(), domain.UpdateMetadata{Chat: chatID(chat), Actor: "ada", Set: map[string]string{"topic": `"x"`}})
			if err != nil {
				t.Fatal(err)
			}
			return expect(&v1.GetChatMetadataRequest{ChatId: chat}, func(t *testing.T, res *v1.GetChatMetadataResponse) {
				if domain.Seq(res.GetVersion()) != done.Seq || len(res.GetValues()) != 1 || res.GetValues()["topic"] != `"x"` {
					t.Errorf("the metadata is %v", res)
				}
			})
		}},
		service + "RestrictMember": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			req := &v1.RestrictMemberRequest{ChatId: chat, ActorId: "ada", CommandId: w.id("c"), UserId: "bob", Restriction: v1.Restriction_RESTRICTION_BAN, Reason: "spam"}
			return recorded(req, func() bool { return w.roleNow(t, chat, "bob") == domain.NoRole })
		}},
		service + "ListRestrictions": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			mute := domain.Restrict{Chat: chatID(chat), Actor: "ada", User: "bob", Kind: domain.Mute, Reason: "spam"}
			if _, err := w.core.Chats.Restrict(t.Context(), mute); err != nil {
				t.Fatal(err)
			}
			return expect(&v1.ListRestrictionsRequest{ChatId: chat}, func(t *testing.T, res *v1.ListRestrictionsResponse) {
				if len(res.GetRestrictions()) != 1 {
					t.Fatalf("the restrictions are %v", res)
				}
				r := res.GetRestrictions()[0]
				if r.GetUserId() != "bob" || r.GetRestriction() != v1.Restriction_RESTRICTION_MUTE || r.GetByUserId() != "ada" || r.GetReason() != "spam" || r.GetSince() == nil || r.GetUntil() != nil {
					t.Errorf("the restriction is %v", r)
				}
			})
		}},
		service + "OpenDirectChat": {as: "ada", prepare: func(_ *testing.T, w *world) prepared {
			peer := w.id("peer")
			return expect(&v1.OpenDirectChatRequest{UserId: peer}, func(t *testing.T, res *v1.OpenDirectChatResponse) {
				if want := string(domain.DirectID("ada", domain.UserID(peer))); res.GetChatId() != want || w.roleNow(t, want, peer) != domain.RoleOwner {
					t.Errorf("the chat is %v, want %s", res, want)
				}
			})
		}},
		service + "GetDirectChat": {as: "ada", prepare: func(t *testing.T, w *world) prepared {
			peer := w.id("peer")
			if _, err := w.core.Chats.OpenDirect(t.Context(), domain.OpenDirect{Actor: domain.UserID(peer), With: "ada"}); err != nil {
				t.Fatal(err)
			}
			return expect(&v1.GetDirectChatRequest{UserId: peer}, func(t *testing.T, res *v1.GetDirectChatResponse) {
				if c := res.GetChat(); c.GetKind() != v1.ChatKind_CHAT_KIND_DIRECT || !slices.Equal(c.GetParticipantIds(), []string{"ada", peer}) {
					t.Errorf("the chat is %v", c)
				}
			})
		}},
		service + "BlockUser": {as: "ada", prepare: func(t *testing.T, w *world) prepared {
			peer := w.id("peer")
			return recorded(&v1.BlockUserRequest{UserId: peer, CommandId: w.id("c")}, func() bool {
				return len(w.chatNow(t, string(domain.DirectID("ada", domain.UserID(peer)))).Blocks) == 1
			})
		}},
		service + "RemoveMember": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			req := &v1.RemoveMemberRequest{ChatId: chat, ActorId: "ada", CommandId: w.id("c"), UserId: "bob"}
			return recorded(req, func() bool { return w.roleNow(t, chat, "bob") == domain.NoRole })
		}},
		service + "LeaveChat": {as: "bob", prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			return recorded(&v1.LeaveChatRequest{ChatId: chat, ActorId: "bob", CommandId: w.id("c")}, func() bool { return w.roleNow(t, chat, "bob") == domain.NoRole })
		}},
		service + "PromoteMember": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			req := &v1.PromoteMemberRequest{ChatId: chat, ActorId: "ada", CommandId: w.id("c"), UserId: "bob", Role: v1.Role_ROLE_OWNER}
			return recorded(req, func() bool { return w.roleNow(t, chat, "bob") == domain.RoleOwner })
		}},
		service + "DemoteMember": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			promote := domain.Promote{Chat: chatID(chat), Actor: "ada", User: "bob", Role: domain.RoleOwner}
			if _, err := w.core.Chats.Promote(t.Context(), promote); err != nil {
				t.Fatal(err)
			}
			req := &v1.DemoteMemberRequest{ChatId: chat, ActorId: "ada", CommandId: w.id("c"), UserId: "bob", Role: v1.Role_ROLE_ADMIN}
			return recorded(req, func() bool { return w.roleNow(t, chat, "bob") == domain.RoleAdmin })
		}},
		service + "GetChat": {as: "bob", prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			return expect(&v1.GetChatRequest{ChatId: chat}, func(t *testing.T, res *v1.GetChatResponse) {
				c := res.GetChat()
				if c.GetId() != chat || c.GetTitle() != "Title" || c.GetCreatedBy() != "ada" || !slices.Equal(c.GetOwnerIds(), []string{"ada"}) || c.GetCreatedAt() == nil {
					t.Errorf("the chat is %v", c)
				}
			})
		}},
		service + "GetMember": {prepare: func(t *testing.T, w *world) prepared {
			req := &v1.GetMemberRequest{ChatId: w.chat(t), UserId: "bob"}
			return expect(req, func(t *testing.T, res *v1.GetMemberResponse) {
				if m := res.GetMember(); m.GetUserId() != "bob" || m.GetRole() != v1.Role_ROLE_MEMBER || m.GetSinceSeq() == 0 || m.GetJoinedAt() == nil {
					t.Errorf("the member is %v", m)
				}
			})
		}},
		service + "ListMembers": {prepare: func(t *testing.T, w *world) prepared {
			req := &v1.ListMembersRequest{ChatId: w.chat(t), ActorId: "bob", PageSize: 256}
			return expect(req, func(t *testing.T, res *v1.ListMembersResponse) {
				if len(res.GetMembers()) != 2 || res.GetNextPageToken() != "" {
					t.Errorf("the list is %v", res)
				}
			})
		}},
		service + "ListChats": {prepare: func(t *testing.T, w *world) prepared {
			user, chat := w.id("user"), w.chat(t)
			w.add(t, chat, user)
			message := w.message(t, chat)
			w.listed(t, user, chat)
			return expect(&v1.ListChatsRequest{UserId: user}, func(t *testing.T, res *v1.ListChatsResponse) {
				if len(res.GetChats()) != 1 {
					t.Fatalf("the list is %v", res)
				}
				c := res.GetChats()[0]
				if c.GetId() != chat || c.GetUnread() != 1 || c.GetRole() != v1.Role_ROLE_MEMBER || c.GetLastMessage().GetId() != message || c.GetLastAt() == nil ||
					c.GetPreview().GetMessageId() != message || c.GetPreview().GetText() != c.GetLastMessage().GetContent() || c.GetPreview().GetSentAt() == nil {
					t.Errorf("the chat is %v", c)
				}
				previews, err := call[*v1.ListChatsResponse](t, w, service+"ListChats", &v1.ListChatsRequest{UserId: user, PreviewsOnly: true, MetadataKeys: []string{"topic"}})
				if err != nil || len(previews.GetChats()) != 1 {
					t.Fatalf("the list is %v, error %v", previews, err)
				}
				if short := previews.GetChats()[0]; short.GetLastMessage() != nil || !proto.Equal(short.GetPreview(), c.GetPreview()) {
					t.Errorf("with previews alone, the chat is %v", short)
				}
			})
		}},
		service + "ListChatIds": {prepare: func(t *testing.T, w *world) prepared {
			user, chat := w.id("user"), w.chat(t)
			w.add(t, chat, user)
			w.listed(t, user, chat)
			return expect(&v1.ListChatIdsRequest{UserId: user}, func(t *testing.T, res *v1.ListChatIdsResponse) {
				if !slices.Equal(res.GetChatIds(), []string{chat}) {
					t.Errorf("the list is %v", res)
				}
			})
		}},
		service + "ListContacts": {prepare: func(t *testing.T, w *world) prepared {
			user, chat := w.id("user"), w.chat(t)
			w.add(t, chat, user)
			w.listed(t, user, chat)
			return expect(&v1.ListContactsRequest{UserId: user}, func(t *testing.T, res *v1.ListContactsResponse) {
				if len(res.GetContacts()) != 2 || res.GetContacts()[0].GetSharedChats() != 1 {
					t.Errorf("the list is %v", res)
				}
			})
		}},
		service + "ListBlocked": {prepare: func(t *testing.T, w *world) prepared {
			user, pest := w.id("user"), w.id("pest")
			if _, err := w.core.Chats.Block(t.Context(), domain.BlockUser{Actor: domain.UserID(user), User: domain.UserID(pest)}); err != nil {
				t.Fatal(err)
			}
			w.blocks(t, user, 1)
			return expect(&v1.ListBlockedRequest{UserId: user}, func(t *testing.T, res *v1.ListBlockedResponse) {
				if len(res.GetUsers()) != 1 || res.GetUsers()[0].GetUserId() != pest || res.GetUsers()[0].GetChatId() != string(domain.DirectID(domain.UserID(user), domain.UserID(pest))) {
					t.Errorf("the list is %v", res)
				}
			})
		}},
		service + "DepartUser": {prepare: func(t *testing.T, w *world) prepared {
			user, left, owned := w.id("user"), w.chat(t), w.id("owned")
			w.add(t, left, user)
			if _, err := w.core.Chats.Create(t.Context(), domain.Create{Chat: chatID(owned), Actor: domain.UserID(user), Members: []domain.UserID{"bob"}}); err != nil {
				t.Fatal(err)
			}
			w.listed(t, user, left)
			w.listed(t, user, owned)
			return expect(&v1.DepartUserRequest{UserId: user, SuccessorIds: map[string]string{owned: "bob"}}, func(t *testing.T, res *v1.DepartUserResponse) {
				if !res.GetComplete() || len(res.GetChats()) != 2 || w.roleNow(t, left, user) != domain.NoRole || w.roleNow(t, owned, "bob") != domain.RoleOwner {
					t.Errorf("the departure is %v", res)
				}
			})
		}},
		service + "ForgetContacts": {prepare: func(*testing.T, *world) prepared {
			return expect(&v1.ForgetContactsRequest{UserIds: []string{"ada", "bob"}}, func(*testing.T, *v1.ForgetContactsResponse) {})
		}},
	}
}

// blocks waits until a user is listed to block a number of others.
func (w *world) blocks(t testing.TB, user string, n int) {
	t.Helper()
	wait.Until(t, "the list of blocked users", func() bool {
		list, err := w.core.Queries.Blocked(t.Context(), domain.UserID(user), domain.Page{Limit: 256})
		return err == nil && len(list.Items) == n
	})
}

// add makes a user a member of a chat of ada.
func (w *world) add(t testing.TB, chat, user string) {
	t.Helper()
	if _, err := w.core.Chats.Add(t.Context(), domain.Add{Chat: chatID(chat), Actor: "ada", User: userID(user)}); err != nil {
		t.Fatal(err)
	}
}
