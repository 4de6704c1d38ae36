package connect

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"chatcore/app"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

// chatService implements chatcore.v1.ChatService.
type chatService struct{ *calls }

// command gives a command that was read, and returns its result.
func command(in *input, give func() (app.Done, error)) (*v1.CommandResult, error) {
	if in.err != nil {
		return nil, in.err
	}
	done, err := give()
	if err != nil {
		return nil, in.calls.shown(in.ctx, in.chatID, err)
	}
	var out output
	return answer(&out, out.result(done))
}

func (s *chatService) CreateChat(ctx context.Context, req *v1.CreateChatRequest) (*v1.CreateChatResponse, error) {
	in := s.read(ctx)
	cmd := domain.Create{
		Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), Title: req.GetTitle(), Members: in.users("member_ids", req.GetMemberIds()),
		Command: in.command(req.GetCommandId()), Metadata: req.GetMetadata(),
	}
	result, err := command(in, func() (app.Done, error) { return s.core.Chats.Create(ctx, cmd) })
	return &v1.CreateChatResponse{Result: result}, err
}

func (s *chatService) RenameChat(ctx context.Context, req *v1.RenameChatRequest) (*v1.RenameChatResponse, error) {
	in := s.read(ctx)
	cmd := domain.Rename{Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), Title: req.GetTitle(), Command: in.command(req.GetCommandId())}
	result, err := command(in, func() (app.Done, error) { return s.core.Chats.Rename(ctx, cmd) })
	return &v1.RenameChatResponse{Result: result}, err
}

func (s *chatService) ArchiveChat(ctx context.Context, req *v1.ArchiveChatRequest) (*v1.ArchiveChatResponse, error) {
	in := s.read(ctx)
	cmd := domain.Archive{Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), Command: in.command(req.GetCommandId())}
	result, err := command(in, func() (app.Done, error) { return s.core.Chats.Archive(ctx, cmd) })
	return &v1.ArchiveChatResponse{Result: result}, err
}

func (s *chatService) UnarchiveChat(ctx context.Context, req *v1.UnarchiveChatRequest) (*v1.UnarchiveChatResponse, error) {
	in := s.read(ctx)
	cmd := domain.Unarchive{Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), Command: in.command(req.GetCommandId())}
	result, err := command(in, func() (app.Done, error) { return s.core.Chats.Unarchive(ctx, cmd) })
	return &v1.UnarchiveChatResponse{Result: result}, err
}

func (s *chatService) DeleteChat(ctx context.Context, req *v1.DeleteChatRequest) (*v1.DeleteChatResponse, error) {
	in := s.read(ctx)
	cmd := domain.DeleteChat{Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), Reason: req.GetReason(), Command: in.command(req.GetCommandId())}
	var deleted app.DeletedChat
	result, err := command(in, func() (_ app.Done, err error) {
		deleted, err = s.core.Chats.DeleteChat(ctx, cmd, nil)
		return deleted.Done, err
	})
	return &v1.DeleteChatResponse{Result: result, Members: uint32(deleted.Members), Messages: uint32(deleted.Messages)}, err //nolint:gosec // counts of one chat
}

func (s *chatService) AddMember(ctx context.Context, req *v1.AddMemberRequest) (*v1.AddMemberResponse, error) {
	in := s.read(ctx)
	cmd := domain.Add{
		Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), User: in.user("user_id", req.GetUserId()), Command: in.command(req.GetCommandId()),
	}
	result, err := command(in, func() (app.Done, error) { return s.core.Chats.Add(ctx, cmd) })
	return &v1.AddMemberResponse{Result: result}, err
}

func (s *chatService) RemoveMember(ctx context.Context, req *v1.RemoveMemberRequest) (*v1.RemoveMemberResponse, error) {
	in := s.read(ctx)
	cmd := domain.Remove{
		Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), User: in.user("user_id", req.GetUserId()), Command: in.command(req.GetCommandId()),
	}
	result, err := command(in, func() (app.Done, error) { return s.core.Chats.Remove(ctx, cmd) })
	return &v1.RemoveMemberResponse{Result: result}, err
}

func (s *chatService) LeaveChat(ctx context.Context, req *v1.LeaveChatRequest) (*v1.LeaveChatResponse, error) {
	in := s.read(ctx)
	cmd := domain.Leave{Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), Command: in.command(req.GetCommandId())}
	result, err := command(in, func() (app.Done, error) { return s.core.Chats.Leave(ctx, cmd) })
	return &v1.LeaveChatResponse{Result: result}, err
}

func (s *chatService) PromoteMember(ctx context.Context, req *v1.PromoteMemberRequest) (*v1.PromoteMemberResponse, error) {
	in := s.read(ctx)
	cmd := domain.Promote{
		Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), User: in.user("user_id", req.GetUserId()), Role: roles.required(in, "role", req.GetRole()),
		Command: in.command(req.GetCommandId()),
	}
	result, err := command(in, func() (app.Done, error) { return s.core.Chats.Promote(ctx, cmd) })
	return &v1.PromoteMemberResponse{Result: result}, err
}

func (s *chatService) DemoteMember(ctx context.Context, req *v1.DemoteMemberRequest) (*v1.DemoteMemberResponse, error) {
	in := s.read(ctx)
	cmd := domain.Demote{
		Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), User: in.user("user_id", req.GetUserId()), Role: roles.required(in, "role", req.GetRole()),
		Command: in.command(req.GetCommandId()),
	}
	result, err := command(in, func() (app.Done, error) { return s.core.Chats.Demote(ctx, cmd) })
	return &v1.DemoteMemberResponse{Result: result}, err
}

