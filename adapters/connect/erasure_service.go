package connect

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"chatcore/app"
	"chatcore/domain"
	adminv1 "chatcore/gen/chatcore/admin/v1"
	"chatcore/ports"
)

// erasureService implements chatcore.admin.v1.ErasureService.
type erasureService struct{ *calls }

// Bounds of the messages that one call of EraseUser erases.
const (
	defaultErasures = 100
	maxErasures     = 1000
)

func (s *erasureService) Erase(ctx context.Context, req *adminv1.EraseRequest) (*adminv1.EraseResponse, error) {
	in := s.read(ctx)
	cmd := domain.Erase{
		Chat: in.chat(req.GetChatId()), MessageID: in.message("message_id", req.GetMessageId()), Actor: in.user("actor_id", req.GetActorId()), Reason: req.GetReason(), Trusted: true,
	}
	if in.err != nil {
		return nil, in.err
	}
	erased, err := s.core.Chats.Erase(ctx, cmd)
	if err != nil {
		return nil, err
	}
	var out output
	return &adminv1.EraseResponse{Seq: out.seq(erased.Seq), Files: filesOf(erased.Attachments)}, out.err
}

// errEnough ends an erasure of a user after as many messages as a call may erase.
var errEnough = errors.New("enough messages are erased")

func (s *erasureService) EraseUser(ctx context.Context, req *adminv1.EraseUserRequest) (*adminv1.EraseUserResponse, error) {
	in := s.read(ctx)
	cmd := app.EraseUser{User: in.user("user_id", req.GetUserId()), Actor: in.user("actor_id", req.GetActorId()), Reason: req.GetReason()}
	most := cmp.Or(int(req.GetMaxMessages()), defaultErasures)
	if most > maxErasures {
		in.keep(&domain.InvalidError{Field: "max_messages", Problem: fmt.Sprintf("is %d", most), Allowed: fmt.Sprintf("0 to %d", maxErasures)})
	}
	if in.err != nil {
		return nil, in.err
	}
	res := &adminv1.EraseUserResponse{}
	done, err := s.core.Erasures.EraseUser(ctx, cmd, func(e app.UserErasure) error {
		res.Files = append(res.Files, filesOf(e.Attachments)...)
		if e.Erased >= most {
			return errEnough
		}
		return nil
	})
	res.Erased, res.Done = countOf(done.Erased), err == nil
	if errors.Is(err, errEnough) {
		err = nil
	}
	return res, err
}

func (s *erasureService) VerifyErasure(ctx context.Context, req *adminv1.VerifyErasureRequest) (*adminv1.VerifyErasureResponse, error) {
	in := s.read(ctx)
	chat, message := in.chat(req.GetChatId()), domain.MessageID("")
	if req.GetMessageId() != "" {
		message = in.message("message_id", req.GetMessageId())
	}
	if in.err != nil {
		return nil, in.err
	}
	places, err := s.core.VerifyErasure(ctx, chat, message)
	return &adminv1.VerifyErasureResponse{Places: each(places, placeOf)}, err
}

func filesOf(attachments []domain.Attachment) (urls []string) {
	for _, a := range attachments {
		urls = append(urls, validText(a.URL))
	}
	return urls
}

func placeOf(p ports.ErasurePlace) *adminv1.ErasurePlace {
	place := &adminv1.ErasurePlace{Place: p.Place, Until: timeOf(p.Until), Detail: validText(p.Detail)}
	switch p.Status {
	case ports.ErasureDone:
		place.Status = adminv1.ErasureStatus_ERASURE_STATUS_DONE
	case ports.ErasurePending:
		place.Status = adminv1.ErasureStatus_ERASURE_STATUS_PENDING
	case ports.ErasureUnreachable:
		place.Status = adminv1.ErasureStatus_ERASURE_STATUS_UNREACHABLE
	}
	return place
}
