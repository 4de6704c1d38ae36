package connect

import (
	"context"
	"iter"

	"chatcore"
	"chatcore/adapters/connect/auth"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// calls holds what the services share.
type calls struct {
	core   *chatcore.Core
	config Config
}

// actor returns the user that a command acts as: the user of the call, or the one that a service names in actor_id.
func (c *calls) actor(ctx context.Context, named string) (domain.UserID, error) {
	return userOf(ctx, "actor_id", named)
}

// subject returns the user that a call is about: the user of the call, or the one that a service names in user_id.
func (c *calls) subject(ctx context.Context, named string) (domain.UserID, error) {
	return userOf(ctx, "user_id", named)
}

// userOf returns the user of the call, or the one that a service names in a field. It returns an [*accessError] if a user names another one, and a
// [*domain.InvalidError] if a service names none.
func userOf(ctx context.Context, field, named string) (domain.UserID, error) {
	switch p := auth.From(ctx).(type) {
	case auth.User:
		if named != "" && named != string(p.ID) {
			return "", otherUser(field, named, p.ID)
		}
		return p.ID, nil
	case auth.Service:
		user, err := domain.ParseUserID(named)
		return user, inField(field, err)
	default:
		return "", errNoCredential
	}
}

// chatReader answers queries about one chat at a time. [*app.Queries] and [app.UserQueries] implement it.
type chatReader interface {
	Chat(ctx context.Context, chat domain.ChatID) (domain.Chat, error)
	Member(ctx context.Context, chat domain.ChatID, user domain.UserID) (domain.Member, error)
	Metadata(ctx context.Context, chat domain.ChatID) (app.MetadataView, error)
	Pins(ctx context.Context, chat domain.ChatID) ([]app.MessageView, error)
	ReadBy(ctx context.Context, chat domain.ChatID, id domain.MessageID) ([]domain.UserID, error)
	Restrictions(ctx context.Context, chat domain.ChatID, page domain.Page) (app.List[app.Restricted], error)
	MemberPage(ctx context.Context, chat domain.ChatID, page domain.Page) (app.List[domain.Member], error)
	Message(ctx context.Context, chat domain.ChatID, id domain.MessageID) (app.MessageView, error)
	History(ctx context.Context, chat domain.ChatID, span domain.Span) ([]app.MessageView, error)
	ThreadReplies(ctx context.Context, chat domain.ChatID, root domain.MessageID, page domain.Page) (app.List[app.MessageView], error)
	CustomPage(ctx context.Context, chat domain.ChatID, id domain.CustomID, page domain.Page) (app.List[ports.Record], error)
	Typing(ctx context.Context, chat domain.ChatID) ([]domain.UserID, error)
	Events(ctx context.Context, chat domain.ChatID, span domain.Span) ([]ports.Record, error)
	Audit(ctx context.Context, chat domain.ChatID, about domain.Audit) iter.Seq2[ports.Record, error]
}

// reader returns the queries that a call may ask, as of a seq; 0 means now. For a user, and for a service that names one in actor_id, they return what
// that user may read; for a service that names none, everything.
func (c *calls) reader(ctx context.Context, named string, at uint32) (chatReader, error) {
	if _, service := auth.From(ctx).(auth.Service); service && named == "" {
		return c.core.Queries.At(domain.Seq(at)), nil
	}
	user, err := c.actor(ctx, named)
	if err != nil {
		return nil, err
	}
	return c.core.As(user).Queries.At(domain.Seq(at)), nil
}