func (s *chatService) AddMembers(ctx context.Context, req *v1.AddMembersRequest) (*v1.AddMembersResponse, error) {
	in := s.read(ctx)
	cmd := domain.AddMembers{
		Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), Users: in.users("user_ids", req.GetUserIds()), Command: in.command(req.GetCommandId()),
	}
	var users []*v1.AddedMember
	result, err := command(in, func() (app.Done, error) {
		added, err := s.core.Chats.AddMembers(ctx, cmd)
		for _, u := range added.Users {
			admission := admissions.of(u.Admission)
			if s.config.HideBlocks && u.Admission == domain.BlocksActor {
				admission = v1.Admission_ADMISSION_REFUSED
			}
			users = append(users, &v1.AddedMember{UserId: string(u.User), Admission: admission})
		}
		return added.Done, err
	})
	return &v1.AddMembersResponse{Result: result, Users: users}, err
}

func (s *chatService) JoinChat(ctx context.Context, req *v1.JoinChatRequest) (*v1.JoinChatResponse, error) {
	in := s.read(ctx)
	cmd := domain.Join{Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), Command: in.command(req.GetCommandId())}
	result, err := command(in, func() (app.Done, error) {
		done, err := s.core.Chats.Join(ctx, cmd)
		if errors.Is(err, domain.ErrForbidden) || errors.Is(err, domain.ErrDirect) { // of a chat that outsiders must not learn of
			err = s.hidden(ctx, cmd.Chat, err)
		}
		return done, err
	})
	return &v1.JoinChatResponse{Result: result}, err
}

func (s *chatService) OpenDirectChat(ctx context.Context, req *v1.OpenDirectChatRequest) (*v1.OpenDirectChatResponse, error) {
	in := s.read(ctx)
	cmd := domain.OpenDirect{Actor: in.actor(req.GetActorId()), With: in.user("user_id", req.GetUserId())}
	if in.err != nil {
		return nil, in.err
	}
	opened, err := s.core.Chats.OpenDirect(ctx, cmd)
	if err != nil {
		return nil, err
	}
	var out output
	return answer(&out, &v1.OpenDirectChatResponse{ChatId: string(opened.Chat), Created: opened.Created, Seq: out.seq(opened.Seq)})
}

func (s *chatService) BlockUser(ctx context.Context, req *v1.BlockUserRequest) (*v1.BlockUserResponse, error) {
	in := s.read(ctx)
	cmd := domain.BlockUser{
		Actor: in.actor(req.GetActorId()), User: in.user("user_id", req.GetUserId()), Reason: req.GetReason(), Lift: req.GetLift(), Command: in.command(req.GetCommandId()),
	}
	result, err := command(in, func() (app.Done, error) { return s.core.Chats.Block(ctx, cmd) })
	return &v1.BlockUserResponse{Result: result}, err
}

func (s *chatService) SetChatPolicy(ctx context.Context, req *v1.SetChatPolicyRequest) (*v1.SetChatPolicyResponse, error) {
	in := s.read(ctx)
	cmd := domain.SetPolicy{
		Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), Command: in.command(req.GetCommandId()),
		Policy: domain.PolicyChange{Visibility: visibilities.optional(in, "visibility", req.GetVisibility()), Permissions: in.permissions(req.GetPermissions())},
	}
	result, err := command(in, func() (app.Done, error) { return s.core.Chats.SetPolicy(ctx, cmd) })
	return &v1.SetChatPolicyResponse{Result: result}, err
}

func (s *chatService) UpdateChatMetadata(ctx context.Context, req *v1.UpdateChatMetadataRequest) (*v1.UpdateChatMetadataResponse, error) {
	in := s.read(ctx)
	cmd := domain.UpdateMetadata{
		Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), Set: req.GetSet(), Unset: req.GetUnset(), IfVersion: domain.Seq(req.GetIfVersion()),
		Command: in.command(req.GetCommandId()),
	}
	result, err := command(in, func() (app.Done, error) {
		done, err := s.core.Chats.UpdateMetadata(ctx, cmd)
		return done, inSet(err)
	})
	return &v1.UpdateChatMetadataResponse{Result: result}, err
}

// inSet returns an error about metadata with the name that the field has in UpdateChatMetadata.
func inSet(err error) error {
	if invalid := invalidOf(err); invalid != nil && strings.HasPrefix(invalid.Field, "metadata") {
		return inField("set"+strings.TrimPrefix(invalid.Field, "metadata"), invalid)
	}
	return err
}

func (s *chatService) RestrictMember(ctx context.Context, req *v1.RestrictMemberRequest) (*v1.RestrictMemberResponse, error) {
	in := s.read(ctx)
	cmd := domain.Restrict{
		Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), User: in.user("user_id", req.GetUserId()), Kind: groupRestrictions.required(in, "restriction", req.GetRestriction()),
		Until: in.optionalTime("until", req.GetUntil()), Reason: req.GetReason(), Lift: req.GetLift(), Command: in.command(req.GetCommandId()),
	}
	result, err := command(in, func() (app.Done, error) { return s.core.Chats.Restrict(ctx, cmd) })
	return &v1.RestrictMemberResponse{Result: result}, err
}

// maxForgotten is the most users of one ForgetContacts.
const maxForgotten = 256

func (s *chatService) ForgetContacts(ctx context.Context, req *v1.ForgetContactsRequest) (*v1.ForgetContactsResponse, error) {
	if n := len(req.GetUserIds()); n == 0 || n > maxForgotten {
		return nil, &domain.InvalidError{Field: "user_ids", Problem: fmt.Sprintf("has %d ids", n), Allowed: fmt.Sprintf("1 to %d", maxForgotten)}
	}
	in := s.read(ctx)
	users := in.users("user_ids", req.GetUserIds())
	if in.err != nil {
		return nil, in.err
	}
	return &v1.ForgetContactsResponse{}, s.core.Queries.ForgetContacts(ctx, users...)
}
