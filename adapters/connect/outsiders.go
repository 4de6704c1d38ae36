package connect

import (
	"context"
	"errors"

	"chatcore/adapters/connect/auth"
	"chatcore/domain"
)

// shown returns the error of a command about a chat as the caller may see it. A user that may not read the chat gets the error that queries return, which
// is the same for a chat that does not exist; the check takes one round trip, after such errors only. Services see the command's own error.
func (c *calls) shown(ctx context.Context, chat domain.ChatID, err error) error {
	if !errors.Is(err, domain.ErrNotMember) && !errors.Is(err, domain.ErrChatNotFound) {
		return err
	}
	return c.hidden(ctx, chat, err)
}

// hidden returns err, or for a user that may not read the chat the error that queries return.
func (c *calls) hidden(ctx context.Context, chat domain.ChatID, err error) error {
	user, ok := auth.From(ctx).(auth.User)
	if !ok {
		return err
	}
	if _, hidden := c.core.Access.Check(ctx, chat, user.ID); errors.Is(hidden, domain.ErrChatNotFound) {
		return hidden
	}
	return err
}
