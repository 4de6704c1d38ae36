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
	change := domain.SettingsChange{Notify: in.notify(req.GetNotify()), Favourite: req.Favourite, Hidden: in.hiding(req.GetHidden())} //nolint:protogetter // whether it is set matters
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

// notify reads a level; unspecified is nil.
func (in *input) notify(n v1.NotifyLevel) *domain.NotifyLevel {
	switch n {
	case v1.NotifyLevel_NOTIFY_LEVEL_UNSPECIFIED:
		return nil
	case v1.NotifyLevel_NOTIFY_LEVEL_DEFAULT:
		return new(domain.NotifyDefault)
	case v1.NotifyLevel_NOTIFY_LEVEL_ALL:
		return new(domain.NotifyAll)
	case v1.NotifyLevel_NOTIFY_LEVEL_MENTIONS:
		return new(domain.NotifyMentions)
	case v1.NotifyLevel_NOTIFY_LEVEL_NONE:
		return new(domain.NotifyNone)
	}
	in.keep(&domain.InvalidError{Field: "notify", Problem: fmt.Sprintf("is %d", n), Allowed: "unspecified, " + strings.Join(enumNames(n.Descriptor()), ", ")})
	return nil
}

// hiding reads a hiding; unspecified is nil.
func (in *input) hiding(h v1.Hiding) *domain.Hiding {
	switch h {
	case v1.Hiding_HIDING_UNSPECIFIED:
		return nil
	case v1.Hiding_HIDING_SHOWN:
		return new(domain.Shown)
	case v1.Hiding_HIDING_UNTIL_MESSAGE:
		return new(domain.HiddenUntilMessage)
	case v1.Hiding_HIDING_ALWAYS:
		return new(domain.HiddenAlways)
	}
	in.keep(&domain.InvalidError{Field: "hidden", Problem: fmt.Sprintf("is %d", h), Allowed: "unspecified, " + strings.Join(enumNames(h.Descriptor()), ", ")})
	return nil
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
		Notify: notifyOf(found.Notify), MutedUntil: timeOf(found.MutedUntil), Favourite: found.Favourite, Hidden: hidingOf(found.Hidden),
		HiddenSeq: out.seq(found.HiddenSeq), UnreadSeq: out.seq(found.UnreadSeq), UnreadAtSeq: out.seq(found.UnreadAt),
	}})
}
