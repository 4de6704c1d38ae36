package connect

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"chatcore/adapters/connect/auth"
	"chatcore/app"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

func (s *chatService) GetChat(ctx context.Context, req *v1.GetChatRequest) (*v1.GetChatResponse, error) {
	in := s.read(ctx)
	chat, reader := in.chat(req.GetChatId()), in.reader(req.GetActorId(), req.GetAtSeq())
	if in.err != nil {
		return nil, in.err
	}
	found, err := reader.Chat(ctx, chat)
	if err != nil {
		return nil, err
	}
	return &v1.GetChatResponse{Chat: chatOf(found)}, nil
}

func (s *chatService) GetMember(ctx context.Context, req *v1.GetMemberRequest) (*v1.GetMemberResponse, error) {
	in := s.read(ctx)
	chat, reader, user := in.chat(req.GetChatId()), in.reader(req.GetActorId(), req.GetAtSeq()), in.user("user_id", req.GetUserId())
	if in.err != nil {
		return nil, in.err
	}
	found, err := reader.Member(ctx, chat, user)
	if err != nil {
		return nil, err
	}
	var out output
	return answer(&out, &v1.GetMemberResponse{Member: out.member(found)})
}

func (s *chatService) ListMembers(ctx context.Context, req *v1.ListMembersRequest) (*v1.ListMembersResponse, error) {
	in := s.read(ctx)
	chat, reader := in.chat(req.GetChatId()), in.reader(req.GetActorId(), req.GetAtSeq())
	tokens := tokensOf("ListMembers", req.GetChatId(), req.GetActorId(), req.GetAtSeq())
	page := in.page(tokens, req.GetPageSize(), req.GetPageToken())
	if in.err != nil {
		return nil, in.err
	}
	list, err := reader.MemberPage(ctx, chat, page)
	if err != nil {
		return nil, err
	}
	var out output
	return answer(&out, &v1.ListMembersResponse{Members: each(list.Items, out.member), NextPageToken: tokens.token(list.Next)})
}

func (s *chatService) GetChatMetadata(ctx context.Context, req *v1.GetChatMetadataRequest) (*v1.GetChatMetadataResponse, error) {
	in := s.read(ctx)
	chat, reader := in.chat(req.GetChatId()), in.reader(req.GetActorId(), req.GetAtSeq())
	if in.err != nil {
		return nil, in.err
	}
	found, err := reader.Metadata(ctx, chat)
	if err != nil {
		return nil, err
	}
	var out output
	return answer(&out, &v1.GetChatMetadataResponse{Version: out.seq(found.Version), Values: valuesOf(found.Values)})
}

func (s *chatService) ListRestrictions(ctx context.Context, req *v1.ListRestrictionsRequest) (*v1.ListRestrictionsResponse, error) {
	in := s.read(ctx)
	chat, reader := in.chat(req.GetChatId()), in.reader(req.GetActorId(), 0)
	tokens := tokensOf("ListRestrictions", req.GetChatId(), req.GetActorId())
	page := in.page(tokens, req.GetPageSize(), req.GetPageToken())
	if in.err != nil {
		return nil, in.err
	}
	list, err := reader.Restrictions(ctx, chat, page)
	if err != nil {
		return nil, err
	}
	return &v1.ListRestrictionsResponse{Restrictions: each(list.Items, restrictedOf), NextPageToken: tokens.token(list.Next)}, nil
}

func (s *chatService) GetDirectChat(ctx context.Context, req *v1.GetDirectChatRequest) (*v1.GetDirectChatResponse, error) {
	in := s.read(ctx)
	actor, user := in.actor(req.GetActorId()), in.user("user_id", req.GetUserId())
	if in.err != nil {
		return nil, in.err
	}
	chat, err := s.core.Queries.Direct(ctx, actor, user)
	if err != nil {
		return nil, err
	}
	return &v1.GetDirectChatResponse{Chat: chatOf(chat)}, nil
}

// ListChats shortens a page of large last messages to [maxPageBytes]: it reads a page of as many chats as fit.
func (s *chatService) ListChats(ctx context.Context, req *v1.ListChatsRequest) (*v1.ListChatsResponse, error) {
	in := s.read(ctx)
	user, filter := in.subject(req.GetUserId()), in.chatFilter(req)
	tokens := tokensOf("ListChats", user, filter.Kinds, filter.Favourite, filter.Unread, req.GetArchived(), req.Archived != nil, filter.Hidden) //nolint:protogetter // whether it is set matters; the rest does not select chats
	page := in.page(tokens, req.GetPageSize(), req.GetPageToken())
	if in.err != nil {
		return nil, in.err
	}
	for {
		list, err := s.core.As(user).Queries.FilteredChatList(ctx, filter, page)
		if err != nil {
			return nil, err
		}
		var out output
		chats := each(list.Items, out.listedChat)
		if fit := fitting(slices.All(chats)); fit < len(chats) {
			page.Limit = fit // fewer each time, and one always fits
			continue
		}
		return answer(&out, &v1.ListChatsResponse{Chats: chats, NextPageToken: tokens.token(list.Next)})
	}
}

