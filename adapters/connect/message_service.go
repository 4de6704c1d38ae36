package connect

import (
	"context"
	"errors"
	"strings"

	"chatcore/app"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

// messageService implements chatcore.v1.MessageService.
type messageService struct{ *calls }

func (s *messageService) SendMessage(ctx context.Context, req *v1.SendMessageRequest) (*v1.SendMessageResponse, error) {
	in := s.read(ctx)
	cmd := in.send(req)
	cmd.MessageID = in.sendID(req.GetMessageId())
	if in.err != nil {
		return nil, in.err
	}
	return s.send(ctx, cmd)
}

// send sends a message and converts the result.
func (s *messageService) send(ctx context.Context, cmd domain.Send) (*v1.SendMessageResponse, error) {
	sent, err := s.core.Chats.Send(ctx, cmd)
	if err != nil {
		return nil, s.shown(ctx, cmd.Chat, err)
	}
	var out output
	return answer(&out, &v1.SendMessageResponse{
		MessageId: string(sent.MessageID), Seq: out.seq(sent.Seq), Duplicate: sent.Duplicate, Differs: sent.Differs,
	})
}

// send returns a send without its message id.
func (in *input) send(req *v1.SendMessageRequest) domain.Send {
	cmd := domain.Send{
		Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), Content: req.GetContent(), Mentions: in.users("mentions", req.GetMentions()),
		Attachments: parseAttachments(req.GetAttachments()), ClientMeta: req.GetClientMeta(),
		InChat: req.GetInChat(), Broadcast: broadcasts.optional(in, "broadcast", req.GetBroadcast()),
	}
	if req.GetReplyTo() != "" {
		cmd.ReplyTo = in.message("reply_to", req.GetReplyTo())
	}
	if req.GetThreadId() != "" {
		cmd.Thread = in.message("thread_id", req.GetThreadId())
	}
	return cmd
}

func (s *messageService) EditMessage(ctx context.Context, req *v1.EditMessageRequest) (*v1.EditMessageResponse, error) {
	in := s.read(ctx)
	cmd := domain.Edit{
		Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), MessageID: in.message("message_id", req.GetMessageId()), Content: req.GetContent(),
		Command: in.command(req.GetCommandId()), RemoveBroadcast: req.GetRemoveBroadcast(),
	}
	if list := req.GetMentions(); list != nil { // set and empty: none from now on
		cmd.Mentions = append([]domain.UserID{}, in.users("mentions.user_ids", list.GetUserIds())...)
	}
	if list := req.GetAttachments(); list != nil {
		cmd.Attachments = append([]domain.Attachment{}, parseAttachments(list.GetAttachments())...)
	}
	result, err := command(in, func() (app.Done, error) { return s.core.Chats.Edit(ctx, cmd) })
	if invalid, ok := errors.AsType[*domain.InvalidError](err); ok && strings.HasPrefix(invalid.Field, "attachments[") { // a list in a message of its own
		err = inField("attachments."+invalid.Field, err)
	}
	return &v1.EditMessageResponse{Result: result}, err
}

func (s *messageService) DeleteMessage(ctx context.Context, req *v1.DeleteMessageRequest) (*v1.DeleteMessageResponse, error) {
	in := s.read(ctx)
	cmd := domain.Delete{
		Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), MessageID: in.message("message_id", req.GetMessageId()), Reason: req.GetReason(),
		Command: in.command(req.GetCommandId()),
	}
	result, err := command(in, func() (app.Done, error) { return s.core.Chats.Delete(ctx, cmd) })
	return &v1.DeleteMessageResponse{Result: result}, err
}

func (s *messageService) EraseMessage(ctx context.Context, req *v1.EraseMessageRequest) (*v1.EraseMessageResponse, error) {
	in := s.read(ctx)
	cmd := domain.Erase{
		Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), MessageID: in.message("message_id", req.GetMessageId()), Reason: req.GetReason(),
		Command: in.command(req.GetCommandId()),
	}
	var erased app.Erased
	result, err := command(in, func() (_ app.Done, err error) {
		erased, err = s.core.Chats.Erase(ctx, cmd)
		return erased.Done, err
	})
	return &v1.EraseMessageResponse{Result: result, Attachments: attachmentsOf(erased.Attachments)}, err
}

func (s *messageService) AddReaction(ctx context.Context, req *v1.AddReactionRequest) (*v1.AddReactionResponse, error) {
	in := s.read(ctx)
	cmd := domain.React{
		Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), MessageID: in.message("message_id", req.GetMessageId()), Emoji: req.GetEmoji(),
		Command: in.command(req.GetCommandId()),
	}
	result, err := command(in, func() (app.Done, error) { return s.core.Chats.React(ctx, cmd) })
	return &v1.AddReactionResponse{Result: result}, err
}

func (s *messageService) RemoveReaction(ctx context.Context, req *v1.RemoveReactionRequest) (*v1.RemoveReactionResponse, error) {
	in := s.read(ctx)
	cmd := domain.React{
		Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), MessageID: in.message("message_id", req.GetMessageId()), Emoji: req.GetEmoji(),
		Command: in.command(req.GetCommandId()),
	}
	result, err := command(in, func() (app.Done, error) { return s.core.Chats.Unreact(ctx, cmd) })
	return &v1.RemoveReactionResponse{Result: result}, err
}

func (s *messageService) MarkRead(ctx context.Context, req *v1.MarkReadRequest) (*v1.MarkReadResponse, error) {
	in := s.read(ctx)
	cmd := domain.MarkRead{Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), AwaitRecorded: req.GetAwaitRecorded()}
	switch p := req.GetPosition().(type) {
	case *v1.MarkReadRequest_MessageId:
		cmd.MessageID = in.message("message_id", p.MessageId)
	case *v1.MarkReadRequest_Seq:
		if cmd.Seq = domain.Seq(p.Seq); cmd.Seq == 0 {
			in.keep(&domain.InvalidError{Field: "seq", Problem: "is 0", Allowed: "from 1 to the chat's last"})
		}
	default:
		in.keep(&domain.InvalidError{Field: "position", Problem: "is not set", Allowed: "message_id, seq"})
	}
	if key, err := keyOf(ctx); req.GetCommandId() != "" || key != "" || err != nil {
		cmd.Command = in.command(req.GetCommandId())
	}
	if in.err != nil {
		return nil, in.err
	}
	marked, err := s.core.Chats.MarkRead(ctx, cmd)
	if err != nil {
		return nil, s.shown(ctx, cmd.Chat, err)
	}
	var out output
	return answer(&out, &v1.MarkReadResponse{Result: out.result(marked.Done), Recorded: marked.Recorded})
}
