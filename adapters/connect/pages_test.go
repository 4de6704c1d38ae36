package connect_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	rpc "connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

// call calls a method as a service, over gRPC-Web.
func call[Res proto.Message](t *testing.T, w *world, name string, req proto.Message) (Res, error) {
	t.Helper()
	return callAs[Res](t, w, "", name, req)
}

// callAs is call by a user, or by a service if user is "".
func callAs[Res proto.Message](t *testing.T, w *world, user, name string, req proto.Message) (Res, error) {
	t.Helper()
	responses, err := transports(t)[6].call(t.Context(), w.url, methodNamed(t, name), req, w.header(t, user))
	var none Res
	if err != nil {
		return none, err
	}
	res, _ := responses[0].(Res)
	return res, nil
}

const listMessages = "chatcore.v1.MessageService.ListMessages"

// TestListMessages_Pages has the pages of a chat, in either direction, be all of its messages.
func TestListMessages_Pages(t *testing.T) {
	onEachBackend(t, func(t *testing.T, w *world) {
		chat := w.chat(t)
		var ids []string
		for range 10 {
			ids = append(ids, w.message(t, chat))
			w.vote(t, chat) // events that are no messages
		}
		read := func(req *v1.ListMessagesRequest) (pages [][]string) {
			for {
				res, err := call[*v1.ListMessagesResponse](t, w, listMessages, req)
				if err != nil {
					t.Fatal(err)
				}
				var page []string
				for _, m := range res.GetMessages() {
					page = append(page, m.GetId())
				}
				pages = append(pages, page)
				if res.GetNextPageToken() == "" {
					return pages
				}
				req = &v1.ListMessagesRequest{ChatId: req.GetChatId(), PageSize: req.GetPageSize(), AtSeq: req.GetAtSeq(), PageToken: res.GetNextPageToken()}
			}
		}
		for _, size := range []uint32{1, 3, 5, 10, 11} {
			forward := slices.Concat(read(&v1.ListMessagesRequest{ChatId: chat, PageSize: size, Start: &v1.ListMessagesRequest_Oldest{Oldest: true}})...)
			back := read(&v1.ListMessagesRequest{ChatId: chat, PageSize: size})
			slices.Reverse(back)
			if backward := slices.Concat(back...); !slices.Equal(forward, ids) || !slices.Equal(backward, ids) {
				t.Errorf("pages of %d: forward %v, backward %v, sent %v", size, forward, backward, ids)
			}
		}
		for name, got := range map[string][]string{
			"after": slices.Concat(read(&v1.ListMessagesRequest{ChatId: chat, PageSize: 3, Start: &v1.ListMessagesRequest_AfterSeq{AfterSeq: 13}})...),
			"at":    slices.Concat(read(&v1.ListMessagesRequest{ChatId: chat, PageSize: 3, AtSeq: 22, Start: &v1.ListMessagesRequest_AfterSeq{AfterSeq: 13}})...),
		} {
			if want := ids[6:]; name == "after" && !slices.Equal(got, want) || name == "at" && !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
		before := read(&v1.ListMessagesRequest{ChatId: chat, PageSize: 100, Start: &v1.ListMessagesRequest_BeforeSeq{BeforeSeq: 13}})
		if !slices.Equal(before[0], ids[:5]) {
			t.Errorf("before 13: %v", before)
		}
	})
}

// largeAttachments returns attachments of 49 KiB.
func largeAttachments() []domain.Attachment {
	large := make([]domain.Attachment, 24)
	for i := range large {
		large[i] = domain.Attachment{Name: "a", URL: strings.Repeat("u", 2048)}
	}
	return large
}

// TestListMessages_ShortensLargePages has a page of large messages stay below what clients of gRPC accept, in either direction, and lose none.
func TestListMessages_ShortensLargePages(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	chat := w.chat(t)
	const sent = 90 // messages of 49 KiB
	for i := range sent {
		send := domain.Send{Chat: chatID(chat), Actor: "ada", MessageID: domain.MessageID(fmt.Sprint(i)), Attachments: largeAttachments()}
		if _, err := w.core.Chats.Send(t.Context(), send); err != nil {
			t.Fatal(err)
		}
	}
	for _, start := range []*v1.ListMessagesRequest{{ChatId: chat, PageSize: 100}, {ChatId: chat, PageSize: 100, Start: &v1.ListMessagesRequest_Oldest{Oldest: true}}} {
		seen, pages := make(map[string]bool), 0
		for req := start; ; pages++ {
			res, err := call[*v1.ListMessagesResponse](t, w, listMessages, req)
			if err != nil {
				t.Fatal(err)
			}
			if size := proto.Size(res); size > 4<<20 {
				t.Errorf("a page has %d bytes", size)
			}
			for _, m := range res.GetMessages() {
				seen[m.GetId()] = true
			}
			if res.GetNextPageToken() == "" {
				break
			}
			req = &v1.ListMessagesRequest{ChatId: chat, PageSize: 100, PageToken: res.GetNextPageToken()}
		}
		if len(seen) != sent || pages == 0 {
			t.Errorf("%d messages in %d pages and one", len(seen), pages)
		}
	}
}

// TestListChats_ShortensLargePages has a page of chats with large last messages stay below what clients of gRPC accept, and the pages list each chat once, in
// their order.
func TestListChats_ShortensLargePages(t *testing.T) {
	onEachBackend(t, func(t *testing.T, w *world) {
		const chats = 90 // with last messages of 49 KiB
		var want []string
		for range chats {
			chat := w.chat(t)
			send := domain.Send{Chat: chatID(chat), Actor: "ada", MessageID: "large", Attachments: largeAttachments()}
			if _, err := w.core.Chats.Send(t.Context(), send); err != nil {
				t.Fatal(err)
			}
			w.listed(t, "ada", chat)
		}
		list, err := w.core.Queries.ChatList(t.Context(), "ada")
		if err != nil || len(list) != chats {
			t.Fatalf("%d chats, error %v", len(list), err)
		}
		for _, chat := range list {
			want = append(want, string(chat.ID))
		}
		var got []string
		pages := 0
		for token := ""; ; pages++ {
			res, err := call[*v1.ListChatsResponse](t, w, "chatcore.v1.ChatService.ListChats", &v1.ListChatsRequest{UserId: "ada", PageSize: 100, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			if size := proto.Size(res); size > 4<<20 {
				t.Errorf("a page has %d bytes", size)
			}
			for _, chat := range res.GetChats() {
				got = append(got, chat.GetId())
			}
			if token = res.GetNextPageToken(); token == "" {
				break
			}
		}
		if !slices.Equal(got, want) || pages == 0 {
			t.Errorf("%d pages and one list %v, want %v", pages, got, want)
		}
	})
}

// listRows returns a request of each list that has pages, in a world where it has more than one, and a request of the same method for another list.
func listRows(t *testing.T, w *world) map[string][2]proto.Message {
	chat, other := w.chat(t), w.chat(t)
	for range 3 {
		w.message(t, chat)
		w.message(t, other)
		w.vote(t, chat)
		w.vote(t, other)
	}
	w.listed(t, "ada", chat)
	w.listed(t, "ada", other)
	w.listed(t, "bob", chat)
	w.listed(t, "bob", other)
	const chats, messages = "chatcore.v1.ChatService.", "chatcore.v1.MessageService."
	w.add(t, chat, "eve")
	w.add(t, other, "eve")
	w.listed(t, "eve", chat)
	w.listed(t, "eve", other)
	for _, c := range []string{chat, other} {
		for _, user := range []domain.UserID{"pest", "troll"} {
			if _, err := w.core.Chats.Restrict(t.Context(), domain.Restrict{Chat: chatID(c), Actor: "ada", User: user, Kind: domain.Ban}); err != nil {
				t.Fatal(err)
			}
		}
	}
	roots := make(map[string]string)
	for _, c := range []string{chat, other} {
		for range 2 {
			roots[c] = w.message(t, c)
			for range 2 {
				reply := domain.Send{Chat: chatID(c), Actor: "ada", Content: "hello", Thread: domain.MessageID(roots[c]), InChat: true, Mentions: []domain.UserID{"eve"}}
				if _, err := w.core.Chats.Send(t.Context(), reply); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, user := range []domain.UserID{"ada", "bob"} {
		for _, other := range []domain.UserID{"blocked-1", "blocked-2"} {
			if _, err := w.core.Chats.Block(t.Context(), domain.BlockUser{Actor: user, User: other}); err != nil {
				t.Fatal(err)
			}
		}
		w.blocks(t, string(user), 2)
	}
	return map[string][2]proto.Message{
		chats + "ListBlocked":           {&v1.ListBlockedRequest{UserId: "ada"}, &v1.ListBlockedRequest{UserId: "bob"}},
		chats + "ListRestrictions":      {&v1.ListRestrictionsRequest{ChatId: chat}, &v1.ListRestrictionsRequest{ChatId: other}},
		chats + "ListMembers":           {&v1.ListMembersRequest{ChatId: chat}, &v1.ListMembersRequest{ChatId: other}},
		chats + "ListChats":             {&v1.ListChatsRequest{UserId: "ada"}, &v1.ListChatsRequest{UserId: "bob"}},
		chats + "ListChatIds":           {&v1.ListChatIdsRequest{UserId: "ada"}, &v1.ListChatIdsRequest{UserId: "bob"}},
		chats + "ListContacts":          {&v1.ListContactsRequest{UserId: "ada"}, &v1.ListContactsRequest{UserId: "bob"}},
		messages + "ListMessages":       {&v1.ListMessagesRequest{ChatId: chat}, &v1.ListMessagesRequest{ChatId: other}},
		messages + "ListThreadMessages": {&v1.ListThreadMessagesRequest{ChatId: chat, ThreadId: roots[chat]}, &v1.ListThreadMessagesRequest{ChatId: other, ThreadId: roots[other]}},
		messages + "ListThreads":        {&v1.ListThreadsRequest{ChatId: chat, ActorId: "eve"}, &v1.ListThreadsRequest{ChatId: other, ActorId: "eve"}},
		messages + "ListMentions":       {&v1.ListMentionsRequest{ChatId: chat, ActorId: "eve"}, &v1.ListMentionsRequest{ChatId: other, ActorId: "eve"}},
		messages + "ListEntityEvents":   {&v1.ListEntityEventsRequest{ChatId: chat, EntityId: "poll"}, &v1.ListEntityEventsRequest{ChatId: other, EntityId: "poll"}},
	}
}

// paged returns a request with the size and the token of a page.
func paged(req proto.Message, size uint32, token string) proto.Message {
	with := proto.Clone(req)
	fields := with.ProtoReflect().Descriptor().Fields()
	with.ProtoReflect().Set(fields.ByName("page_size"), protoreflect.ValueOfUint32(size))
	with.ProtoReflect().Set(fields.ByName("page_token"), protoreflect.ValueOfString(token))
	return with
}

func nextToken(res proto.Message) string {
	return res.ProtoReflect().Get(res.ProtoReflect().Descriptor().Fields().ByName("next_page_token")).String()
}

// TestPageTokens_AreOfOneList has each list take its own token, and refuse garbage and the tokens of other lists and calls. It covers every method of the
// two services that has page tokens.
func TestPageTokens_AreOfOneList(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	rows := listRows(t, w)
	tokens := make(map[string]string)
	for name, requests := range rows {
		res, err := call[proto.Message](t, w, name, paged(requests[0], 1, ""))
		if err != nil {
			t.Fatal(err)
		}
		if tokens[name] = nextToken(res); tokens[name] == "" {
			t.Fatalf("%s has only one page", name)
		}
		if _, err := call[proto.Message](t, w, name, paged(requests[0], 1, tokens[name])); err != nil {
			t.Errorf("%s refuses the token that it returned: %v", name, err)
		}
	}
	refuses := func(name string, req proto.Message, token string) {
		t.Helper()
		_, err := call[proto.Message](t, w, name, paged(req, 1, token))
		if r, ok := errorAs[*refusal](err); !ok || r.code != rpc.CodeInvalidArgument || r.detail.GetField() != "page_token" || r.detail.GetAllowed() == "" {
			t.Errorf("%s with the token %q: %v", name, token, err)
		}
	}
	for name, requests := range rows {
		refuses(name, requests[1], tokens[name])
		for other, token := range tokens {
			if other != name {
				refuses(name, requests[0], token)
			}
		}
		raw, err := base64.RawURLEncoding.DecodeString(tokens[name])
		if err != nil {
			t.Fatal(err)
		}
		for _, garbage := range []string{
			"x", "!", tokens[name] + "=", tokens[name] + "A", tokens[name][:8], strings.Repeat("A", 5000),
			base64.RawURLEncoding.EncodeToString(raw[:8]), base64.RawURLEncoding.EncodeToString(append(slices.Clone(raw[:8]), "a0"...)),
			base64.RawURLEncoding.EncodeToString(append(slices.Clone(raw[:8]), "\xff\x00"...)),
			base64.RawURLEncoding.EncodeToString(append(slices.Clone(raw), strings.Repeat("x", 5000)...)),
		} {
			if strings.HasSuffix(name, "ListMembers") || strings.HasSuffix(name, "ListChatIds") || strings.HasSuffix(name, "ListContacts") || strings.HasSuffix(name, "ListBlocked") {
				if len(garbage) > 8 && !strings.HasSuffix(garbage, "=") && len(garbage) < 5000 {
					continue // the cursor after the hash is checked by the store
				}
			}
			refuses(name, requests[0], garbage)
		}
	}
	for _, m := range methods() {
		service := string(m.Parent().Name())
		if _, ok := rows[string(m.FullName())]; !ok && m.Input().Fields().ByName("page_token") != nil && (service == "ChatService" || service == "MessageService") {
			t.Errorf("%s has no row in listRows", m.FullName())
		}
	}
}

// TestListEntityEvents_VersionOfLaterPages has every page return the entity's present version.
func TestListEntityEvents_VersionOfLaterPages(t *testing.T) {
	onEachBackend(t, func(t *testing.T, w *world) {
		chat := w.chat(t)
		for range 3 {
			w.vote(t, chat)
		}
		token := ""
		for i := range 3 {
			res, err := call[*v1.ListEntityEventsResponse](t, w, "chatcore.v1.MessageService.ListEntityEvents", &v1.ListEntityEventsRequest{
				ChatId: chat, EntityId: "poll", PageSize: 1, PageToken: token,
			})
			if err != nil {
				t.Fatal(err)
			}
			if res.GetVersion() != 5 || len(res.GetEvents()) != 1 || res.GetEvents()[0].GetSeq() != uint32(5-i) {
				t.Errorf("page %d is %v", i, res)
			}
			token = res.GetNextPageToken()
		}
	})
}

// TestQueries_OfFormerAndOtherUsers has a user that may not read a chat get the bytes that it gets for a chat that does not exist, and a former member read
// up to the removal.
func TestQueries_OfFormerAndOtherUsers(t *testing.T) {
	onEachBackend(t, func(t *testing.T, w *world) {
		chat := w.chat(t)
		message := w.message(t, chat)
		absent := strings.Repeat("x", len(chat))
		for _, body := range []struct{ path, text string }{
			{getPath, `{"chatId":"%s"}`},
			{"/chatcore.v1.ChatService/GetMember", `{"chatId":"%s","userId":"ada"}`},
			{"/chatcore.v1.ChatService/ListMembers", `{"chatId":"%s"}`},
			{"/chatcore.v1.MessageService/GetMessage", `{"chatId":"%s","messageId":"` + message + `"}`},
			{"/chatcore.v1.MessageService/ListMessages", `{"chatId":"%s"}`},
			{"/chatcore.v1.MessageService/GetUnread", `{"chatId":"%s"}`},
			{"/chatcore.v1.MessageService/ListEntityEvents", `{"chatId":"%s","entityId":"poll"}`},
		} {
			get := func(id string) (int, string) {
				status, _, text := w.post(t, body.path, "application/json", fmt.Sprintf(body.text, id), "Authorization", "Bearer "+w.token(t, "stranger"))
				return status, strings.ReplaceAll(text, id, "ID")
			}
			status, text := get(chat)
			if other, same := get(absent); status != 404 || other != status || same != text {
				t.Errorf("%s: status %d, %s; of a chat that does not exist: status %d, %s", body.path, status, text, other, same)
			}
		}
		if _, err := w.core.Chats.Remove(t.Context(), domain.Remove{Chat: chatID(chat), Actor: "ada", User: "bob"}); err != nil {
			t.Fatal(err)
		}
		w.message(t, chat)
		_, _, text := w.post(t, "/chatcore.v1.MessageService/ListMessages", "application/json", fmt.Sprintf(`{"chatId":%q}`, chat), "Authorization", "Bearer "+w.token(t, "bob"))
		if strings.Count(text, `"senderId"`) != 1 {
			t.Errorf("a former member reads %s", text)
		}
	})
}

// TestActor_IsTheUserOfTheCall has a user act and read only for itself, and a service name whom it acts for.
func TestActor_IsTheUserOfTheCall(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	chat := w.chat(t)
	ada := []string{"Authorization", "Bearer " + w.token(t, "ada")}
	for _, row := range []struct {
		path, body string
		header     []string
		code       rpc.Code
		field      string
	}{
		{renamePath, `{"chatId":%q,"commandId":"1","actorId":"bob"}`, ada, rpc.CodePermissionDenied, "actor_id"},
		{getPath, `{"chatId":%q,"actorId":"bob"}`, ada, rpc.CodePermissionDenied, "actor_id"},
		{"/chatcore.v1.MessageService/GetUnread", `{"chatId":%q,"userId":"bob"}`, ada, rpc.CodePermissionDenied, "user_id"},
		{renamePath, `{"chatId":%q,"commandId":"1"}`, nil, rpc.CodeInvalidArgument, "actor_id"},
		{"/chatcore.v1.MessageService/GetUnread", `{"chatId":%q}`, nil, rpc.CodeInvalidArgument, "user_id"},
		{renamePath, `{"chatId":%q,"commandId":"1"}`, []string{"Authorization", "Bearer cc_a_b"}, rpc.CodeUnauthenticated, ""},
	} {
		r := w.postJSON(t, row.path, fmt.Sprintf(row.body, chat), row.header...)
		if r == nil || r.code != row.code || r.detail.GetField() != row.field {
			t.Errorf("%s %s: %v", row.path, row.body, r)
		}
	}
	if r := w.postJSON(t, renamePath, fmt.Sprintf(`{"chatId":%q,"commandId":"2","actorId":"ada"}`, chat), ada...); r != nil {
		t.Errorf("a user that names itself: %v", r)
	}
}