// chatFilter reads which chats a list has.
func (in *input) chatFilter(req *v1.ListChatsRequest) app.ChatFilter {
	filter := app.ChatFilter{Favourite: req.GetFavourite(), Unread: req.GetUnread(), Archived: req.Archived, Hidden: req.GetHidden()} //nolint:protogetter // whether it is set matters
	filter.Metadata, filter.Messages = req.GetMetadataKeys(), !req.GetPreviewsOnly()
	for i, kind := range req.GetKinds() {
		switch kind {
		case v1.ChatKind_CHAT_KIND_GROUP:
			filter.Kinds = append(filter.Kinds, domain.Group)
		case v1.ChatKind_CHAT_KIND_DIRECT:
			filter.Kinds = append(filter.Kinds, domain.Direct)
		case v1.ChatKind_CHAT_KIND_UNSPECIFIED:
			fallthrough
		default:
			in.keep(&domain.InvalidError{Field: fmt.Sprintf("kinds[%d]", i), Problem: fmt.Sprintf("is %d", kind), Allowed: strings.Join(enumNames(kind.Descriptor()), ", ")})
		}
	}
	return filter
}

func (s *chatService) ListChatIds(ctx context.Context, req *v1.ListChatIdsRequest) (*v1.ListChatIdsResponse, error) {
	in := s.read(ctx)
	_, service := auth.From(ctx).(auth.Service)
	list := s.core.Queries.ChatPage
	var user domain.UserID
	if !service || req.GetUserId() != "" {
		user = in.subject(req.GetUserId())
		list = func(ctx context.Context, page domain.Page) (app.List[domain.ChatID], error) {
			return s.core.As(user).Queries.ChatsOfPage(ctx, page)
		}
	}
	tokens := tokensOf("ListChatIds", user)
	page := in.page(tokens, req.GetPageSize(), req.GetPageToken())
	if in.err != nil {
		return nil, in.err
	}
	ids, err := list(ctx, page)
	if err != nil {
		return nil, err
	}
	return &v1.ListChatIdsResponse{ChatIds: texts(ids.Items), NextPageToken: tokens.token(ids.Next)}, nil
}

func (s *chatService) ListContacts(ctx context.Context, req *v1.ListContactsRequest) (*v1.ListContactsResponse, error) {
	in := s.read(ctx)
	user := in.subject(req.GetUserId())
	tokens := tokensOf("ListContacts", user)
	page := in.page(tokens, req.GetPageSize(), req.GetPageToken())
	if in.err != nil {
		return nil, in.err
	}
	list, err := s.core.As(user).Queries.ContactPage(ctx, page)
	if err != nil {
		return nil, err
	}
	var out output
	return answer(&out, &v1.ListContactsResponse{Contacts: each(list.Items, out.contact), NextPageToken: tokens.token(list.Next)})
}

func (s *chatService) ListBlocked(ctx context.Context, req *v1.ListBlockedRequest) (*v1.ListBlockedResponse, error) {
	in := s.read(ctx)
	user := in.subject(req.GetUserId())
	tokens := tokensOf("ListBlocked", user)
	page := in.page(tokens, req.GetPageSize(), req.GetPageToken())
	if in.err != nil {
		return nil, in.err
	}
	list, err := s.core.As(user).Queries.Blocked(ctx, page)
	if err != nil {
		return nil, err
	}
	return &v1.ListBlockedResponse{Users: each(list.Items, blockedOf), NextPageToken: tokens.token(list.Next)}, nil
}

func blockedOf(b app.BlockedUser) *v1.BlockedUser {
	return &v1.BlockedUser{UserId: string(b.User), ChatId: string(b.Chat)}
}

func (o *output) contact(c app.Contact) *v1.Contact {
	return &v1.Contact{UserId: string(c.User), Name: c.Name, SharedChats: o.number("shared_chats", uint64(max(0, c.Chats)))}
}

// each returns the conversion of each item.
func each[From, To any](items []From, convert func(From) To) []To {
	out := make([]To, len(items))
	for i, item := range items {
		out[i] = convert(item)
	}
	return out
}
