package connect

import (
	"context"

	rpc "connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"chatcore/app"
	"chatcore/domain"
	adminv1 "chatcore/gen/chatcore/admin/v1"
)

// retentionService implements chatcore.admin.v1.RetentionService.
type retentionService struct{ *calls }

// rules returns the retention of the log. It returns an error for a log without one.
func (s *retentionService) rules() (*app.Retention, error) {
	if s.core.Retention == nil {
		return nil, &callError{rpc.CodeUnimplemented, "retention_unsupported", "the server's event log has no retention"}
	}
	return s.core.Retention, nil
}

func (s *retentionService) ListRetention(ctx context.Context, _ *adminv1.ListRetentionRequest) (*adminv1.ListRetentionResponse, error) {
	rules, err := s.rules()
	if err != nil {
		return nil, err
	}
	all, err := rules.Status(ctx, false)
	res := &adminv1.ListRetentionResponse{}
	for _, status := range all {
		policy := policyOf(status.Chat, status.Policy)
		policy.Applied = retentionOf(status.Applied)
		res.Policies = append(res.Policies, policy)
	}
	return res, err
}

func (s *retentionService) SetRetention(ctx context.Context, req *adminv1.SetRetentionRequest) (*adminv1.SetRetentionResponse, error) {
	in := s.read(ctx)
	chat, by := in.chat(req.GetChatId()), in.user("actor_id", req.GetActorId())
	age := req.GetKeeps().GetMaxAge()
	kept := domain.Retention{MaxAge: age.AsDuration(), MaxMessages: int(req.GetKeeps().GetMaxMessages())}
	if age != nil && (age.CheckValid() != nil || kept.MaxAge == 0 || kept.Check() != nil) {
		in.keep(refusedDuration("keeps.max_age", age, "whole milliseconds from "+domain.MinRetentionAge.String()+" on, or not set for no age"))
	}
	rules, err := s.rules()
	if in.keep(err); in.err != nil {
		return nil, in.err
	}
	policy, err := rules.SetPolicy(ctx, chat, kept, by)
	return &adminv1.SetRetentionResponse{Policy: policyOf(chat, policy)}, err
}

func (s *retentionService) ClearRetention(ctx context.Context, req *adminv1.ClearRetentionRequest) (*adminv1.ClearRetentionResponse, error) {
	in := s.read(ctx)
	chat, by := in.chat(req.GetChatId()), in.user("actor_id", req.GetActorId())
	rules, err := s.rules()
	if in.keep(err); in.err != nil {
		return nil, in.err
	}
	return &adminv1.ClearRetentionResponse{}, rules.ClearPolicy(ctx, chat, by)
}

func (s *retentionService) AddHold(ctx context.Context, req *adminv1.AddHoldRequest) (*adminv1.AddHoldResponse, error) {
	in := s.read(ctx)
	h := domain.Hold{HoldSubject: in.held(req.GetChatId(), req.GetUserId()), ID: in.hold(req.GetId()), By: in.user("actor_id", req.GetActorId()), Reason: domain.Reason(req.GetReason())}
	rules, err := s.rules()
	if in.keep(err); in.err != nil {
		return nil, in.err
	}
	return &adminv1.AddHoldResponse{}, rules.AddHold(ctx, h)
}

func (s *retentionService) RemoveHold(ctx context.Context, req *adminv1.RemoveHoldRequest) (*adminv1.RemoveHoldResponse, error) {
	in := s.read(ctx)
	subject, id := in.held(req.GetChatId(), req.GetUserId()), in.hold(req.GetId())
	rules, err := s.rules()
	if in.keep(err); in.err != nil {
		return nil, in.err
	}
	return &adminv1.RemoveHoldResponse{}, rules.RemoveHold(ctx, subject, id)
}

func (s *retentionService) ListHolds(ctx context.Context, _ *adminv1.ListHoldsRequest) (*adminv1.ListHoldsResponse, error) {
	rules, err := s.rules()
	if err != nil {
		return nil, err
	}
	holds, err := rules.Holds(ctx)
	return &adminv1.ListHoldsResponse{Holds: each(holds, holdOf)}, err
}

// hold reads the id of a legal hold.
func (in *input) hold(id string) domain.HoldID {
	hold, err := domain.ParseHoldID(id)
	return parsed(in, "id", hold, err)
}

// held reads what a legal hold protects.
func (in *input) held(chat, user string) domain.HoldSubject {
	subject := domain.HoldSubject{Chat: domain.ChatID(chat), User: domain.UserID(user)}
	field := "chat_id"
	if user != "" {
		field = "user_id"
	}
	in.keep(inField(field, subject.Check()))
	return subject
}

func policyOf(chat domain.ChatID, p domain.RetentionPolicy) *adminv1.RetentionPolicy {
	return &adminv1.RetentionPolicy{
		ChatId: string(chat), Keeps: retentionOf(p.Retention), Inherits: p.Inherits, EffectiveAt: timeOf(p.From), SetAt: timeOf(p.SetAt), SetBy: string(p.SetBy),
	}
}

func retentionOf(r domain.Retention) *adminv1.Retention {
	kept := &adminv1.Retention{MaxMessages: countOf(r.MaxMessages)}
	if r.MaxAge > 0 {
		kept.MaxAge = durationpb.New(r.MaxAge)
	}
	return kept
}

func holdOf(h domain.Hold) *adminv1.Hold {
	return &adminv1.Hold{Id: string(h.ID), ChatId: string(h.Chat), UserId: string(h.User), Reason: string(h.Reason), SetBy: string(h.By), SetAt: timeOf(h.At)}
}
