package connect

import (
	"context"
	"errors"

	"chatcore/app"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

func (s *chatService) SetChatSettings(ctx context.Context, req *v1.SetChatSettingsRequest) (*v1.SetChatSettingsResponse, error) {
	in := s.read(ctx)
	cmd := domain.SetSettings{
		Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), Settings: in.settings(req), Command: in.command(req.GetCommandId()),
	}
	result, err := command(in, func() (app.Done, error) {
		done, err := s.core.Chats.SetSettings(ctx, cmd)
		return done, ofSettings(err)
	})
	return &v1.SetChatSettingsResponse{Result: result}, err
}

// ofSettings returns an error about settings with the name that the field has in the request.
func ofSettings(err error) error {
	if invalid, ok := errors.AsType[*domain.InvalidError](err); ok && invalid.Field == "settings" {
		return inField("notify", err)
	}
	return err
}

// settings reads a change of settings.
func (in *input) settings(req *v1.SetChatSettingsRequest) domain.SettingsChange {
	change := domain.SettingsChange{Notify: notifyLevels.pointer(in, "notify", req.GetNotify()), Favourite: req.Favourite, Hidden: hidings.pointer(in, "hidden", req.GetHidden())} //nolint:protogetter // whether it is set matters
	if req.GetMutedUntil() != nil {
		change.MutedUntil = new(in.optionalTime("muted_until", req.GetMutedUntil()))
	}
	if from := req.UnreadFrom; from != nil { //nolint:protogetter // whether it is set matters
		change.UnreadFrom = new(domain.MessageID(""))
		if *from != "" {
			change.UnreadFrom = new(in.message("unread_from", *from))
		}
	}
	return change
}

func (s *chatService) GetChatSettings(ctx context.Context, req *v1.GetChatSettingsRequest) (*v1.GetChatSettingsResponse, error) {
	in := s.read(ctx)
	chat, user := in.chat(req.GetChatId()), in.subject(req.GetUserId())
	if in.err != nil {
		return nil, in.err
	}
	found, err := s.core.As(user).Queries.At(domain.Seq(req.GetAtSeq())).Settings(ctx, chat)
	if err != nil {
		return nil, err
	}
	var out output
	return answer(&out, &v1.GetChatSettingsResponse{Settings: &v1.UserChatSettings{
		Notify: notifyLevels.of(found.Notify), MutedUntil: timeOf(found.MutedUntil), Favourite: found.Favourite, Hidden: hidings.of(found.Hidden),
		HiddenSeq: out.seq(found.HiddenSeq), UnreadSeq: out.seq(found.UnreadSeq), UnreadAtSeq: out.seq(found.UnreadAt),
	}})
}
