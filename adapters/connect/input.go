package connect

import (
	"context"
	"fmt"

	"chatcore/domain"
)

// input reads the ids of a request, and keeps the first error. Its errors name fields as the protos do.
type input struct {
	ctx   context.Context
	calls *calls
	err   error

	chatID domain.ChatID // that chat has read
}

func (c *calls) read(ctx context.Context) *input { return &input{ctx: ctx, calls: c} }

// keep keeps an error, unless there is one already.
func (in *input) keep(err error) {
	if in.err == nil {
		in.err = err
	}
}

func parsed[T any](in *input, field string, v T, err error) T {
	in.keep(inField(field, err))
	return v
}

func (in *input) chat(id string) domain.ChatID {
	chat, err := domain.ParseChatID(id)
	in.chatID = parsed(in, "chat_id", chat, err)
	return in.chatID
}

// actor is [calls.actor].
func (in *input) actor(named string) domain.UserID {
	user, err := in.calls.actor(in.ctx, named)
	in.keep(err)
	return user
}

func (in *input) user(field, id string) domain.UserID {
	user, err := domain.ParseUserID(id)
	return parsed(in, field, user, err)
}

func (in *input) users(field string, ids []string) []domain.UserID {
	if ids == nil {
		return nil
	}
	users := make([]domain.UserID, len(ids))
	for i, id := range ids {
		users[i] = in.user(fmt.Sprintf("%s[%d]", field, i), id)
	}
	return users
}

func (in *input) message(field, id string) domain.MessageID {
	message, err := domain.ParseMessageID(id)
	return parsed(in, field, message, err)
}

// command returns the id of the command, which the header Idempotency-Key may give.
func (in *input) command(given string) domain.CommandID {
	id, err := idOf(in.ctx, "command_id", given)
	in.keep(err)
	return id
}

// sendID returns the id of a message to send, which the header Idempotency-Key may give.
func (in *input) sendID(given string) domain.MessageID {
	id, err := idOf(in.ctx, "message_id", given)
	in.keep(err)
	return domain.MessageID(id)
}

// reader is [calls.reader].
func (in *input) reader(named string, at uint32) chatReader {
	reader, err := in.calls.reader(in.ctx, named, at)
	in.keep(err)
	return reader
}

// subject is [calls.subject].
func (in *input) subject(named string) domain.UserID {
	user, err := in.calls.subject(in.ctx, named)
	in.keep(err)
	return user
}

// page returns the page of a list.
func (in *input) page(tokens pageTokens, size uint32, token string) domain.Page {
	page, err := tokens.page(size, token)
	in.keep(err)
	return page
}
