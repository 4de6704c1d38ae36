package connect

import (
	"context"

	"chatcore/app"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

func (s *messageService) PinMessage(ctx context.Context, req *v1.PinMessageRequest) (*v1.PinMessageResponse, error) {
	in := s.read(ctx)
	cmd := domain.Pin{
		Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), MessageID: in.message("message_id", req.GetMessageId()), Command: in.command(req.GetCommandId()),
	}
	result, err := command(in, func() (app.Done, error) { return s.core.Chats.Pin(ctx, cmd) })
	return &v1.PinMessageResponse{Result: result}, err
}

func (s *messageService) UnpinMessage(ctx context.Context, req *v1.UnpinMessageRequest) (*v1.UnpinMessageResponse, error) {
	in := s.read(ctx)
	cmd := domain.Pin{
		Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), MessageID: in.message("message_id", req.GetMessageId()), Command: in.command(req.GetCommandId()),
	}
	result, err := command(in, func() (app.Done, error) { return s.core.Chats.Unpin(ctx, cmd) })
	return &v1.UnpinMessageResponse{Result: result}, err
}

func (s *messageService) ListPins(ctx context.Context, req *v1.ListPinsRequest) (*v1.ListPinsResponse, error) {
	in := s.read(ctx)
	chat, reader := in.chat(req.GetChatId()), in.reader(req.GetActorId(), req.GetAtSeq())
	if in.err != nil {
		return nil, in.err
	}
	views, err := reader.Pins(ctx, chat)
	if err != nil {
		return nil, err
	}
	var out output
	return answer(&out, &v1.ListPinsResponse{Messages: each(views, out.message)})
}

func (s *messageService) ListReadBy(ctx context.Context, req *v1.ListReadByRequest) (*v1.ListReadByResponse, error) {
	in := s.read(ctx)
	chat, reader, id := in.chat(req.GetChatId()), in.reader(req.GetActorId(), req.GetAtSeq()), in.message("message_id", req.GetMessageId())
	if in.err != nil {
		return nil, in.err
	}
	readers, err := reader.ReadBy(ctx, chat, id)
	if err != nil {
		return nil, err
	}
	return &v1.ListReadByResponse{UserIds: texts(readers)}, nil
}

func (s *messageService) GetUnreadTotals(ctx context.Context, req *v1.GetUnreadTotalsRequest) (*v1.GetUnreadTotalsResponse, error) {
	user, err := s.subject(ctx, req.GetUserId())
	if err != nil {
		return nil, err
	}
	totals, err := s.core.As(user).Queries.UnreadTotals(ctx, req.GetIncludeMuted())
	if err != nil {
		return nil, err
	}
	var out output
	return answer(&out, &v1.GetUnreadTotalsResponse{
		Chats: out.number("chats", uint64(max(0, totals.Chats))), Messages: out.number("messages", uint64(totals.Messages)),
		Mentions: out.number("mentions", uint64(max(0, totals.Mentions))),
	})
}
